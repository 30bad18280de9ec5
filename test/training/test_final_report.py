# SPDX-License-Identifier: Apache-2.0
"""What a finished run does in which order, and what it says meanwhile."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from tiny_run import OpenSession

from sac_ros.policy.runtime import Policy
from sac_ros.training import final_report
from sac_ros.training.progress import EvaluationPoint
from sac_ros.training.report import save_learning_curve
from sac_ros.training.runner import TrainingSession
from sac_ros.utils.errors import SacRosError


def test_the_best_policy_is_on_disk_before_anything_else_of_the_report(
    session: OpenSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ahead of the last evaluation, the measurement, the table, the curve and the video."""
    run = session(record_video=True, robustness_episodes=1, evaluation_interval=10_000)
    order: list[str] = []

    def note(name: str, owner: Any) -> None:
        original = getattr(owner, name)

        def call(*arguments: Any, **keywords: Any) -> Any:
            order.append(name)
            assert name == "write_policy" or run.directory.policy.is_file(), name
            return (
                None
                if name in ("run_table", "save_reaching")
                else original(*arguments, **keywords)
            )

        monkeypatch.setattr(owner, name, call)

    run.loop.run_block(lambda: False)
    run.evaluate()
    for name in ("write_policy", "evaluate"):
        note(name, run)
    for name in ("evaluate", "save_reaching", "run_table", "save_learning_curve", "model_card"):
        note(name, final_report)
    assert run.run() is not None
    assert order[0] == "write_policy"
    assert {"evaluate", "run_table", "save_reaching", "save_learning_curve"} <= set(order)


def test_a_last_actor_that_no_evaluation_saw_is_evaluated_after_the_first_export(
    session: OpenSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = session(evaluation_interval=250, total_steps=400)
    phases: list[str] = []
    set_phase = run.set_phase

    def note(phase: str) -> None:
        phases.append(phase)
        set_phase(phase)

    monkeypatch.setattr(run, "set_phase", note)
    outcome = run.run()
    assert outcome is not None
    report = phases[phases.index("reporting") :]
    assert report.index("exporting the policy") < report.index("evaluating the last actor")
    assert Policy.load(outcome.policy).spec.training["env_steps"] == outcome.env_steps


def test_every_phase_is_said_when_it_begins(
    session: OpenSession, capfd: pytest.CaptureFixture[str]
) -> None:
    run: TrainingSession = session(total_steps=400)
    run.run()
    seen = capfd.readouterr().err
    phases = ["making the worlds of iiwa, in bullet", "starting the collector", "collecting"]
    phases += ["training", "evaluating", "saving", "reporting", "exporting the policy"]
    phases += ["is in ", "measuring the policy file, with a hold of"]
    places = [seen.find(phase) for phase in phases]
    assert -1 not in places, phases[places.index(-1)]
    assert places == sorted(places)


def test_the_curve_ends_with_the_last_actor_and_marks_the_exported_one(
    session: OpenSession, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    curves: list[tuple[Any, ...]] = []
    monkeypatch.setattr(final_report, "save_learning_curve", lambda *given: curves.append(given))
    run = session(evaluation_interval=250, total_steps=400)
    outcome = run.run()
    assert outcome is not None
    ((points, _, _, exported),) = curves
    assert points[-1].env_steps == outcome.env_steps
    assert exported == run.state.best.env_steps
    assert exported in [point.env_steps for point in points]
    assert f"that after {exported:,} steps" in capfd.readouterr().out


def test_the_exported_actor_is_a_line_in_the_figure(tmp_path: Path) -> None:
    points = [
        EvaluationPoint(1000 * index, 10.0 * index, 0.9, 0.5, 0.01, 0.02, 3.0) for index in (1, 2)
    ]
    for name, exported in (("marked", 2000), ("plain", None)):
        save_learning_curve(points, tmp_path / name, "title", exported)
    assert (tmp_path / "marked").read_bytes() != (tmp_path / "plain").read_bytes()


def no_space(*_: Any, **__: Any) -> Any:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_disk_that_is_full_at_the_end_costs_files_and_not_the_summary(
    session: OpenSession, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    run = session(record_video=True, robustness_episodes=1)
    measure = final_report.evaluate

    def full_from_now_on(*arguments: Any, **keywords: Any) -> Any:
        monkeypatch.setattr(os, "fsync", no_space)
        return measure(*arguments, **keywords)

    monkeypatch.setattr(final_report, "evaluate", full_from_now_on)
    for name in ("save_reaching", "save_learning_curve", "run_table"):
        monkeypatch.setattr(final_report, name, no_space)
    outcome = run.run()
    assert outcome is not None
    assert Policy.load(outcome.policy).spec.task == "reach"  # that from before the measurement
    seen = capfd.readouterr()
    assert "median error" in seen.out
    assert "no robustness table: No space left on device" in seen.out
    for name in ("the policy file", "evaluation.json", "policy.md", "learning_curve.png"):
        assert f"{name} could not be written: No space left on device" in seen.err
    assert "reaching.gif could not be written" in seen.err


def test_a_policy_file_that_does_not_fit_is_one_sentence_that_says_how_to_get_it(
    session: OpenSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = session(total_steps=200)
    monkeypatch.setattr(run, "write_policy", no_space)
    words = r"file could not be written: No space left on device; .*goes on from .*\d+\.pt"
    with pytest.raises(SacRosError, match=words):
        run.run()


def test_a_policy_below_the_quality_bar_of_its_run_has_a_warning_on_its_card(
    session: OpenSession, capfd: pytest.CaptureFixture[str]
) -> None:
    run = session(total_steps=200)
    outcome = run.run()
    assert outcome is not None
    assert outcome.shortfall == ""  # minimum_success_rate is 0
    words = "the policy is below the quality bar of its run: 0.0% of the held-out goals"
    assert f"**Not good enough**: {words}" in run.directory.model_card.read_text()
    assert words in capfd.readouterr().err
