# SPDX-License-Identifier: Apache-2.0
"""What a finished run exports, measures, writes and reports."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from typing import TYPE_CHECKING

from tqdm import tqdm

from sac_ros.policy.runtime import Policy
from sac_ros.training.callbacks import Callback, write_if_possible
from sac_ros.training.config import QualityBar
from sac_ros.training.evaluation import HELD_OUT_SEED, HOLD_SECONDS, Evaluation, evaluate
from sac_ros.training.model_card import model_card
from sac_ros.training.page.contents import Goal, save_goals
from sac_ros.training.parts import make_env
from sac_ros.training.policy_in_loop import policy_controller
from sac_ros.training.progress import EvaluationPoint, bar_file, say
from sac_ros.training.report import evaluation_table, save_learning_curve, save_reaching
from sac_ros.training.robustness import (
    Conditions,
    Contestant,
    add_to_card,
    robustness_markdown,
    run_table,
    save_heat_map,
)
from sac_ros.training.watching import save_page
from sac_ros.utils.atomic_write import atomic_write
from sac_ros.utils.errors import SacRosError
from sac_ros.utils.heartbeat import printed, repeat_with

if TYPE_CHECKING:
    from pathlib import Path

    from sac_ros.training.runner import TrainingSession

_THRESHOLDS = (0.5, 0.9, 0.95)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a finished run has to show; `shortfall` is why its result is not good enough."""

    policy: Path
    evaluation: Evaluation
    env_steps: int
    learning_seconds: float
    shortfall: str


class FinalReport(Callback):
    """Exports the policy file, measures it, and writes figures, curve, video and model card.

    What is measured is the file: what is shipped. `run.outcome` stays None when it is interrupted.
    """

    def on_end(self, run: TrainingSession, finished: bool) -> None:
        try:
            if finished:
                self._report(run)
        finally:
            if run.outcome is None:
                save_page(run, "interrupted")

    def _report(self, run: TrainingSession) -> None:
        run.set_phase("reporting")
        config, state = run.config, run.state
        # Before anything that takes its time: after an interrupted report the policy is there.
        if state.best.evaluation is not None:
            self._export(run)
        if not state.points or state.points[-1].env_steps != state.loop.env_steps:
            run.set_phase("evaluating the last actor")
            last = run.evaluate()
            if last is None:
                return
            loop = state.loop
            run.records.add_evaluation(
                EvaluationPoint.of(loop.env_steps, loop.learning_seconds, last)
            )
            if state.best.env_steps == state.loop.env_steps:
                self._export(run)
        policy = Policy.load(run.directory.policy, timed=False)
        run.set_phase(f"measuring the policy file, with a hold of {HOLD_SECONDS:g} s,")
        result = evaluate(
            run.env,
            policy_controller(policy, run.env),
            episodes=config.evaluation_episodes,
            seed=HELD_OUT_SEED,
            hold_seconds=HOLD_SECONDS,
            interrupted=run.is_stopped,
            progress=run.count_goals,
            keep=run.measured.episodes,
        )
        if result is None:
            return
        run.measured.file = result
        # The same controller, with all that was measured.
        if write_if_possible("the policy file", lambda: run.write_policy(result)):
            policy = Policy.load(run.directory.policy, timed=False)
        shortfall = _shortfall(result, config.minimum_success_rate)
        missed = shortfall or missed_bar(result, config.good)
        files = run.directory
        card = model_card(policy, policy.path.name, missed)
        write_if_possible(files.evaluation.name, lambda: self._write_figures(run, result))
        goals = [Goal.of(each, run.env.task.moving) for each in run.measured.episodes]
        write_if_possible(files.goals.name, lambda: save_goals(goals, files.goals))
        write_if_possible(files.model_card.name, lambda: _write_text(files.model_card, card))
        if config.robustness_episodes:
            run.set_phase("measuring what the policy survives; Ctrl-C skips that")
        try:
            robust = self._robustness(run)
        except (OSError, SacRosError) as error:  # a full disk, or a machine too busy for a policy
            robust = ["", f"no robustness table: {getattr(error, 'strerror', None) or error}"]
        title = f"{run.env.arm.name}, seed {config.seed}"
        run.set_phase("drawing the learning curve")
        curve = files.learning_curve
        write_if_possible(
            curve.name,
            lambda: save_learning_curve(state.points, curve, title, state.best.env_steps),
        )
        if config.record_video and not run.is_stopped():
            run.set_phase("drawing the video")
            write_if_possible(files.video.name, lambda: self._draw_video(run, policy))
        page = save_page(run, "finished")
        left = sorted(
            str(path)
            for path in run.directory.path.glob("*.*")
            if not path.name.startswith(("events.", "."))
        )
        table = evaluation_table(result, _time_rows(run))
        lines = [f"\n{run.directory.policy}", table, *robust, "", *left, ""]
        sys.stdout.write("\n".join(lines))
        sys.stdout.flush()
        if missed:
            say(missed)
        if page:
            say(f"all of it to look at is in {run.directory.page}")
        run.outcome = Outcome(
            policy.path, result, state.loop.env_steps, state.loop.learning_seconds, shortfall
        )

    @staticmethod
    def _export(run: TrainingSession) -> None:
        run.set_phase("exporting the policy")
        try:
            policy = run.write_policy()
        except OSError as error:
            newest = next(iter(run.directory.checkpoints), None)
            name = run.directory.path.name
            left = (
                f"resume:=true name:={name} goes on from {newest}" if newest else "nothing is left"
            )
            raise SacRosError(
                f"the policy file could not be written: {error.strerror or error}; {left}"
            ) from error
        say(f"the policy after {run.state.best.env_steps:,} steps is in {policy.path}")

    @staticmethod
    def _draw_video(run: TrainingSession, policy: Policy) -> None:
        camera = make_env(run.config, 1, "rgb_array")
        try:
            save_reaching(camera, policy_controller(policy, camera), run.directory.video)
        finally:
            camera.close()

    @staticmethod
    def _robustness(run: TrainingSession) -> list[str]:
        """The table of what the policy survives, printed, drawn and in the model card."""
        episodes, path = run.config.robustness_episodes, run.directory.path
        if not episodes:
            return []
        model = str(run.directory.policy)
        common = Conditions(run.config.backend, episodes, HELD_OUT_SEED)
        with tqdm(desc="robustness", unit=" cells", file=bar_file()) as bar:
            repeat_with(bar.refresh)

            def show(done: int, total: int) -> None:
                bar.total, bar.n = total, done
                bar.refresh()
                printed()

            try:
                cells = run_table(
                    [Contestant(model), Contestant(model, "computed_torque")],
                    common,
                    kept=path / "robustness.json",
                    processes=os.cpu_count() or 1,
                    progress=show,
                    interrupted=run.is_stopped,
                )
            finally:
                repeat_with(None)
        if cells is None:
            return ["no robustness table: interrupted"]
        run.measured.cells = cells
        title, card = f"{run.env.arm.name}, {episodes} episodes", run.directory.model_card
        picture = path / "robustness.png"
        run.set_phase("drawing the robustness table")
        write_if_possible(picture.name, lambda: save_heat_map(cells, picture, title))
        write_if_possible(
            f"the table in {card.name}", lambda: add_to_card(card, cells, common, picture.name)
        )
        return ["", robustness_markdown(cells)]

    @staticmethod
    def _write_figures(run: TrainingSession, result: Evaluation) -> None:
        loop = run.state.loop
        content = {
            **dataclasses.asdict(result),
            "seconds_to": {str(rate): run.records.seconds_to(rate) for rate in _THRESHOLDS},
            "learning_seconds": loop.learning_seconds,
            "ended_by": run.ended,
            "env_steps": loop.env_steps,
            "updates": loop.updates,
        }
        _write_text(run.directory.evaluation, json.dumps(content, indent=2) + "\n")


def _write_text(path: Path, text: str) -> None:
    with atomic_write(path) as file:
        file.write_text(text, encoding="utf-8")


def missed_bar(result: Evaluation, bar: QualityBar) -> str:
    """One sentence where a policy is below its run's quality bar, else nothing."""
    near, error = result.success_rate(0.02), result.median_error_m
    held = 1.0 - result.hold.left_2cm_rate if result.hold else 1.0
    if near >= bar.success_rate and error <= bar.median_error_m and held >= bar.hold_rate:
        return ""
    return (
        f"the policy is below the quality bar of its run: {near:.1%} of the held-out goals within "
        f"2 cm and still (at least {bar.success_rate:.1%}), median error {1e3 * error:.1f} mm (at "
        f"most {1e3 * bar.median_error_m:.1f} mm), {held:.1%} held for {HOLD_SECONDS:g} s (at "
        f"least {bar.hold_rate:.1%})"
    )


def _shortfall(result: Evaluation, minimum: float) -> str:
    """One sentence where the success rate is too low, else nothing."""
    rate = result.success_rate(0.05)
    if rate >= minimum:
        return ""
    return (
        f"the policy reaches {rate:.1%} of the held-out goals within 5 cm, less than "
        f"minimum_success_rate, {minimum:.1%}: do not use it"
    )


def _time_rows(run: TrainingSession) -> list[tuple[str, str]]:
    best, loop = run.state.best, run.state.loop
    exported = f"the best on the held-out goals, that after {best.env_steps:,} steps"
    rows = [("ended by", run.ended), ("exported actor", exported)]
    for rate in _THRESHOLDS:
        seconds = run.records.seconds_to(rate)
        value = "not reached" if seconds is None else f"{seconds:.1f} s of learning"
        rows.append((f"{rate:.0%} within 5 cm after", value))
    rows.append(("learning", f"{loop.learning_seconds:.1f} s"))
    rows.append(("env steps", f"{loop.env_steps:,}"))
    rows.append(("updates", f"{loop.updates:,}"))
    return rows
