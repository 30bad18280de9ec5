# SPDX-License-Identifier: Apache-2.0
"""Bounds a torque so that it drives no joint beyond its velocity limit."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

ZERO_AT = 0.8  # share of the velocity limit at which no accelerating torque is left
WIDTH = 0.3  # share of the limit over which it falls from all to none

# sat(0.8 − v) is piecewise linear in v: its corners, and its values there and beyond the ends.
# Interpolated, since the environment asks for it at every step and numpy's clip is slow for a row.
_CORNERS = np.array([ZERO_AT - WIDTH, ZERO_AT, ZERO_AT + 1.0])
_SHARES = np.array([1.0, 0.0, -1.0])
_LOWER_CORNERS, _LOWER_SHARES = -_CORNERS[::-1], -_SHARES[::-1]  # the same of −sat(0.8 + v)


def within_velocity(
    torque: ArrayLike,
    velocity: ArrayLike,
    *,
    torque_scale: NDArray[np.float64],
    velocity_limit: NDArray[np.float64],
) -> NDArray[np.float64]:
    """The torque [..., n] N·m, bounded by how fast each joint already moves.

    With v the velocity over its limit and T the scale, per joint:

        −T · sat(0.8 + v) ≤ τ ≤ T · sat(0.8 − v),   sat(x) = clip(max(x / 0.3, x), −1, 1)

    Up to 50 % of the limit nothing changes; from 80 % on no torque accelerates the joint further,
    and beyond it brakes: an arm that folds while it turns speeds up by itself. The brake is gentle
    on purpose: held for a control period, a strong one would throw a joint of little inertia to
    the other side (tried: wrists oscillated at five times their limit). It is part of the
    controller, in the exported graph too, so that exploration and the robot keep to the same
    velocities.

    Args:
        torque: [..., n] N·m.
        velocity: [..., n] rad/s.
        torque_scale: [n] N·m, T.
        velocity_limit: [n] rad/s.
    """
    v = np.asarray(velocity) / velocity_limit
    highest = torque_scale * np.interp(v, _CORNERS, _SHARES)
    lowest = torque_scale * np.interp(v, _LOWER_CORNERS, _LOWER_SHARES)
    return np.minimum(np.maximum(torque, lowest), highest)
