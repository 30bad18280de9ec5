# SPDX-License-Identifier: Apache-2.0
"""Draws batches from the experience, with goals changed in hindsight."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from sac_ros.sac.agent import Batch

Float32 = NDArray[np.float32]


class Transitions(Protocol):
    """Preallocated arrays of transitions, the first `size` rows valid."""

    observation: Float32
    action: Float32
    reward: Float32
    next_observation: Float32
    terminated: Float32

    @property
    def size(self) -> int:
        """Number of valid rows."""


class GoalTask(Protocol):
    """A task whose goal can be changed afterwards, exactly."""

    def with_goal(self, observation: Float32, goal: Float32) -> Float32:
        """Observations [B, size] with other goals [B, k]."""

    def reward(self, observation: Float32, action: Float32, next_observation: Float32) -> Float32:
        """Rewards [B]."""


class Replay:
    """Uniform draws of transitions, each with probability `share` under another goal.

    Goals are exogenous in the tasks here: drawn independently of what the arm does. A transition
    under a fresh goal from the same distribution, its reward computed anew, is then as true a
    sample of the task as the recorded one. (Hindsight replay, Andrychowicz et al. 2017, draws
    from achieved goals instead and so changes the distribution.)
    """

    def __init__(
        self,
        transitions: Transitions,
        rng: np.random.Generator,
        *,
        task: GoalTask | None = None,
        goals: Float32 | None = None,
        share: float = 0.0,
    ) -> None:
        """Draws from `transitions`.

        Args:
            transitions: where the collector writes.
            rng: source of every draw.
            task: changes goals; None keeps all as recorded.
            goals: [G, k] draws from the task's own goal distribution.
            share: probability that a drawn transition gets another goal.
        """
        self._transitions = transitions
        self.rng = rng
        self._task = task
        self._goals = goals
        self._share = share

    def batches(self, number: int, batch_size: int) -> Iterator[Batch]:
        """`number` independent batches; gathered at once, since one gather is cheaper."""
        source = self._transitions
        total = number * batch_size
        rows = self.rng.integers(source.size, size=total)
        observation = source.observation[rows]
        action = source.action[rows]
        reward = source.reward[rows]
        next_observation = source.next_observation[rows]
        if self._task is not None and self._goals is not None and self._share > 0.0:
            changed = np.flatnonzero(self.rng.random(total) < self._share)
            goal = self._goals[self.rng.integers(len(self._goals), size=len(changed))]
            observation[changed] = self._task.with_goal(observation[changed], goal)
            next_observation[changed] = self._task.with_goal(next_observation[changed], goal)
            reward[changed] = self._task.reward(
                observation[changed], action[changed], next_observation[changed]
            )
        columns = (observation, action, reward, next_observation, source.terminated[rows])
        tensors = [torch.from_numpy(column).split(batch_size) for column in columns]
        for parts in zip(*tensors, strict=True):
            yield Batch(*parts)
