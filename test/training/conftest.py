# SPDX-License-Identifier: Apache-2.0
"""Tiny runs."""

from __future__ import annotations

from run_fixtures import brief_reports, session, tiny_run

__all__ = ["brief_reports", "session", "tiny_run"]
