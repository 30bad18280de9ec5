# SPDX-License-Identifier: Apache-2.0
"""Environments whose observations tell the episode and the step they are from."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv

ACTION = 2


class CountingEnv(gymnasium.Env[np.ndarray, np.ndarray]):
    """Observation: episode, step, first number of the last action. Ends after `length` steps."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (3,), np.float32)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (ACTION,), np.float32)

    def __init__(self, length: int, terminates: bool = False) -> None:
        self.length = length
        self.terminates = terminates
        self.episode = 0
        self.at = 0
        self.seeds: list[int | None] = []
        self.options: list[dict[str, Any] | None] = []

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        self.seeds.append(seed)
        self.options.append(options)
        self.episode += 1
        self.at = 0
        return self._observation(0.0), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.at += 1
        over = self.at == self.length
        info = {"distance": 0.01 * self.episode, "joint_position": np.full(2, float(self.episode))}
        ends = (over and self.terminates, over and not self.terminates)
        return self._observation(float(action[0])), float(self.at), *ends, info

    def _observation(self, action: float) -> np.ndarray:
        return np.array([self.episode, self.at, action], dtype=np.float32)


def together(envs: list[CountingEnv]) -> SyncVectorEnv:
    """What a collector takes, over `envs`, by Gymnasium itself."""
    return SyncVectorEnv(
        [lambda env=env: env for env in envs],  # type: ignore[misc]
        autoreset_mode=AutoresetMode.DISABLED,
    )
