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
from sac_ros.training.callbacks import Callback
from sac_ros.training.evaluation import HELD_OUT_SEED, HOLD_SECONDS, Evaluation, evaluate
from sac_ros.training.model_card import model_card
from sac_ros.training.parts import make_env
from sac_ros.training.policy_in_loop import policy_controller
from sac_ros.training.progress import EvaluationPoint, say
from sac_ros.training.report import evaluation_table, save_learning_curve, save_reaching
from sac_ros.training.robustness import (
    Conditions,
    Contestant,
    add_to_card,
    robustness_markdown,
    run_table,
    save_heat_map,
)
from sac_ros.utils.atomic_write import atomic_write

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
        if not finished:
            return
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
        policy = Policy.load(run.directory.policy)
        run.set_phase(f"measuring the policy file, with a hold of {HOLD_SECONDS:g} s,")
        result = evaluate(
            run.env,
            policy_controller(policy, run.env),
            episodes=config.evaluation_episodes,
            seed=HELD_OUT_SEED,
            hold_seconds=HOLD_SECONDS,
            interrupted=run.is_stopped,
            progress=run.count_goals,
        )
        if result is None:
            return
        policy = run.write_policy(result)  # the same controller, with all that was measured
        shortfall = _shortfall(result, config.minimum_success_rate)
        self._write_figures(run, result)
        with atomic_write(run.directory.model_card) as file:
            file.write_text(model_card(policy, policy.path.name, shortfall), encoding="utf-8")
        if config.robustness_episodes:
            run.set_phase("measuring what the policy survives; Ctrl-C skips that")
        robust = self._robustness(run)
        title = f"{run.env.arm.name}, seed {config.seed}"
        curve = run.directory.learning_curve
        save_learning_curve(state.points, curve, title, state.best.env_steps)
        if config.record_video:
            run.set_phase("drawing the video")
            camera = make_env(config, 1, "rgb_array")
            save_reaching(camera, policy_controller(policy, camera), run.directory.video)
            camera.close()
        files = sorted(
            str(path)
            for path in run.directory.path.glob("*.*")
            if not path.name.startswith(("events.", "."))
        )
        table = evaluation_table(result, _time_rows(run))
        lines = [f"\n{run.directory.policy}", table, *robust, "", *files, ""]
        sys.stdout.write("\n".join(lines))
        sys.stdout.flush()
        if shortfall:
            say(shortfall)
        run.outcome = Outcome(
            policy.path, result, state.loop.env_steps, state.loop.learning_seconds, shortfall
        )

    @staticmethod
    def _export(run: TrainingSession) -> None:
        run.set_phase("exporting the policy")
        policy = run.write_policy()
        say(f"the policy after {run.state.best.env_steps:,} steps is in {policy.path}")

    @staticmethod
    def _robustness(run: TrainingSession) -> list[str]:
        """The table of what the policy survives, printed, drawn and in the model card."""
        episodes, path = run.config.robustness_episodes, run.directory.path
        if not episodes:
            return []
        model = str(run.directory.policy)
        common = Conditions(run.config.backend, episodes, HELD_OUT_SEED)
        with tqdm(desc="robustness", unit=" cells") as bar:

            def show(done: int, total: int) -> None:
                bar.total, bar.n = total, done
                bar.refresh()

            cells = run_table(
                [Contestant(model), Contestant(model, "computed_torque")],
                common,
                kept=path / "robustness.json",
                processes=os.cpu_count() or 1,
                progress=show,
                interrupted=run.is_stopped,
            )
        if cells is None:
            return ["no robustness table: interrupted"]
        save_heat_map(cells, path / "robustness.png", f"{run.env.arm.name}, {episodes} episodes")
        add_to_card(run.directory.model_card, cells, common, "robustness.png")
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
        with atomic_write(run.directory.evaluation) as file:
            file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


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
