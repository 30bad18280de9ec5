# SPDX-License-Identifier: Apache-2.0
"""What a finished run writes and says."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable

from sac_ros.policy.runtime import Policy
from sac_ros.sim.vector_env import ArmVectorEnv
from sac_ros.training.config import TrainConfig
from sac_ros.training.evaluation import (
    HELD_OUT_SEED,
    HOLD_SECONDS,
    Evaluation,
    evaluate,
    policy_controller,
)
from sac_ros.training.model_card import model_card
from sac_ros.training.progress import Records
from sac_ros.training.report import evaluation_table, save_learning_curve, save_reaching
from sac_ros.training.run_directory import RunDirectory
from sac_ros.training.training_loop import LoopState
from sac_ros.utils.atomic_write import atomic_write

_THRESHOLDS = (0.5, 0.9, 0.95)


@dataclasses.dataclass(frozen=True, eq=False)
class FinalReport:
    """Measures the exported policy file and writes figures, curve, video and model card."""

    directory: RunDirectory
    config: TrainConfig
    records: Records
    state: LoopState

    def write(
        self,
        policy: Policy,
        env: ArmVectorEnv,
        camera_env: Callable[[], ArmVectorEnv],
        interrupted: Callable[[], bool],
    ) -> Evaluation | None:
        """Writes all files; gives how the policy did, or None when interrupted before.

        Args:
            policy: the file that was exported: what is measured is what is shipped.
            env: where it is measured.
            camera_env: makes an environment with render mode `rgb_array`.
            interrupted: whether to stop.
        """
        result = evaluate(
            env,
            policy_controller(policy, env),
            episodes=self.config.evaluation_episodes,
            seed=HELD_OUT_SEED,
            hold_seconds=HOLD_SECONDS,
            interrupted=interrupted,
        )
        if result is None:
            return None
        self._write_figures(result)
        with atomic_write(self.directory.model_card) as file:
            file.write_text(model_card(policy, policy.path.name), encoding="utf-8")
        title = f"{self.config.arm}, seed {self.config.seed}"
        save_learning_curve(self.records.points, self.directory.learning_curve, title)
        if self.config.record_video:
            camera = camera_env()
            save_reaching(camera, policy_controller(policy, camera), self.directory.video)
            camera.close()
        return result

    def text(self, result: Evaluation) -> str:
        """The table and the list of files, for the terminal."""
        files = sorted(
            str(path)
            for path in self.directory.path.glob("*.*")
            if not path.name.startswith("events.")
        )
        table = evaluation_table(result, self._time_rows())
        return "\n".join([f"\n{self.directory.policy}", table, "", *files])

    def _write_figures(self, result: Evaluation) -> None:
        content = {
            **dataclasses.asdict(result),
            "seconds_to": {str(share): self.records.seconds_to(share) for share in _THRESHOLDS},
            "learning_seconds": self.state.learning_seconds,
            "env_steps": self.state.env_steps,
            "updates": self.state.updates,
        }
        with atomic_write(self.directory.evaluation) as file:
            file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

    def _time_rows(self) -> list[tuple[str, str]]:
        rows = []
        for share in _THRESHOLDS:
            seconds = self.records.seconds_to(share)
            value = "not reached" if seconds is None else f"{seconds:.1f} s of learning"
            rows.append((f"{share:.0%} within 5 cm after", value))
        rows.append(("learning", f"{self.state.learning_seconds:.1f} s"))
        rows.append(("env steps", f"{self.state.env_steps:,}"))
        rows.append(("updates", f"{self.state.updates:,}"))
        return rows
