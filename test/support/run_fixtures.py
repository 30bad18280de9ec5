# SPDX-License-Identifier: Apache-2.0
"""Fixtures of tiny runs: one that has ended, for all who only look at it, and new ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny_run import OpenSession, TinyRun, finished_run, open_session

from sac_ros.training import final_report, runner, watching
from sac_ros.training.runner import TrainingSession


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> TinyRun:
    """A finished run with its whole report; nobody changes its files."""
    return finished_run(tmp_path_factory.mktemp("runs"))


@pytest.fixture(autouse=True)
def brief_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs other than `tiny_run` draw no curve, write no page and hold goals for 1 s.

    That is half their time.
    """
    for module in (final_report, runner, watching):
        monkeypatch.setattr(module, "save_page", lambda *_: None)
    monkeypatch.setattr(final_report, "save_learning_curve", lambda *_: None)
    monkeypatch.setattr(final_report, "HOLD_SECONDS", 1.0)


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
