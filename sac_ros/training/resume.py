# SPDX-License-Identifier: Apache-2.0
"""What of a run goes into its checkpoint, and how it comes back."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import torch

from sac_ros.sac.agent import SacAgent
from sac_ros.training.best_actor import BestActor
from sac_ros.training.config import TrainConfig
from sac_ros.training.progress import EvaluationPoint
from sac_ros.training.replay_buffer import Experience
from sac_ros.training.training_loop import LoopState
from sac_ros.utils.errors import ConfigurationError

_COLUMNS = (
    "observation", "action", "reward", "next_observation", "joint_position", "terminated", "ended",
)  # fmt: skip

# These may differ when a run goes on; what decides the learning may not.
_FREE = (
    "total_steps", "name", "directory", "resume", "worker", "device", "evaluation_interval",
    "evaluation_episodes", "checkpoint_interval", "keep_checkpoints", "record_video",
)  # fmt: skip


def pack(
    config: TrainConfig,
    agent: SacAgent,
    experience: Experience,
    rng: np.random.Generator,
    state: LoopState,
    points: list[EvaluationPoint],
    best: BestActor,
) -> dict[str, Any]:
    """The content of a checkpoint: tensors, numbers and texts only."""
    env_steps = experience.env_steps
    rows = min(env_steps, experience.shape.capacity)
    return {
        "config": json.dumps(dataclasses.asdict(config)),
        "agent": agent.state_dict(),
        "replay": {name: torch.from_numpy(getattr(experience, name)[:rows]) for name in _COLUMNS},
        "env_steps": env_steps,
        "episodes_done": experience.episodes_done,
        "episodes": torch.from_numpy(experience.episodes),
        "updates": state.updates,
        "learning_seconds": state.learning_seconds,
        "torch_rng": torch.get_rng_state(),
        "numpy_rng": json.dumps(rng.bit_generator.state),
        "evaluations": [dataclasses.asdict(point) for point in points],
        "best": best.state_dict(),
    }


def unpack(
    saved: dict[str, Any],
    config: TrainConfig,
    agent: SacAgent,
    experience: Experience,
    rng: np.random.Generator,
    best: BestActor,
) -> tuple[LoopState, list[EvaluationPoint]]:
    """Restores `agent`, `experience`, the random states and `best` in place.

    Raises:
        ConfigurationError: a parameter that decides the learning differs from the checkpoint's.
    """
    _refuse_other_config(json.loads(saved["config"]), config)
    agent.load_state_dict(saved["agent"])
    rows = len(saved["replay"]["reward"])
    if rows != min(saved["env_steps"], experience.shape.capacity):
        raise ConfigurationError(
            f"total_steps must leave room for the {rows} transitions of the checkpoint; "
            f"got {config.total_steps}"
        )
    for name in _COLUMNS:
        getattr(experience, name)[:rows] = saved["replay"][name].numpy()
    experience.episodes[:] = saved["episodes"].numpy()
    experience.episodes_done = saved["episodes_done"]
    experience.env_steps = saved["env_steps"]
    torch.set_rng_state(saved["torch_rng"])
    best.load_state_dict(saved["best"])
    rng.bit_generator.state = json.loads(saved["numpy_rng"])
    state = LoopState(saved["env_steps"], saved["updates"], saved["learning_seconds"])
    return state, [EvaluationPoint(**point) for point in saved["evaluations"]]


def _refuse_other_config(saved: dict[str, Any], config: TrainConfig) -> None:
    before, now = _flat(saved), _flat(json.loads(json.dumps(dataclasses.asdict(config))))
    for name in sorted(before.keys() | now.keys()):
        if name not in _FREE and before.get(name) != now.get(name):
            raise ConfigurationError(
                f"{name} must stay {before.get(name)!r}, as in the checkpoint to resume; "
                f"got {now.get(name)!r}"
            )


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            leaves |= _flat(value, f"{prefix}{key}.")
        else:
            leaves[prefix + key] = value
    return leaves
