# SPDX-License-Identifier: Apache-2.0
"""A training ends when it is good, and says so."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tiny_run import OpenSession

from sac_ros.tasks.task import RewardWeights
from sac_ros.training import callbacks
from sac_ros.training.config import QualityBar

NO_BAR = QualityBar(success_rate=0.0, median_error_m=100.0, hold_rate=0.0)


@pytest.fixture(autouse=True)
def _brief_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callbacks, "HOLD_SECONDS", 0.2)


def test_a_run_ends_after_the_third_good_evaluation_and_says_why(
    session: OpenSession, capfd: pytest.CaptureFixture[str]
) -> None:
    run = session(total_steps=100_000, evaluation_interval=120, good=NO_BAR)
    outcome = run.run()
    assert outcome is not None
    assert [point.env_steps // 120 for point in run.records.points] == [1, 2, 3]
    assert outcome.env_steps == run.records.points[-1].env_steps
    reason = f"the quality bar held at step {outcome.env_steps:,}"
    assert reason in capfd.readouterr().out
    assert json.loads(run.directory.evaluation.read_text())["ended_by"].startswith(reason)


@pytest.mark.parametrize(
    "changes",
    [
        {"stop_when_good": False, "good": NO_BAR},
        {"good": QualityBar(success_rate=0.0, median_error_m=1e-6, hold_rate=0.0)},
        {"good": QualityBar(success_rate=0.98, median_error_m=100.0, hold_rate=0.0)},
        {"good": QualityBar(success_rate=0.0, median_error_m=100.0, hold_rate=1.0)},
    ],
    ids=["not asked for", "not precise", "too few", "does not hold"],
)
def test_a_run_goes_on_to_total_steps_where_the_bar_is_not_reached(
    session: OpenSession, capfd: pytest.CaptureFixture[str], changes: dict[str, Any]
) -> None:
    run = session(total_steps=500, evaluation_interval=100, **changes)
    outcome = run.run()
    assert outcome is not None
    assert outcome.env_steps >= 500
    assert run.ended == "total_steps, 500"
    assert "total_steps, 500" in capfd.readouterr().out


def test_a_price_of_changes_that_still_rises_is_waited_for(session: OpenSession) -> None:
    reward = RewardWeights(action_change_end=5.0)
    run = session(total_steps=1200, evaluation_interval=120, good=NO_BAR, env={"reward": reward})
    outcome = run.run()
    assert outcome is not None
    assert 600 <= outcome.env_steps < 1200


def test_a_run_that_ended_because_it_was_good_can_go_on(session: OpenSession) -> None:
    bar = {"total_steps": 100_000, "evaluation_interval": 120, "good": NO_BAR}
    first = session(**bar).run()
    assert first is not None
    run = session(**{**bar, "total_steps": 700}, resume=True, stop_when_good=False)
    outcome = run.run()
    assert outcome is not None
    assert outcome.env_steps >= 700
