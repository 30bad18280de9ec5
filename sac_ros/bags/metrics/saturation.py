# SPDX-License-Identifier: Apache-2.0
"""How often a torque is as large as it can be: there it is that of the bound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from sac_ros.bags.columns import Array, blocks

_AT = 0.99  # of a bound: an action that passes a tanh never comes to it


@dataclass(frozen=True)
class SaturationFigures:
    """The share of the states in which a torque is at its bound, to 1 %."""

    name: Annotated[str, "``policy`` or ``recorded``."]
    fraction: Annotated[float, "of the states, any joint."]
    joint_fraction: Annotated[tuple[float, ...], "[n] of the states."]


def saturated(
    torque: NDArray[np.floating],
    limit: Array,
    authority: Array | None = None,
    gravity: NDArray[np.floating] | None = None,
) -> NDArray[np.bool_]:
    """Return where torques [m, n] N·m are at a bound: |τ| ≥ 0.99 · limit, or of the action

        |τ − g(q)| ≥ 0.99 · authority

    ``gravity`` [m, n] is the g(q) in the torque; None where it holds none. ``limit`` and
    ``authority``, see `PolicySpec`, are [n] N·m; without the second only the limit bounds.
    """
    found = np.zeros(torque.shape, dtype=bool)
    for part in blocks(len(torque)):
        values = np.asarray(torque[part], dtype=np.float64)
        found[part] = np.abs(values) >= _AT * limit
        if authority is not None:
            moving = values if gravity is None else values - gravity[part]
            found[part] |= np.abs(moving) >= _AT * authority
    return found


def saturation_figures(name: str, at_bound: NDArray[np.bool_]) -> SaturationFigures:
    """Return the fractions of what `saturated` marks in [m, n]; see there."""
    m = max(len(at_bound), 1)
    joints = at_bound.sum(axis=0) / m
    return SaturationFigures(name, float(at_bound.any(axis=1).sum() / m), tuple(joints.tolist()))
