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
        """The torque [..., n] N·m, bounded for joints that move at `velocity` [..., n] rad/s."""
        # All bounds at once: for one arm a numpy call costs more than the numbers in it.
        lines = self._at_rest + self._slope * np.asarray(velocity)[..., None, None, :]
        left = np.maximum(lines[..., 0, :, :], lines[..., 1, :, :])
        left = np.minimum(np.maximum(left, -self.torque_scale), self.torque_scale)
        return np.minimum(np.maximum(torque, -left[..., 1, :]), left[..., 0, :])

    @cached_property
    def _at_rest(self) -> Array:
        """[2, 2, n] N·m, T · x / 0.3 and T · x of both bounds at v = 0."""
        steep_and_gentle = np.array([1.0 / WIDTH, 1.0])[:, None, None]
        return steep_and_gentle * np.tile(ZERO_AT * self.torque_scale, (2, 1))

    @cached_property
    def _slope(self) -> Array:
        """[2, 2, n] N·m per rad/s: what each of them changes with the velocity."""
        upper_and_lower = np.array([-1.0, 1.0])[:, None]
        return self._at_rest / ZERO_AT * upper_and_lower / self.velocity_limit
