# SPDX-License-Identifier: Apache-2.0
"""How much of a recording lies within what a policy was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from sac_ros.bags.columns import Array, blocks
from sac_ros.policy.spec import PolicySpec

_TURN = 2.0 * np.pi  # rad; no joint of an arm goes beyond, but for those with such a limit


@dataclass(frozen=True)
class CoverageFigures:
    """How much of the recording lies within what the policy was trained on."""

    percentiles: Annotated[tuple[float, float], "of training; between them is inside."]
    outside_fraction: Annotated[
        float, "share of samples with any joint's position or velocity out."
    ]
    position_outside: Annotated[tuple[float, ...], "[n] shares."]
    velocity_outside: Annotated[tuple[float, ...], "[n] shares."]
    goal_outside_fraction: Annotated[
        float, "share of samples whose goal is outside the trained box."
    ]
    no_goal_fraction: Annotated[float, "share of samples before the first goal."]
    degrees: Annotated[bool, "whether the positions are angles in degrees, by all appearance."]


def coverage_figures(
    position: Array, velocity: Array, goal: NDArray[np.float32], spec: PolicySpec
) -> CoverageFigures:
    """Compare states [m, n], rad and rad/s, with the ``training_range`` of a policy.

    ``goal`` [m, k] is NaN where there is none; joints are in the spec's order.
    """
    trained = spec.training_range
    inside = np.array(trained.joint_position), np.array(trained.joint_velocity)
    low, high = np.array(spec.goal.low, np.float32), np.array(spec.goal.high, np.float32)
    outside, counts = 0, np.zeros((2, spec.joints), dtype=np.int64)
    goals_outside = without = 0
    for part in blocks(len(position)):
        out = [
            (values[part] < bounds[:, 0]) | (values[part] > bounds[:, 1])
            for values, bounds in zip((position, velocity), inside, strict=True)
        ]
        counts += [each.sum(axis=0) for each in out]
        outside += int((out[0] | out[1]).any(axis=1).sum())
        none = np.isnan(goal[part]).any(axis=1)
        without += int(none.sum())
        goals_outside += int(((goal[part] < low) | (goal[part] > high)).any(axis=1).sum())
    m = max(len(position), 1)
    return CoverageFigures(
        percentiles=trained.percentiles,
        outside_fraction=outside / m,
        position_outside=tuple((counts[0] / m).tolist()),
        velocity_outside=tuple((counts[1] / m).tolist()),
        goal_outside_fraction=goals_outside / m,
        no_goal_fraction=without / m,
        degrees=in_degrees(position, np.array(spec.position_limit)),
    )


def in_degrees(position: Array, limit: Array) -> bool:
    """Return whether positions [m, n] fit their limits [n, 2] rad as degrees, and not as radians.

    Half of the states are more than a turn from zero, and nearly all are within the limits when
    taken as degrees.
    """
    turned = fitting = 0
    slack = np.radians(1.0)
    for part in blocks(len(position)):
        angle = np.radians(position[part])
        turned += int(
            (np.abs(position[part]) > np.maximum(_TURN, np.abs(limit).max(axis=1)))
            .any(axis=1)
            .sum()
        )
        inside = (angle >= limit[:, 0] - slack) & (angle <= limit[:, 1] + slack)
        fitting += int(inside.all(axis=1).sum())
    return turned > 0.5 * len(position) and fitting > 0.99 * len(position)
