# SPDX-License-Identifier: Apache-2.0
"""One tiny run for all tests that only look at what a run leaves."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from tiny_run import TinyRun, finished_run


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> TinyRun:
    """A finished run; nobody changes its files."""
    return finished_run(tmp_path_factory.mktemp("runs"))
