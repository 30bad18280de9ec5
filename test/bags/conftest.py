# SPDX-License-Identifier: Apache-2.0
"""The tiny policy and its bag."""

from __future__ import annotations

from bag_fixtures import bag, evaluated, model, refused

__all__ = ["bag", "evaluated", "model", "refused"]
