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
from sac_ros.training.initial_policy import InitialPolicy
from sac_ros.training.progress import EvaluationPoint, say
from sac_ros.training.replay_buffer import ReplayBuffer
from sac_ros.training.training_loop import LoopState
from sac_ros.utils.errors import ConfigurationError
from sac_ros.utils.settings import flat

# These may differ when a run goes on; what decides the learning may not.
_FREE = (
    "total_steps", "name", "directory", "resume", "collector", "device", "evaluation_interval",
    "ray_address", "ray_collectors", "worker",  # the last of older checkpoints
    "evaluation_episodes", "checkpoint_interval", "checkpoint_copy", "keep_checkpoints",
    "record_video", "robustness_episodes",
    "minimum_success_rate", "initial_policy", "stop_when_good", "good.success_rate",
    "good.median_error_m", "good.hold_rate",
)  # fmt: skip
_WHERE = ("name", "directory", "resume")  # of them, those that name the run


@dataclasses.dataclass(frozen=True, eq=False)
class RunState:
    """Everything that changes while a run learns.

    Attributes:
        agent: networks, temperature and optimisers.
        replay: what was collected.
        rng: of the replay's draws.
        loop: how far the learning has come.
        best: the actor that is exported.
        points: the learning curve.
        began_with: the origin of the initial policy; empty without one.
    """

    agent: SacAgent
    replay: ReplayBuffer
    rng: np.random.Generator
    best: BestActor
    loop: LoopState = dataclasses.field(default_factory=LoopState)
    points: list[EvaluationPoint] = dataclasses.field(default_factory=list)
    began_with: dict[str, Any] = dataclasses.field(default_factory=dict)

    def begin_with(self, initial: InitialPolicy) -> None:
        """Goes on from an initial policy."""
        self.agent.begin_with(initial.actor, initial.learned)
        self.began_with.update(initial.origin)

    def pack(self, config: TrainConfig) -> dict[str, Any]:
        """The content of a checkpoint: tensors, numbers and texts only."""
        replay = self.replay
        return {
            "config": json.dumps(dataclasses.asdict(config)),
            "agent": self.agent.state_dict(),
            "replay": _pack_rows(replay, config.environments),
            "env_steps": replay.env_steps,
            "episodes_done": replay.episodes_done,
            "episodes": torch.from_numpy(replay.episodes),
            "updates": self.loop.updates,
            "learning_seconds": self.loop.learning_seconds,
            "torch_rng": torch.get_rng_state(),
            "numpy_rng": json.dumps(self.rng.bit_generator.state),
            "evaluations": [dataclasses.asdict(point) for point in self.points],
            "best": self.best.state_dict(),
            "began_with": self.began_with,
        }

    def restore(self, saved: dict[str, Any], config: TrainConfig) -> None:
        """Puts everything back in place, torch's random state too; reports what has changed.

        Raises:
            ConfigurationError: a parameter that decides the learning differs from the
                checkpoint's.
        """
        changes = _changes(json.loads(saved["config"]), config)
        began_with = saved.get("began_with", {})  # older checkpoints do not have it
        if config.initial_policy not in ("", file := began_with.get("file", "")):
            raise ConfigurationError(
                f"initial_policy must be {f'{file!r} or ' if file else ''}empty to resume this "
                f"run; got {config.initial_policy!r}"
            )
        replay, rows = self.replay, len(saved["replay"]["reward"])
        if rows != min(saved["env_steps"], replay.capacity):
            raise ConfigurationError(
                f"total_steps must leave room for the {rows} transitions of the checkpoint; "
                f"got {config.total_steps}"
            )
        self.agent.load_state_dict(saved["agent"])
        _restore_rows(replay, saved["replay"], rows, config.environments)
        replay.episodes[:] = saved["episodes"].numpy()
        replay.episodes_done = saved["episodes_done"]
        replay.env_steps = self.loop.env_steps = saved["env_steps"]
        self.loop.updates = saved["updates"]
        self.loop.learning_seconds = saved["learning_seconds"]
        torch.set_rng_state(saved["torch_rng"])
        self.rng.bit_generator.state = json.loads(saved["numpy_rng"])
        self.best.load_state_dict(saved["best"])
        self.began_with.update(began_with)
        self.points[:] = [EvaluationPoint(**point) for point in saved["evaluations"]]
        for line in changes:
            say(line)


def _pack_rows(replay: ReplayBuffer, stride: int) -> dict[str, torch.Tensor]:
    """The rows of a replay buffer, each observation once: half of the size.

    What follows a row in its environment, `stride` rows on, begins with what the row ended with,
    unless the episode was over. `follows` [rows] is where that holds bit for bit; elsewhere
    `next_observation` has the row's own.
    """
    rows = replay.size
    columns = {name: torch.from_numpy(getattr(replay, name)[:rows]) for name in replay.COLUMNS}
    before, after = columns["observation"], columns["next_observation"]
    follows = torch.zeros(rows, dtype=torch.bool)
    if rows > stride:
        same = before[stride:].view(torch.int32) == after[:-stride].view(torch.int32)
        follows[:-stride] = same.all(dim=1)
    return {**columns, "next_observation": after[~follows], "follows": follows}


def _restore_rows(
    replay: ReplayBuffer, saved: dict[str, torch.Tensor], rows: int, stride: int
) -> None:
    for name in set(replay.COLUMNS) - {"next_observation"}:
        getattr(replay, name)[:rows] = saved[name].numpy()
    # An older checkpoint holds all of them.
    follows = saved.get("follows", torch.zeros(rows, dtype=torch.bool)).numpy()
    after = replay.next_observation[:rows]
    after[~follows] = saved["next_observation"].numpy()
    after[follows] = replay.observation[np.flatnonzero(follows) + stride]


def _changes(saved: dict[str, Any], config: TrainConfig) -> list[str]:
    """A line for each setting that differs from the checkpoint's, and may."""
    now = flat(json.loads(json.dumps(dataclasses.asdict(config))))
    # A setting that is newer than the checkpoint had its default.
    before = flat(json.loads(json.dumps(dataclasses.asdict(TrainConfig())))) | flat(saved)
    lines: list[str] = []
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) == now.get(name):
            continue
        if name not in _FREE:
            raise ConfigurationError(
                f"{name} must stay {before.get(name)!r}, as in the checkpoint to resume; "
                f"got {now.get(name)!r}"
            )
        if name in now and name not in _WHERE:
            lines.append(f"{name}: {before[name]} -> {now[name]}")
    return lines
