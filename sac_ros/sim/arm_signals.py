# SPDX-License-Identifier: Apache-2.0
"""Between a policy and arms: actions become torques, and sensor readings are told apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sac_ros.robots.arm import ArmModel
from sac_ros.robots.dynamics import GravityModel
from sac_ros.robots.torque_speed_envelope import within_velocity

Array = NDArray[np.float64]
Float32 = NDArray[np.float32]


class ArmSignals:
    """What every step converts, for one arm as [n] or for k of a kind at once as [k, n].

    numpy takes most of such a conversion's time for the call itself: for four arms at once it is
    hardly longer than for one.
    """

    def __init__(
        self, arm: ArmModel, action_scale: Array, gravity: GravityModel | None = None
    ) -> None:
        """Converts for `arm`, where an action of one is a torque of `action_scale` [n] N·m.

        Args:
            arm: the arm.
            action_scale: [n] N·m.
            gravity: what the torque has to hold up; None where the robot does that itself.
        """
        self._action_scale = action_scale
        self._gravity = gravity
        self._velocity_limit = arm.velocity_limit
        self._joints = arm.joints
        # Arrays without an axis: numpy takes twice as long over a Python number, and for several
        # arms three times as long over a row.
        self._lowest_action, self._highest_action = np.array(-1, "f4"), np.array(1, "f4")
        # A bounded action is within −1..1, so there is nothing to clip where the scale is less.
        self._may_exceed = bool(np.any(action_scale > arm.torque_limit))
        self._lowest_torque, self._highest_torque = -arm.torque_limit, arm.torque_limit

    def clipped(self, action: ArrayLike) -> Float32:
        """Actions [..., n], clipped to −1..1."""
        wanted = np.asarray(action, dtype=np.float32)
        clipped: Float32 = np.minimum(
            np.maximum(wanted, self._lowest_action), self._highest_action
        )
        return clipped

    def torque(self, action: ArrayLike, velocity_share: Array, position: Array) -> Array:
        """The torque [..., n] N·m of actions [..., n].

        `action_scale · a`, bounded near the velocity limits, plus g(q) where the robot does not
        add it; all within the torque limits.

        Args:
            action: [..., n], −1..1.
            velocity_share: [..., n], joint velocities over their limits.
            position: [..., n] rad.
        """
        torque = self._action_scale * within_velocity(action, velocity_share)
        if self._gravity is not None:
            return self.within_torque(torque + self._gravity.torque(position))
        return self.within_torque(torque) if self._may_exceed else torque

    def within_torque(self, torque: ArrayLike) -> Array:
        """Torques [..., n] N·m, clipped to the arm's limits."""
        clipped: Array = np.minimum(np.maximum(torque, self._lowest_torque), self._highest_torque)
        return clipped

    def parts(self, readings: Array) -> tuple[Array, Array, Array]:
        """Positions [..., n] rad, velocities [..., n] rad/s and tips [..., 3] m: views.

        Args:
            readings: [..., 2 n + 3], see `SimArm.readings`.
        """
        n = self._joints
        return readings[..., :n], readings[..., n : 2 * n], readings[..., 2 * n :]

    def velocity_share(self, velocity: Array) -> Array:
        """Joint velocities [..., n] rad/s over their limits."""
        return velocity / self._velocity_limit
