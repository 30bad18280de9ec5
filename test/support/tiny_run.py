# SPDX-License-Identifier: Apache-2.0
"""Training runs of a few hundred steps: everything happens, nothing is learned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from sac_ros.sac.config import SacConfig
from sac_ros.training import parts
from sac_ros.training.config import EnvironmentConfig, TrainConfig
from sac_ros.training.final_report import Outcome
from sac_ros.training.run_directory import RunDirectory, find_run_directory
from sac_ros.training.runner import TrainingSession

GOALS = 100  # for hindsight; a second less of drawing than with as many as a real run has
SAC: dict[str, Any] = {"hidden_sizes": (8, 8), "batch_size": 16, "learning_starts": 100}


OpenSession = Callable[..., TrainingSession]
"""Takes changes of `tiny_config`."""


def tiny_config(directory: Path, **changes: Any) -> TrainConfig:
    """A run in this process, repeatable; `changes` replace fields, `sac` and `env` as dicts."""
    sac = SacConfig(**{**SAC, **changes.pop("sac", {})})
    env = EnvironmentConfig(**{"episode_seconds": 0.4, **changes.pop("env", {})})
    fields: dict[str, Any] = {
        "name": "tiny",
        "directory": str(directory),
        "total_steps": 400,
        "collector": "in_process",
        "environments": 2,
        "evaluation_interval": 200,
        "evaluation_episodes": 2,
        "checkpoint_interval": 150,
        "record_video": False,
        "robustness_episodes": 0,
        "warm_up_steps": 40,
        "minimum_success_rate": 0.0,
    }
    return TrainConfig(**{**fields, **changes}, sac=sac, env=env)


def open_session(directory: Path, **changes: Any) -> TrainingSession:
    config = tiny_config(directory, **changes)
    with patch.object(parts, "GOAL_POOL", GOALS):
        return TrainingSession(config, find_run_directory(config))


@dataclass(frozen=True)
class TinyRun:
    """A run that has ended."""

    config: TrainConfig
    directory: RunDirectory
    outcome: Outcome


def finished_run(directory: Path, **changes: Any) -> TinyRun:
    session = open_session(directory, **changes)
    outcome = session.run()
    assert outcome is not None
    return TinyRun(session.config, session.directory, outcome)


def stopped_after(session: TrainingSession, steps: int) -> None:
    """Runs a session that is told to stop at the first block that reaches `steps`."""
    run_block = session.loop.run_block

    def block(interrupted: Callable[[], bool]) -> bool:
        finished = run_block(interrupted)
        if session.loop.state.env_steps >= steps:
            session.stop()
        return finished

    session.loop.run_block = block  # type: ignore[method-assign]
    assert session.run() is None
