# SPDX-License-Identifier: Apache-2.0
"""What a run does beside learning: the seam, and evaluation, checkpoints and progress."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from sac_ros.training.evaluation import HOLD_SECONDS
from sac_ros.training.progress import EvaluationPoint, ProgressBar, Records, say

if TYPE_CHECKING:
    from sac_ros.training.runner import TrainingSession

_RECORD_INTERVAL = 1.0  # s, between TensorBoard scalars
DETAIL_INTERVAL = 1.0  # s, between two lines on how far a phase is


class Callback:
    """Called by a run in its own thread; a subclass overrides what it needs."""

    def on_start(self, run: TrainingSession) -> None:
        """Before the first block of updates; the collector has not been let go yet."""

    def on_block(self, run: TrainingSession) -> None:
        """After every block of updates, while the collector may be going on."""

    def on_phase(self, run: TrainingSession) -> None:
        """When `run.progress` has got another phase, or another detail of it."""

    def on_end(self, run: TrainingSession, finished: bool) -> None:
        """After the last block, the collector standing still; not `finished` if it was stopped."""

    def close(self) -> None:
        """At the very end, whatever ended the run; twice does nothing."""


class ProgressLog(Callback):
    """The line on stderr, `run.progress`, and scalars for TensorBoard.

    Where there is no bar, before the first block and after the last one, phases are lines.
    """

    def __init__(self, records: Records) -> None:
        self._records = records
        self._bar: ProgressBar | None = None
        self._last_detail = 0.0

    def on_start(self, run: TrainingSession) -> None:
        self._started, self._first_step = time.perf_counter(), run.state.loop.env_steps
        self._next_record = 0.0
        self._bar = ProgressBar(run.config.total_steps, self._first_step)

    def on_block(self, run: TrainingSession) -> None:
        elapsed = time.perf_counter() - self._started
        state = run.state.loop
        episode_return, episode_success = run.state.replay.recent_figures()
        rate = (state.env_steps - self._first_step) / elapsed if elapsed > 0 else 0.0
        left = max(0, run.config.total_steps - state.env_steps)
        run.progress = dataclasses.replace(
            run.progress,
            env_steps=state.env_steps,
            updates=state.updates,
            learning_seconds=state.learning_seconds,
            steps_per_second=rate,
            updates_per_second=rate * run.config.sac.updates_per_step,
            seconds_left=left / rate if rate > 0 else 0.0,
            episode_return=episode_return,
            episode_success=episode_success,
            phase=run.learning_phase,
            detail="",
        )
        if self._bar is not None:
            self._bar.show(run.progress)
        if elapsed >= self._next_record:
            self._records.add_progress(run.progress, state.metrics)
            self._next_record = elapsed + _RECORD_INTERVAL

    def on_phase(self, run: TrainingSession) -> None:
        progress, now = run.progress, time.monotonic()
        if progress.detail and now - self._last_detail < DETAIL_INTERVAL:
            return
        self._last_detail = now
        if self._bar is not None:
            self._bar.show(progress, at_once=True)
        else:
            say(f"{progress.phase} {progress.detail}".rstrip())

    def on_end(self, run: TrainingSession, finished: bool) -> None:
        self._close_bar()

    def close(self) -> None:
        self._close_bar()
        self._records.close()

    def _close_bar(self) -> None:
        if self._bar is not None:
            self._bar.close()
        self._bar = None


class PeriodicEvaluation(Callback):
    """Evaluates every `evaluation_interval` steps.

    Half as often once the task is solved, unless evaluations decide when the run ends. An initial
    policy, and what learning starts from with a prior, is evaluated, too: what is exported is no
    worse.
    """

    def on_start(self, run: TrainingSession) -> None:
        if (run.state.began_with or run.env.task.aims) and not run.records.points:
            self._evaluate(run)
        self._next = self._after(run)

    def on_block(self, run: TrainingSession) -> None:
        if run.state.loop.env_steps >= self._next:
            self._evaluate(run)
            self._next = self._after(run)

    @staticmethod
    def _evaluate(run: TrainingSession) -> None:
        run.set_phase("evaluating")
        result = run.standing_still(run.evaluate)
        if result is not None:
            state = run.state.loop
            run.records.add_evaluation(
                EvaluationPoint.of(state.env_steps, state.learning_seconds, result)
            )
            run.progress = dataclasses.replace(
                run.progress, held_out_success=result.success_rate(0.05)
            )
        run.set_phase(run.learning_phase)

    @staticmethod
    def _after(run: TrainingSession) -> int:
        seldom = run.records.solved and not run.config.stop_when_good
        interval = run.config.evaluation_interval * (2 if seldom else 1)
        return next_multiple(interval, run.state.loop.env_steps)


class QualityStop(Callback):
    """Ends the learning when evaluations and a hold reach the quality bar.

    The hold takes as long as two evaluations, so it is tried once these reach theirs. A price of
    changes that still rises is waited for: the bar does not ask how smooth the torques are.
    """

    def on_start(self, run: TrainingSession) -> None:
        self._seen = len(run.records.points)

    def on_block(self, run: TrainingSession) -> None:
        bar, seen = run.config.good, len(run.records.points)
        if not run.config.stop_when_good or seen == self._seen:
            return
        self._seen = seen
        rises = run.config.env.reward.action_change_end > 0.0
        if rises and 2 * run.state.loop.env_steps < run.config.total_steps:
            return
        if not run.records.is_good(bar):
            return
        # The last update may have been made, and a hold takes its time.
        write_if_possible("the policy file", run.write_policy)
        run.set_phase("holding")
        result = run.standing_still(lambda: run.evaluate_best(HOLD_SECONDS))
        if result is not None and result.hold is not None:
            held = 1.0 - result.hold.left_2cm_rate
            if held >= bar.hold_rate:
                run.finish(
                    f"the quality bar held at step {run.state.loop.env_steps:,}: "
                    f"{result.success_rate(0.02):.0%} within 2 cm and still, median "
                    f"{1e3 * result.median_error_m:.1f} mm, {held:.0%} held for {HOLD_SECONDS:g} s"
                )
        run.set_phase(run.learning_phase)


class Checkpoints(Callback):
    """Saves at the start, every `checkpoint_interval` steps and at the end.

    A full disk must not end a training: memory still holds all that was learned.
    """

    def on_start(self, run: TrainingSession) -> None:
        if not run.directory.checkpoints:  # so that a kill at any moment leaves something
            save_if_possible(run)
        self._next = self._after(run)

    def on_block(self, run: TrainingSession) -> None:
        if run.state.loop.env_steps >= self._next:
            run.standing_still(lambda: save_if_possible(run))
            self._next = self._after(run)

    def on_end(self, run: TrainingSession, finished: bool) -> None:
        run.set_phase("saving")
        save_if_possible(run)

    @staticmethod
    def _after(run: TrainingSession) -> int:
        return next_multiple(run.config.checkpoint_interval, run.state.loop.env_steps)


def write_if_possible(what: str, write: Callable[[], object]) -> bool:
    """Writes a file of a run, or reports why not: a full disk costs a file, and not the run."""
    try:
        write()
    except OSError as error:
        say(f"{what} could not be written: {error.strerror or error}")
        return False
    return True


def save_if_possible(run: TrainingSession) -> None:
    """Saves, or reports why not and which checkpoint is still there."""
    try:
        run.save_checkpoint()
    except OSError as error:
        older = run.directory.checkpoints[:1]
        kept = f"the latest is still {older[0].name}" if older else "there is none yet"
        say(f"no checkpoint could be written, {kept}: {error}")


def next_multiple(interval: int, steps: int) -> int:
    """Of a run's steps from its start, so that a resumed run keeps to those of the first."""
    return (steps // interval + 1) * interval
