# SPDX-License-Identifier: Apache-2.0
"""The reach task: bring the end effector to a goal point and stay there, gently."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sac_ros.robots.arm import Arm
from sac_ros.tasks.task import State, Task
from sac_ros.utils.errors import ConfigurationError
from sac_ros.utils.settings import setting, validate

Float32 = NDArray[np.float32]

# Of single precision, as the observations: a Python number is slower in an array's arithmetic.
_ZERO, _FAST, _LIMIT = np.float32(0.0), np.float32(0.8), np.float32(1.0)
_PI, _TURN = np.float32(np.pi), np.float32(2.0 * np.pi)


@dataclass(frozen=True)
class ReachReward:
    """Weights of the reach reward; see `ReachTask.reward`."""

    distance: float = setting(2.0, "weight of the distance to the goal, per m", minimum=0.0)
    closeness: float = setting(6.0, "bonus at the goal itself", minimum=0.0)
    closeness_scale: float = setting(
        0.05, "distance at which the bonus falls to one half", minimum=1e-4, unit="m"
    )
    stillness: float = setting(4.0, "bonus at the goal for joints at rest", minimum=0.0)
    stillness_scale: float = setting(
        0.02,
        "RMS joint velocity, of its limit, at which this bonus falls to one half",
        minimum=1e-4,
    )
    velocity: float = setting(1.4, "weight of the squared, scaled joint velocities", minimum=0.0)
    overspeed: float = setting(
        3.0,
        "weight of the squared excess over 80 % of a velocity limit, linear beyond the limit",
        minimum=0.0,
    )
    configuration: float = setting(
        3.0, "weight of the squared distance of the joints from home", minimum=0.0
    )
    action_change: float = setting(2.0, "weight of the squared change of the action", minimum=0.0)

    def __post_init__(self) -> None:
        validate(self)


class ReachTask(Task):
    """Goal: a point x y z, m, in the arm's base frame.

    | observation term | size | |
    |---|---|---|
    | `joint_position_sin` | n | sin q |
    | `joint_position_cos` | n | cos q |
    | `joint_velocity` | n | q̇ over the joint's velocity limit |
    | `goal` | 3 | m, in the base frame |
    | `goal_offset` | 3 | goal − end effector, m |
    | `previous_action` | n | −1..1 |
    """

    name = "reach"
    goal_fields = ("x", "y", "z")
    goal_unit = "m"
    tolerance = 0.02

    def __init__(self, arm: Arm, reward: Mapping[str, float] | None = None) -> None:
        """Makes the task for `arm`; `reward` holds weights by name, see `ReachReward`.

        Raises:
            ConfigurationError: no such weight, or one that is not in its valid set.
        """
        n = arm.joints
        super().__init__(
            arm,
            {
                "joint_position_sin": n,
                "joint_position_cos": n,
                "joint_velocity": n,
                "goal": 3,
                "goal_offset": 3,
                "previous_action": n,
            },
        )
        weights = [field.name for field in fields(ReachReward)]
        for name in reward or {}:
            if name not in weights:
                raise ConfigurationError(
                    f"reward must have keys among {', '.join(weights)}; got {name!r}"
                )
        self.weights = ReachReward(**(reward or {}))
        # Single precision, as the observations: numpy would make the rewards double otherwise.
        self._home = arm.home.astype(np.float32)

    def observation_terms(self, state: State) -> list[Any]:
        return [
            state.sine,
            state.cosine,
            state.velocity_fraction,
            state.goal,
            state.goal - state.end_effector,
            state.previous_action,
        ]

    def reward(self, observation: Float32, action: Float32, next_observation: Float32) -> Float32:
        """Reward [...] of transitions: observations [..., size], actions [..., n] in −1..1.

        With d the distance after the step, v the velocities after it over their limits, and Δa the
        change of action, each weight w as in `ReachReward`:

            r = (w_c + w_s / (1 + √(mean v²) / σ_v)) / (1 + d/σ) − w_d d
                − w_v mean v² − w_o Σ (max(0, |v| − 0.8)² − max(0, |v| − 1)²)
                − ½ w_p mean (q − home)² − w_a mean Δa²,   q − home in −π..π

        Both bonuses have their steepest slope at the goal itself, at rest, so that the last
        millimetres and the last tremble count: without the one for stillness a redundant arm may
        circle in its null space for ever.
        Overspeed costs its square up to the limit, and in proportion beyond: an arm that explores
        reaches three times the limit, and the square of that, ten times all other terms together,
        is all that the critics would learn.
        The configuration term chooses among the many configurations that reach a goal; without it
        a redundant arm drifts into its joint limits from goal to goal. Its slope must not fall on
        the way: with 1 − cos, flat at π, a wrist that had turned over stayed at its stop.
        """
        w, after, n = self.weights, next_observation, self.arm.joints
        speed = np.abs(after[..., self.columns("joint_velocity")])
        fast, beyond = np.maximum(speed - _FAST, _ZERO), np.maximum(speed - _LIMIT, _ZERO)
        change = action - observation[..., self.columns("previous_action")]
        sine = after[..., self.columns("joint_position_sin")]
        cosine = after[..., self.columns("joint_position_cos")]
        from_home = (np.arctan2(sine, cosine) - self._home + _PI) % _TURN - _PI
        return (
            self.goal_reward(after)
            - w.velocity * _sum_squares(speed) / n
            - w.overspeed * (_sum_squares(fast) - _sum_squares(beyond))
            - 0.5 * w.configuration * _sum_squares(from_home) / n
            - w.action_change * _sum_squares(change) / n
        )

    def goal_reward(self, next_observation: Float32) -> Float32:
        """(w_c + w_s / (1 + √(mean v²) / σ_v)) / (1 + d/σ) − w_d d  [...]."""
        w, n = self.weights, self.arm.joints
        d = np.sqrt(_sum_squares(next_observation[..., self.columns("goal_offset")]))
        speed = np.sqrt(_sum_squares(next_observation[..., self.columns("joint_velocity")]) / n)
        bonus = w.closeness + w.stillness / (1.0 + speed / w.stillness_scale)
        return bonus / (1.0 + d / w.closeness_scale) - w.distance * d

    def goal(self, observation: Float32) -> Float32:
        return observation[..., self.columns("goal")]

    def achieved(self, observation: Float32) -> Float32:
        achieved: Float32 = self.goal(observation) - observation[..., self.columns("goal_offset")]
        return achieved

    def set_goal(self, observation: Float32, goal: Float32) -> None:
        """Exact, since a goal moves nothing: neither dynamics nor end effector depend on it."""
        goals, offsets = self.goal(observation), observation[..., self.columns("goal_offset")]
        # Column by column: numpy takes three times as long over rows of three.
        for column in range(3):
            offsets[..., column] += goal[..., column] - goals[..., column]
            goals[..., column] = goal[..., column]

    def goal_at(self, end_effector: NDArray[np.float64]) -> NDArray[np.float64]:
        return end_effector[..., :3]

    def error(
        self, goal: NDArray[np.float64], end_effector: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        offset = goal - end_effector[..., :3]
        return np.sqrt(_sum_squares(offset))

    def goal_bounds(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return self.arm.goal_low, self.arm.goal_high


def _sum_squares(values: Any) -> Any:
    """Over the last axis: numpy's own sums take two to five times as long over short rows."""
    return np.einsum("...i,...i", values, values)
