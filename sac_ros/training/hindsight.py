# SPDX-License-Identifier: Apache-2.0
"""Other goals for replayed transitions."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]

# Goals "near" the tip are up to so far from it, in the unit of the goals: m.
NEAR = 0.08


class GoalTask(Protocol):
    """A task whose goal can be changed afterwards, exactly.

    Every observation of an episode carries its goal, the same from its first to its last.
    """

    def goal(self, observation: Float32) -> Float32:
        """The goals [B, k] of observations [B, size]."""

    def achieved(self, observation: Float32) -> Float32:
        """The goals [B, k] that observations [B, size] would have reached: where the tip is."""

    def set_goal(self, observation: Float32, goal: Float32) -> None:
        """Writes goals [B, k] into observations [B, size]; rows that have them already stay."""

    def goal_reward(self, next_observation: Float32) -> Float32:
        """The part [B] of the rewards that depends on the goal.

        Of next observations [B, size] alone: what else is in a reward is the same under any goal.
        """


class Relabel:
    """Draws goals: fresh ones, ones near what was achieved, or the recorded.

    Goals are exogenous in the tasks here: drawn independently of what the arm does. A transition
    under a fresh goal from the same distribution, its reward computed anew, is then as true a
    sample of the task as the recorded one.

    Under such goals the tip is nearly always far away, while what counts in the end is the last
    centimetre. So more and more transitions get a goal near their own tip, as in hindsight replay
    (Andrychowicz et al. 2017): none at first, when they would slow the way there down, and
    `near_share` of all from the middle of the training on.
    """

    def __init__(self, task: GoalTask, goals: Float32, share: float, near_share: float) -> None:
        """Draws for `task`.

        Args:
            task: changes the goals.
            goals: [G, k] draws from the task's own goal distribution.
            share: probability of another goal than the recorded.
            near_share: probability of one near what was achieved, at most `share`.
        """
        self.task = task
        self.progress = 0.0  # of the training, 0..1
        self._share = share
        self._near_share = near_share
        # Coordinates in rows: numpy is slow over rows of two or three numbers.
        self._goals = np.ascontiguousarray(goals.T)

    def draw(self, observation: Float32, rng: np.random.Generator) -> Float32:
        """Goals [B, k] for observations [B, size]."""
        rows = len(observation)
        lot = rng.random(rows, dtype=np.float32)
        goals = self._goals.take(rng.integers(self._goals.shape[1], size=rows), axis=1)
        near = np.flatnonzero(lot < self._near_share * min(1.0, 2.0 * self.progress))
        if len(near):
            goals[:, near] = self._near(self.task.achieved(observation)[near].T, rng)
        np.copyto(goals, self.task.goal(observation).T, where=lot >= self._share)
        return goals.T

    def _near(self, achieved: Float32, rng: np.random.Generator) -> Float32:
        """Points [k, B] in a random direction, uniformly up to `NEAR` away from [k, B]."""
        direction = rng.standard_normal(achieved.shape, dtype=np.float32)
        distance = NEAR * rng.random(achieved.shape[1], dtype=np.float32)
        return achieved + direction * (distance / np.sqrt(np.square(direction).sum(axis=0)))
