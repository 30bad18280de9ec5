# SPDX-License-Identifier: Apache-2.0
"""Draws postures that a fixed-base arm on a table can be in."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sac_ros.robots.kinematics import KinematicChain
from sac_ros.sim.sim_arm import SimArm

Array = NDArray[np.float64]

LIMIT_SHARE = 0.95  # of each joint's range, so that no posture leans on a stop
TABLE_CLEARANCE = 0.05  # m, of every joint frame above the plane that the base stands on
_BLOCK = 64  # postures tried at once; about one in twelve has its tip in the iiwa's goal box


class PostureSampler:
    """Draws postures whose tip lies in the arm's goal box, off the table, free of self-collision.

    A goal is the tip of such a posture, so every goal can be reached.
    """

    def __init__(self, sim_arm: SimArm, chain: KinematicChain) -> None:
        """Draws for `sim_arm`, which is used to check collisions and left where that ends."""
        self._sim_arm = sim_arm
        self._chain = chain
        arm = sim_arm.arm
        middle = arm.position_limit.mean(axis=1)
        half = LIMIT_SHARE * (arm.position_limit[:, 1] - middle)
        self._low, self._high = middle - half, middle + half

    def draw(self, rng: np.random.Generator, number: int) -> tuple[Array, Array]:
        """`number` postures [number, n] rad and their tips [number, 3] m in the base frame."""
        postures: list[Array] = []
        tips: list[Array] = []
        while len(postures) < number:
            for posture, tip in zip(*self._in_box(rng), strict=True):
                if len(postures) < number and not self._sim_arm.collides_with_itself(posture):
                    postures.append(posture)
                    tips.append(tip)
        return np.array(postures), np.array(tips)

    def draw_near(self, home: Array, spread: float, rng: np.random.Generator) -> Array:
        """One posture [n] rad without self-collision, each joint within `spread` of `home`."""
        while True:
            near = rng.uniform(home - spread, home + spread)
            posture = np.clip(near, self._low, self._high)
            if not self._sim_arm.collides_with_itself(posture):
                return posture

    def _in_box(self, rng: np.random.Generator) -> tuple[Array, Array]:
        arm = self._sim_arm.arm
        q = rng.uniform(self._low, self._high, size=(_BLOCK, arm.joints))
        frames = self._chain.frame_positions(q)
        tip = frames[:, -1]
        inside = np.all((tip >= arm.goal_low) & (tip <= arm.goal_high), axis=-1)
        above = np.all(frames[:, :, 2] >= TABLE_CLEARANCE, axis=-1)
        return q[inside & above], tip[inside & above]
