# SPDX-License-Identifier: Apache-2.0
"""Bounds a torque so that it drives no joint beyond its velocity limit."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

ZERO_AT = 0.8  # share of the velocity limit at which no accelerating torque is left
WIDTH = 0.3  # share of the limit over which it falls from all to none


@dataclass(frozen=True, eq=False)
class VelocityBarrier:
    """Bounds the torque of each joint by how fast it already moves.

    With v the velocity over its limit and T the scale, per joint:

        −T · sat(0.8 + v) ≤ τ ≤ T · sat(0.8 − v),   sat(x) = clip(max(x / 0.3, x), −1, 1)

    Up to 50 % of the limit nothing changes; from 80 % on no torque accelerates the joint further,
    and beyond it brakes: an arm that folds while it turns speeds up by itself. The brake is gentle
    on purpose: held for a control period, a strong one would throw a joint of little inertia to
    the other side (tried: wrists oscillated at five times their limit). It is part of the
    controller, in the exported graph too, so that exploration and the robot keep to the same
    velocities.

    Attributes:
        torque_scale: [n] N·m, T.
        velocity_limit: [n] rad/s.
    """

    torque_scale: Array
    velocity_limit: Array

    def bound(self, torque: ArrayLike, velocity: ArrayLike) -> Array:
        """The torque [..., n] N·m of joints that move at `velocity` [..., n] rad/s, bounded.

        A torque [n] is bounded for each of the velocities.
        """
        rows = np.asarray(velocity)
        # All lines at once: for one arm a numpy call costs more than the numbers in it.
        steep, gentle = self._at_rest + self._slope * rows.reshape(self._row)
        share = np.minimum(np.maximum(np.maximum(steep, gentle), self._least), self.torque_scale)
        highest, lowest = share
        wanted = np.asarray(torque).reshape(self._row)
        return np.minimum(np.maximum(wanted, -lowest), highest).reshape(rows.shape)

    @cached_property
    def _row(self) -> tuple[int, int]:
        """What batches of any shape become: rows [B, n]."""
        return -1, len(self.torque_scale)

    @cached_property
    def _at_rest(self) -> Array:
        """[2, 2, 1, n] N·m, T · x / 0.3 and T · x of the upper and the lower bound at v = 0."""
        slopes = np.array([1.0 / WIDTH, 1.0])[:, None, None, None]
        return slopes * np.tile(ZERO_AT * self.torque_scale, (2, 1, 1))

    @cached_property
    def _slope(self) -> Array:
        """[2, 2, 1, n] N·m per rad/s: what each of them changes with the velocity."""
        upper_and_lower = np.array([-1.0, 1.0])[:, None, None]
        return self._at_rest / ZERO_AT * upper_and_lower / self.velocity_limit

    @cached_property
    def _least(self) -> Array:
        return -self.torque_scale
