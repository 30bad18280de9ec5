# SPDX-License-Identifier: Apache-2.0
"""Gauss's principle of least constraint: what bounds change of a motion, and no more.

Both the torques of a controlled stop and the accelerations that an arm may have are bounded joint
by joint, while its joints are coupled. The nearest that is within the bounds is asked for, in the
norm of kinetic energy.
"""

from __future__ import annotations

import numpy as np

from sac_ros.policy.safety_config import Array


def reaction_within(unbounded: Array, low: Array, high: Array, matrix: Array) -> Array:
    """Return λ [..., n] that keeps x = unbounded + matrix λ within low and high.

    λ_i is 0 where x_i is between its bounds and points inwards where it is at one of them: x is
    the point nearest to ``unbounded`` in the norm of matrix⁻¹.

    Args:
        unbounded: [..., n].
        low: [..., n], at most 0.
        high: [..., n], at least 0.
        matrix: [..., n, n], symmetric and positive definite.
    """
    reaction = np.zeros_like(unbounded)
    beyond = ((unbounded < low) | (unbounded > high)).any(-1)
    if beyond.any():
        n = unbounded.shape[-1]
        low, high = np.broadcast_to(low, unbounded.shape), np.broadcast_to(high, unbounded.shape)
        matrix = np.broadcast_to(matrix, (*unbounded.shape, n))
        for row in np.argwhere(beyond):
            at = tuple(row)
            reaction[at] = _complementary(unbounded[at], low[at], high[at], matrix[at])
    return reaction


def _complementary(unbounded: Array, low: Array, high: Array, matrix: Array) -> Array:
    """`reaction_within` for one row: a linear complementarity problem by principal pivoting.

    All joints of the wrong kind change it at once (Júdice and Pires 1994), which takes two or
    three rounds; after 2n rounds only the first of them (Murty 1974), which ends. Were it ever to
    take 20n, ``unbounded`` is scaled down to the bounds.
    """
    n = len(unbounded)
    at = np.zeros(n)  # −1, 0, 1: at the low bound, between them, at the high one
    tiny = 1e-9 * np.maximum(np.abs(low), high)
    for turn in range(20 * n):
        reaction = np.zeros(n)
        (bound,) = np.nonzero(at)
        if len(bound):
            there = np.where(at > 0.0, high, low)[bound]
            reaction[bound] = np.linalg.solve(
                matrix[np.ix_(bound, bound)], there - unbounded[bound]
            )
        x = unbounded + matrix @ reaction
        side = np.where(x > high + tiny, 1.0, np.where(x < low - tiny, -1.0, 0.0))
        wrong = np.where(at == 0.0, side != 0.0, reaction * at > 0.0)
        if not wrong.any():
            return reaction
        if turn >= 2 * n:
            wrong[np.argmax(wrong) + 1 :] = False
        at[wrong] = np.where(at == 0.0, side, 0.0)[wrong]
    bounds = np.where(unbounded > 0.0, high, low)
    share = (bounds / np.where(unbounded == 0.0, 1e-300, unbounded)).min()
    return np.asarray(np.linalg.solve(matrix, (min(share, 1.0) - 1.0) * unbounded))
