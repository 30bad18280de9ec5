# SPDX-License-Identifier: Apache-2.0
"""The tiny policy, its bag, and tiny runs."""

from __future__ import annotations

from bag_fixtures import bag, evaluated, model, refused
from run_fixtures import tiny_run

__all__ = ["bag", "evaluated", "model", "refused", "tiny_run"]
