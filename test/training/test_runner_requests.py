# SPDX-License-Identifier: Apache-2.0
"""A run that is asked for something from another thread."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_run import OpenSession

from sac_ros.policy.runtime import Policy
from sac_ros.training.evaluation import HELD_OUT_SEED, evaluate
from sac_ros.training.policy_in_loop import policy_controller
from sac_ros.training.runner import TrainingSession
from sac_ros.utils.errors import SacRosError


@pytest.fixture
def running(session: OpenSession) -> Iterator[Callable[..., TrainingSession]]:
    """Starts a session that would run for long, in a thread of its own."""
    started: list[tuple[TrainingSession, threading.Thread]] = []

    def start(**changes: Any) -> TrainingSession:
        run = session(**{"total_steps": 1_000_000, "evaluation_interval": 900_000, **changes})
        thread = threading.Thread(target=run.run)
        started.append((run, thread))
        thread.start()
        return run

    yield start
    for run, thread in started:
        run.stop()
        thread.join(60.0)
        assert not thread.is_alive()


def test_requests_are_served_while_the_collector_stands_still(
    running: Callable[..., TrainingSession], eventually: Callable[..., None]
) -> None:
    run = running(collector="worker")
    eventually(lambda: run.state.replay.env_steps, "the worker collects", 60.0)

    def look() -> tuple[bool, int, int]:
        steps = run.state.replay.env_steps
        return run.shared.control.standing > 0, steps, run.state.replay.env_steps

    for _ in range(5):
        standing, before, after = run.request(look).result(timeout=60.0)
        assert standing
        assert before == after


def test_what_a_request_raises_reaches_its_caller_and_the_run_goes_on(
    running: Callable[..., TrainingSession], eventually: Callable[..., None]
) -> None:
    run = running()

    def fail() -> None:
        raise SacRosError("no")

    with pytest.raises(SacRosError, match="no"):
        run.request(fail).result(timeout=60.0)
    steps = run.state.replay.env_steps
    eventually(lambda: run.state.replay.env_steps > steps, "it goes on")


def test_a_paused_run_stands_still_serves_requests_and_goes_on(
    running: Callable[..., TrainingSession], eventually: Callable[..., None]
) -> None:
    run = running(collector="worker")
    eventually(lambda: run.progress.phase == "training", "the start")
    run.pause(True)
    eventually(lambda: run.progress.phase == "paused", "the pause")
    steps, updates = run.state.replay.env_steps, run.loop.state.updates
    assert run.request(run.save_checkpoint).result(timeout=60.0).is_file()
    assert (run.state.replay.env_steps, run.loop.state.updates) == (steps, updates)
    run.pause(False)
    eventually(lambda: run.state.replay.env_steps > steps, "it goes on")


def test_a_paused_run_can_be_stopped(running: Callable[..., TrainingSession]) -> None:
    run = running(collector="worker")
    run.pause(True)
    run.stop()  # the fixture waits for the end


def test_a_request_after_the_end_is_refused_and_not_left_waiting(session: OpenSession) -> None:
    run = session(total_steps=120)
    during: list[Any] = []
    set_phase = run.set_phase

    def ask_while_reporting(phase: str) -> None:
        set_phase(phase)
        if phase == "reporting":
            during.append(run.request(run.evaluate))

    run.set_phase = ask_while_reporting  # type: ignore[method-assign]
    assert run.run() is not None
    for future in (*during, run.request(run.evaluate)):
        with pytest.raises(SacRosError, match="the training has ended"):
            future.result(timeout=10.0)


def test_a_save_that_was_asked_for_and_failed_is_told_to_who_asked(
    running: Callable[..., TrainingSession], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = running()

    def full(content: Any, file: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full)
        with pytest.raises(OSError, match="No space left"):
            run.request(run.save_checkpoint).result(timeout=60.0)
    assert run.request(run.save_checkpoint).result(timeout=60.0).is_file()


def test_an_export_on_request_is_the_best_actor_so_far_with_its_own_figures(
    running: Callable[..., TrainingSession], eventually: Callable[..., None]
) -> None:
    run = running(evaluation_interval=150)
    eventually(lambda: run.records.points, "an evaluation to be out of date", timeout=60.0)

    def export() -> tuple[Path, float, float]:
        path = run.export_policy()
        assert run.state.best.evaluation is not None
        result = evaluate(
            run.env, policy_controller(Policy.load(path), run.env), episodes=2, seed=HELD_OUT_SEED
        )
        assert result is not None
        return path, run.state.best.evaluation.median_error_m, result.median_error_m

    path, best, measured = run.request(export).result(timeout=60.0)
    spec = Policy.load(path).spec
    assert spec.evaluation["median_error_m"] == best
    assert measured == pytest.approx(best, abs=1e-4)
