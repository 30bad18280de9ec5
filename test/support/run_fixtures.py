# SPDX-License-Identifier: Apache-2.0
"""Fixtures of tiny runs: one that has ended, for all who only look at it, and new ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny_run import OpenSession, TinyRun, finished_run, open_session

from sac_ros.training.runner import TrainingSession


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> TinyRun:
    """A finished run; nobody changes its files."""
    return finished_run(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def session(tmp_path: Path) -> Iterator[OpenSession]:
    """Opens sessions on the same directory, and closes them at the end."""
    made: list[TrainingSession] = []

    def start(**changes: Any) -> TrainingSession:
        made.append(open_session(tmp_path, **changes))
        return made[-1]

    yield start
    for each in made:
        each.close()
