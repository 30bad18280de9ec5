# SPDX-License-Identifier: Apache-2.0
"""Bounds an action so that it drives no joint beyond its velocity limit."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

ZERO_AT = 0.8  # share of the velocity limit at which no accelerating torque is left
WIDTH = 0.3  # share of the limit over which it falls from all to none

# Both bounds are piecewise linear in v: the corners of the lower one, −sat(0.8 + v), then those of
# the upper one, sat(0.8 − v), and what each is there and beyond the ends. Interpolated, and both
# at once as the parts of a complex number, since the environment asks for them at every step.
_FREE = ZERO_AT - WIDTH
_CORNERS = np.array([-ZERO_AT - 1.0, -ZERO_AT, -_FREE, _FREE, ZERO_AT, ZERO_AT + 1.0])
_LOWEST = np.array([1.0, 0.0, -1.0, -1.0, -1.0, -1.0])
_HIGHEST = np.array([1.0, 1.0, 1.0, 1.0, 0.0, -1.0])
_BOUNDS = _LOWEST + 1j * _HIGHEST


def within_velocity(action: ArrayLike, velocity_share: NDArray[np.float64]) -> NDArray[np.float64]:
    """The action [..., n], bounded by how fast each joint already moves.

    An action is a torque over its joint's scale. With v the velocity over its limit, per joint:

        −sat(0.8 + v) ≤ a ≤ sat(0.8 − v),   sat(x) = clip(max(x / 0.3, x), −1, 1)

    Up to 50 % of the limit nothing changes; from 80 % on no torque accelerates the joint further,
    and beyond it brakes: an arm that folds while it turns speeds up by itself. The brake is gentle
    on purpose: held for a control period, a strong one would throw a joint of little inertia to
    the other side (tried: wrists oscillated at five times their limit). It is part of the
    controller, in the exported graph too, so that exploration and the robot keep to the same
    velocities.

    Args:
        action: [..., n], −1..1.
        velocity_share: [..., n], joint velocities over their limits.
    """
    bounds = np.interp(velocity_share, _CORNERS, _BOUNDS)
    return np.minimum(np.maximum(action, bounds.real), bounds.imag)
