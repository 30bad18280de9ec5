# SPDX-License-Identifier: Apache-2.0
"""The reach task: bring the tip to a goal point and stay there, gently."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sac_ros.tasks.observation import ReachEncoding
from sac_ros.utils.settings import setting, validate

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class ReachReward:
    """Weights of the reach reward; see `ReachTask.reward`."""

    distance: float = setting(2.0, "weight of the distance to the goal, per m", minimum=0.0)
    closeness: float = setting(6.0, "bonus at the goal itself", minimum=0.0)
    closeness_scale: float = setting(
        0.05, "distance at which the bonus falls to one half", minimum=1e-4, unit="m"
    )
    velocity: float = setting(1.4, "weight of the squared, scaled joint velocities", minimum=0.0)
    overspeed: float = setting(
        3.0, "weight of the squared excess over 80 % of a velocity limit", minimum=0.0
    )
    posture: float = setting(
        3.0, "weight of the distance of the joints from home, 1 − cos", minimum=0.0
    )
    action_change: float = setting(2.0, "weight of the squared change of the action", minimum=0.0)

    def __post_init__(self) -> None:
        validate(self)


@dataclass(frozen=True, eq=False)
class _Constants:
    """What the reward takes to be few numpy calls: its sums and means are products with rows.

    The environment computes a reward per step, and for a single transition `mean` alone costs
    seven times as much as such a product. For n joints; the squares that are summed stand in a
    row of size + 2 n: of the observation, of the excess velocities, of the changes of action.

    Attributes:
        distance: [size + 2 n] squares to d².
        penalty: [size + 2 n] squares to the weighted sum of the squared terms.
        alignment: [size] observation to the weighted mean of cos(q − home), without the angles
            themselves: cos q cos home + sin q sin home.
        fast: the share of the velocity limit from which on it is overspeed. This and `zero` are
            arrays without an axis: numpy takes twice as long over a Python number.
        zero: 0
        velocity: columns of the velocities.
        previous_action: columns of the previous action.
    """

    distance: Float32
    penalty: Float32
    alignment: Float32
    fast: Float32
    zero: Float32
    velocity: slice
    previous_action: slice

    @classmethod
    def of(
        cls, encoding: ReachEncoding, home: NDArray[np.float64], weights: ReachReward
    ) -> _Constants:
        """The constants for an encoding, a home posture [n] rad and the reward's weights."""
        n, size = len(home), encoding.size
        distance, penalty = np.zeros((2, size + 2 * n), dtype=np.float32)
        distance[encoding.columns("goal_offset")] = 1.0
        penalty[encoding.columns("joint_velocity")] = weights.velocity / n
        penalty[size : size + n] = weights.overspeed
        penalty[size + n :] = weights.action_change / n
        alignment = np.zeros(size, dtype=np.float32)
        alignment[encoding.columns("joint_position_sin")] = weights.posture / n * np.sin(home)
        alignment[encoding.columns("joint_position_cos")] = weights.posture / n * np.cos(home)
        return cls(
            distance=distance,
            penalty=penalty,
            alignment=alignment,
            fast=np.array(0.8, dtype=np.float32),
            zero=np.array(0.0, dtype=np.float32),
            velocity=encoding.columns("joint_velocity"),
            previous_action=encoding.columns("previous_action"),
        )


@dataclass(frozen=True, eq=False)
class ReachTask:
    """Reward of the reach task and its change of goal, both over batches of transitions.

    Both are pure functions of arrays, so that the environment, the replay and a test use the same.
    """

    encoding: ReachEncoding
    home: NDArray[np.float64]
    weights: ReachReward = ReachReward()

    def reward(
        self,
        observation: NDArray[np.float32],
        action: NDArray[np.float32],
        next_observation: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """Reward [...] of transitions: observations [..., size], actions [..., n] in −1..1.

        With d the distance after the step, v the velocities after it over their limits, and Δa the
        change of action, each weight w as in `ReachReward`:

            r = w_c / (1 + d/σ) − w_d d
                − w_v mean v² − w_o Σ max(0, |v| − 0.8)²
                − w_p mean(1 − cos(q − home)) − w_a mean Δa²

        The bonus has its steepest slope at the goal itself, so that the last millimetres count.
        The posture term chooses among the many postures that reach a goal; without it a redundant
        arm drifts into its joint limits from goal to goal.
        """
        w, known = self.weights, self._constants
        v = next_observation[..., known.velocity]
        excess = np.maximum(np.abs(v) - known.fast, known.zero)
        change = action - observation[..., known.previous_action]
        squares = np.square(np.concatenate((next_observation, excess, change), axis=-1))
        return (
            self._of_distance(squares.dot(known.distance))
            - w.posture
            + next_observation.dot(known.alignment)
            - squares.dot(known.penalty)
        )

    @cached_property
    def _constants(self) -> _Constants:
        return _Constants.of(self.encoding, self.home, self.weights)

    def goal(self, observation: NDArray[np.float32]) -> NDArray[np.float32]:
        """The goals [B, 3] m that observations [B, size] carry: a view, not a copy."""
        return observation[:, self.encoding.columns("goal")]

    def achieved(self, observation: NDArray[np.float32]) -> NDArray[np.float32]:
        """The tips [B, 3] m of observations [B, size]."""
        achieved: NDArray[np.float32] = self.goal(observation) - self._offset(observation)
        return achieved

    def set_goal(self, observation: NDArray[np.float32], goal: NDArray[np.float32]) -> None:
        """Writes other goals [B, 3] m into observations [B, size].

        Exact, since a goal moves nothing: neither the dynamics nor the tip depend on it. A row
        whose goal stays keeps every number.
        """
        # Column by column: numpy takes three times as long over rows of three.
        goals, offsets = self.goal(observation).T, self._offset(observation).T
        offsets += goal.T - goals
        goals[...] = goal.T

    def goal_reward(self, next_observation: NDArray[np.float32]) -> NDArray[np.float32]:
        """The terms [B] of `reward` that depend on the goal, for next observations [B, size].

            w_c / (1 + d/σ) − w_d d

        Under another goal a reward changes by the change of this, exactly: the replay need not
        compute the other terms anew.
        """
        # Contiguous, for the same reason as in `set_goal`.
        offset = np.ascontiguousarray(self._offset(next_observation).T)
        return self._of_distance(np.square(offset).sum(axis=0))

    def _of_distance(self, squared: Float32) -> Float32:
        """The terms of the reward that depend on the goal, of squared distances [...] m²."""
        w = self.weights
        d = squared**0.5
        # w_c / (1 + d/σ) with a call less.
        closeness = w.closeness * w.closeness_scale / (w.closeness_scale + d)
        return closeness - w.distance * d

    def _offset(self, observation: NDArray[np.float32]) -> NDArray[np.float32]:
        return observation[:, self.encoding.columns("goal_offset")]
