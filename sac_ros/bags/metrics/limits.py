# SPDX-License-Identifier: Apache-2.0
"""What goes beyond a limit: how often, how far, when, and for how long at a stretch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from sac_ros.bags.columns import blocks
from sac_ros.policy.spec import PolicySpec

Array = NDArray[np.float64]

ROUNDING = 1e-5
"""Share of a limit that float32 may add to a saturated torque."""


@dataclass(frozen=True)
class LimitFigures:
    """One limit, over all joints."""

    kind: Annotated[
        str, "``torque``, ``torque_rate``, ``position``, ``velocity`` or ``non_finite``."
    ]
    unit: Annotated[str, "of the values."]
    limit: Annotated[tuple[Any, ...], "[n] or [n] pairs."]
    count: Annotated[int, "samples in which any joint is beyond it."]
    share: Annotated[float, "`count` over all samples."]
    joint_count: Annotated[tuple[int, ...], "[n] samples in which that joint is."]
    worst: Annotated[
        float | None,
        "the value farthest beyond its limit, as a share of it; None where there is none.",
    ]
    worst_s: Annotated[float | None, "when and which joint."]
    worst_joint: Annotated[str | None, "when and which joint."]
    longest_run_s: Annotated[float, "the longest time without a sample inside the limit."]


def torque_figures(
    torque: NDArray[np.floating], limit: Array, time_s: Array, joints: Sequence[str]
) -> tuple[LimitFigures, LimitFigures]:
    """Return the figures of a torque [m, n], N·m, beyond its limit and of one that is no number.

    Rows that are NaN as a whole are samples without a torque and must be left out before.
    """
    over = partial(_over, time_s=time_s, joints=joints)
    bounds = tuple(limit.tolist())
    return (
        over("torque", "N·m", bounds, lambda p: np.abs(torque[p]) / limit),
        over("non_finite", "", (), lambda p: np.where(np.isfinite(torque[p]), 0.0, np.inf)),
    )


def rate_figures(
    torque: NDArray[np.floating],
    segment: NDArray[np.int32],
    slew: Array,
    time_s: Array,
    joints: Sequence[str],
) -> LimitFigures:
    """Return the figures of |Δτ| / Δt beyond the slew limit, N·m/s, within segments.

    Args:
        torque: [d, n] N·m, one row for each time that it was decided.
        segment: [d] counts up after every gap.
        slew: [n] N·m/s.
        time_s: [d] s.
        joints: [n] names.
    """

    def share(part: slice) -> Array:
        first = max(part.start - 1, 0)
        values = np.asarray(torque[first : part.stop], dtype=float)
        elapsed = np.diff(time_s[first : part.stop])[:, np.newaxis]
        joined = (np.diff(segment[first : part.stop]) == 0)[:, np.newaxis]
        rate = np.where(joined, np.abs(np.diff(values, axis=0)) / elapsed, 0.0) / slew
        return rate if part.start else np.vstack([np.zeros((1, len(slew))), rate])

    return _over("torque_rate", "N·m/s", tuple(slew.tolist()), share, time_s, joints)


def state_figures(
    position: Array, velocity: Array, spec: PolicySpec, order: NDArray[np.intp], time_s: Array
) -> tuple[LimitFigures, LimitFigures]:
    """Return the figures of recorded states beyond the policy's position and velocity limits.

    How far a position is beyond its limit is told as a share of half the joint's range, from its
    middle: 1 at either limit.

    Args:
        position: [m, n] rad.
        velocity: [m, n] rad/s.
        spec: whose limits.
        order: [n] where each joint stands in the spec.
        time_s: [m] s.
    """
    names = [spec.joint_names[i] for i in order]
    bounds = np.array(spec.position_limit)[order]
    middle, half = bounds.mean(axis=1), np.maximum(np.ptp(bounds, axis=1) / 2, 1e-9)
    top = np.array(spec.velocity_limit)[order]
    over = partial(_over, time_s=time_s, joints=names)
    ranges = tuple(map(tuple, bounds.tolist()))
    return (
        over("position", "rad", ranges, lambda p: np.abs(position[p] - middle) / half),
        over("velocity", "rad/s", tuple(top.tolist()), lambda p: np.abs(velocity[p]) / top),
    )


def _over(
    kind: str,
    unit: str,
    limit: tuple[object, ...],
    share: Callable[[slice], Array],
    time_s: Array,
    joints: Sequence[str],
) -> LimitFigures:
    """Judge shares [k, n] of a limit, 1 at the limit."""
    any_over = np.zeros(len(time_s), dtype=bool)
    by_joint = np.zeros(len(joints), dtype=np.int64)
    worst, row, joint = 1.0 + ROUNDING, -1, -1
    for part in blocks(len(time_s)):
        values = np.nan_to_num(share(part), nan=0.0, posinf=np.inf)
        over = values > 1.0 + ROUNDING
        if not over.any():
            continue
        any_over[part] = over.any(axis=1)
        by_joint += over.sum(axis=0)
        place = int(values.argmax())
        if values.flat[place] > worst:
            worst = float(values.flat[place])
            row, joint = part.start + place // len(joints), place % len(joints)
    count = int(any_over.sum())
    starts, ends = runs(any_over)
    return LimitFigures(
        kind=kind,
        unit=unit,
        limit=limit,
        count=count,
        share=count / len(time_s) if len(time_s) else 0.0,
        joint_count=tuple(by_joint.tolist()),
        worst=worst if count and np.isfinite(worst) else None,
        worst_s=float(time_s[row]) if count else None,
        worst_joint=joints[joint] if count else None,
        longest_run_s=float(np.max(time_s[ends] - time_s[starts], initial=0.0)),
    )


def runs(
    flags: NDArray[np.bool_], breaks: NDArray[np.intp] | None = None
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the first and the last row of every stretch of raised flags.

    A stretch ends before each row of ``breaks``, too.
    """
    before = np.concatenate([[False], flags[:-1]]) if len(flags) else flags.copy()
    after = np.concatenate([flags[1:], [False]]) if len(flags) else flags.copy()
    if breaks is not None:
        before[breaks] = after[breaks - 1] = False
    return np.flatnonzero(flags & ~before), np.flatnonzero(flags & ~after)
