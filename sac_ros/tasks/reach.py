# SPDX-License-Identifier: Apache-2.0
"""The reach task: bring the end effector to a goal point and stay there, gently."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sac_ros.robots.arm import Arm
from sac_ros.tasks.task import Array, Float32, State, Task, sum_squares


class ReachTask(Task):
    """Goal: a point x y z, m, in the arm's base frame.

    | observation term | size | |
    |---|---|---|
    | `goal` | 3 | m, in the base frame |
    | `goal_offset` | 3 | goal − end effector, m |
    """

    name = "reach"
    purpose = "brings the end effector to a goal point and keeps it there"
    goal_fields = ("x", "y", "z")

    def __init__(
        self,
        arm: Arm,
        reward: Mapping[str, float] | None = None,
        memory: Mapping[str, int] | None = None,
        aims: bool = False,
    ) -> None:
        super().__init__(arm, reward, {"goal": 3, "goal_offset": 3}, memory, aims)

    def goal_terms(self, state: State) -> list[Any]:
        return [state.goal, state.goal - state.end_effector]

    def errors(self, observation: Any) -> tuple[Any, ...]:
        return (observation[..., self.columns("goal_offset")],)

    def distance(self, observation: Float32) -> Float32:
        return np.sqrt(sum_squares(observation[..., self.columns("goal_offset")]))

    def goal(self, observation: Float32) -> Float32:
        return observation[..., self.columns("goal")]

    def achieved(self, observation: Float32) -> Float32:
        achieved: Float32 = self.goal(observation) - observation[..., self.columns("goal_offset")]
        return achieved

    def set_goal(self, observation: Float32, goal: Float32) -> None:
        """Exact, since a goal moves nothing: neither dynamics nor end effector depend on it."""
        if self.aims:
            changed = np.any(goal != self.goal(observation), axis=-1)
        goals, offsets = self.goal(observation), observation[..., self.columns("goal_offset")]
        # Column by column: numpy takes three times as long over rows of three.
        for column in range(3):
            offsets[..., column] += goal[..., column] - goals[..., column]
            goals[..., column] = goal[..., column]
        if self.aims:
            rows = observation[changed]
            self.update_aim(rows)
            observation[changed] = rows

    def goal_at(self, end_effector: Array) -> Array:
        return end_effector[..., :3]
