# SPDX-License-Identifier: Apache-2.0
"""Other goals for replayed transitions."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sac_ros.tasks.task import Task

Float32 = NDArray[np.float32]


class Steps(Protocol):
    """Where transitions are."""

    observation: Float32
    action: Float32


class HindsightRelabeler:
    """Draws goals: fresh ones, ones near what was achieved, or the recorded.

    Goals are exogenous in the tasks here: drawn independently of what the arm does. A transition
    under a fresh goal from the same distribution, its reward computed again, is then as true a
    sample of the task as the recorded one.

    Under such goals the end effector is nearly always far away, while what counts in the end is
    the last centimetre. So more and more transitions get a goal near their own end effector, as in
    hindsight replay (Andrychowicz et al. 2017): none at first, when they would slow the way there
    down, and `near_probability` of all from the middle of the training on.
    """

    def __init__(
        self, task: Task, goals: Float32, probability: float, near_probability: float
    ) -> None:
        """Draws for `task`.

        Args:
            task: changes the goals.
            goals: [G, g] draws from the task's own goal distribution, as they are observed.
            probability: of another goal than the recorded.
            near_probability: of one near what was achieved, at most `probability`.
        """
        self.task = task
        self.progress = 0.0  # of the training, 0..1
        self._probability = probability
        self._near_probability = near_probability
        # Coordinates in rows: numpy is slow over rows of two or three numbers.
        self._goals = np.ascontiguousarray(goals.T)

    def late_reward(self, transitions: Steps, rows: NDArray[np.int64]) -> Float32 | float:
        """What [B] is added to the rewards of `rows` by now, see `Task.late_reward`."""
        if not self.task.weights.action_change_end:
            return 0.0
        columns = self.task.columns("previous_action")
        before, action = transitions.observation[rows, columns], transitions.action[rows]
        return self.task.late_reward(before, action, self.progress)

    def draw(self, observation: Float32, rng: np.random.Generator) -> Float32:
        """Observed goals [B, g] for observations [B, size]."""
        rows = len(observation)
        lot = rng.random(rows, dtype=np.float32)
        goals = self._goals.take(rng.integers(self._goals.shape[1], size=rows), axis=1)
        near = np.flatnonzero(lot < self._near_probability * min(1.0, 2.0 * self.progress))
        if len(near):
            goals[:, near] = self.task.near(self.task.achieved(observation)[near], rng).T
        np.copyto(goals, self.task.goal(observation).T, where=lot >= self._probability)
        return goals.T
