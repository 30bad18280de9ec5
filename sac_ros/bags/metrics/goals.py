# SPDX-License-Identifier: Apache-2.0
"""The figures of a policy goal by goal: one that it cannot reach hides among those it can."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from sac_ros.bags.columns import Array, blocks, finite_rows

_LISTED = 100  # goals; a stream of them has thousands


@dataclass(frozen=True)
class GoalFigures:
    """One goal, from when it first stood until the next; the first hundred."""

    goal: Annotated[tuple[float, ...], "[k] by the policy's task."]
    from_s: Annotated[float, "first state of it."]
    to_s: Annotated[float, "last state of it."]
    samples: Annotated[int, "states of it that are compared with a recorded torque."]
    rmse: Annotated[float | None, "√(mean e²), N·m, of all joints; None: none is compared."]
    rmse_authority: Annotated[float | None, "√(mean (e / action_scale)²); None likewise."]
    saturation: Annotated[float, "share of its states with the policy at a bound."]


def goal_figures(
    goal: NDArray[np.float32],
    error: NDArray[np.floating],
    at_bound: NDArray[np.bool_],
    time_s: Array,
    authority: Array,
) -> tuple[GoalFigures, ...]:
    """Return the figures of each goal that stood.

    Args:
        goal: [m, k] of each state; NaN without.
        error: [m, n] N·m, policy minus recorded; NaN where there is none.
        at_bound: [m, n] where the policy's torque is at a bound.
        time_s: [m] s.
        authority: [n] N·m, the action scale.
    """
    stands = finite_rows(goal)
    begins = np.ones(len(goal), dtype=bool)
    begins[1:] = (goal[1:] != goal[:-1]).any(axis=1) & (stands[1:] | stands[:-1])
    starts = np.flatnonzero(begins)
    ends = np.append(starts[1:], len(goal))
    spans = [(a, b) for a, b in zip(starts.tolist(), ends.tolist(), strict=True) if stands[a]]
    return tuple(
        _of_goal(goal[a], error[a:b], at_bound[a:b], time_s[a:b], authority)
        for a, b in spans[:_LISTED]
    )


def _of_goal(
    goal: NDArray[np.float32],
    error: NDArray[np.floating],
    at_bound: NDArray[np.bool_],
    time_s: Array,
    authority: Array,
) -> GoalFigures:
    samples, square = 0, np.zeros(len(authority))
    for part in blocks(len(error)):
        known = error[part][finite_rows(error[part])].astype(np.float64)
        samples += len(known)
        square += (known**2).sum(axis=0)
    return GoalFigures(
        goal=tuple(goal.tolist()),
        from_s=float(time_s[0]),
        to_s=float(time_s[-1]),
        samples=samples,
        rmse=float(np.sqrt(square.mean() / samples)) if samples else None,
        rmse_authority=float(np.sqrt((square / authority**2).mean() / samples))
        if samples
        else None,
        saturation=float(at_bound.any(axis=1).mean()),
    )
