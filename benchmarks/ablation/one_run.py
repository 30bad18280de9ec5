# SPDX-License-Identifier: Apache-2.0
"""One training of the ablation, in a process of its own: `... one_run ORDER RESULT`.

In one process (`worker: false`) a run is repeatable bit for bit, takes one core, and its CPU time
is that of collecting and learning alike, whatever else the machine does.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from sac_ros.policy.runtime import Policy
from sac_ros.training.config import TrainConfig
from sac_ros.training.evaluation import Evaluation, evaluate
from sac_ros.training.policy_in_loop import environment_of, policy_controller
from sac_ros.training.progress import EvaluationPoint
from sac_ros.training.run_directory import find_run_directory
from sac_ros.training.runner import TrainingSession
from sac_ros.training.training_loop import TrainingLoop
from sac_ros.utils.atomic_write import atomic_write
from sac_ros.utils.settings import build

FINAL_SEED = 2_000_000  # of goals that neither a training nor its evaluations have seen
POINT = ("env_steps", "cpu_seconds", "success_5cm", "success_2cm", "median_error_m")


class CpuClock:
    """CPU seconds that a loop has spent in its blocks: learning and collecting, no evaluation."""

    def __init__(self, loop: TrainingLoop) -> None:
        """Starts at 0 and stands between in the loop's blocks from now on."""
        self.seconds = 0.0
        self.at_steps = {0: 0.0}  # env steps at the end of a block: seconds then
        self._run_block, self._state = loop.run_block, loop.state
        loop.run_block = self._timed  # type: ignore[method-assign]

    def _timed(self, interrupted: Callable[[], bool]) -> bool:
        started = time.process_time()
        finished = self._run_block(interrupted)
        self.seconds += time.process_time() - started
        self.at_steps[self._state.env_steps] = self.seconds
        return finished


def train(config: TrainConfig, final_episodes: int) -> dict[str, Any]:
    """Trains to the end; gives the learning curve, and how the policy file does on other goals.

    Args:
        config: of the run; its directory and name are replaced.
        final_episodes: number of goals that the final figures are taken on.
    """
    with tempfile.TemporaryDirectory() as directory:
        config = replace(
            config,
            directory=directory,
            name="run",
            record_video=False,
            minimum_success_rate=0.0,
        )
        session = TrainingSession(config, find_run_directory(config))
        clock = CpuClock(session.loop)
        outcome = session.run()
        assert outcome is not None, "nobody stops this run"
        policy = Policy.load(outcome.policy)
        env = environment_of(policy, episode_seconds=config.env.episode_seconds)
        final = evaluate(
            env, policy_controller(policy, env), episodes=final_episodes, seed=FINAL_SEED
        )
        env.close()
    assert final is not None, "nothing interrupts this evaluation"
    # The end of the curve is the policy file on the same held-out goals.
    state = session.state.loop
    end = EvaluationPoint.of(state.env_steps, state.learning_seconds, outcome.evaluation)
    # Rounded, since the ablation's result is kept in the repository.
    points = [
        (
            point.env_steps,
            round(clock.at_steps[point.env_steps], 2),
            round(point.success_5cm, 4),
            round(point.success_2cm, 4),
            round(point.median_error_m, 5),
        )
        for point in [*session.records.points, end]
    ]
    return {
        "points": [dict(zip(POINT, point, strict=True)) for point in points],
        "cpu_seconds": round(clock.seconds, 2),
        "final": _flat(final),
        "revision": policy.spec.training["git_revision"],
        "date": policy.spec.training["date"],
    }


def _flat(final: Evaluation) -> dict[str, Any]:
    """Its figures that are one number each, and the success rates by their tolerance."""
    rates = {f"success_{100 * e.position_tolerance_m:g}cm": e.rate for e in final.success}
    numbers = {key: value for key, value in asdict(final).items() if np.isscalar(value)}
    return {**rates, **numbers}


def main(order: Path, result: Path) -> None:
    """Trains what is in `order`, written by `benchmarks.ablation.runs`; writes `result` whole."""
    given = json.loads(order.read_text(encoding="utf-8"))
    found = train(build(TrainConfig, given["values"]), given["final_episodes"])
    with atomic_write(result) as file:
        file.write_text(json.dumps({**given, **found}) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
