# SPDX-License-Identifier: Apache-2.0
"""What goes beyond a limit: how often, how far, when, and for how long at a stretch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from sac_ros.bags.columns import Array, blocks
from sac_ros.policy.spec import PolicySpec

_ROUNDING = 1e-5  # share of a limit that float32 may add to a saturated torque


@dataclass(frozen=True)
class LimitFigures:
    """One limit, over all joints."""

    kind: Annotated[str, "torque, torque_rate, position, velocity or non_finite."]
    unit: Annotated[str, "of the values."]
    limit: Annotated[tuple[Any, ...], "[n] or [n] pairs."]
    count: Annotated[int, "samples in which any joint is beyond it."]
    fraction: Annotated[float, "`count` over all samples."]
    joint_count: Annotated[tuple[int, ...], "[n] samples in which that joint is."]
    worst: Annotated[float | None, "value farthest beyond, as a share of its limit; or None."]
    worst_s: Annotated[float | None, "when that was."]
    worst_joint: Annotated[str | None, "which joint that was."]
    longest_run_s: Annotated[float, "the longest time without a sample inside the limit."]


def torque_figures(
    torque: NDArray[np.floating], time_s: Array, limit: Array, joints: Sequence[str]
) -> tuple[LimitFigures, ...]:
    """Return the figures of a torque beyond its limit, and of one that is not finite.

    ``torque`` is [m, n] N·m, a row for each time ``time_s`` [m] that it was decided; ``limit`` is
    [n] N·m.
    """
    over = partial(_over, time_s=time_s, joints=joints)
    return (
        over("torque", "N·m", limit.tolist(), lambda p: np.abs(torque[p]) / limit),
        over("non_finite", "", [], lambda p: np.where(np.isfinite(torque[p]), 0.0, np.inf)),
    )


def rate_figures(
    torque: NDArray[np.floating],
    time_s: Array,
    segment: NDArray[np.int32],
    slew: Array,
    joints: Sequence[str],
) -> LimitFigures:
    """Return the figures of |Δτ| / Δt beyond ``slew`` [n] N·m/s, from row to row.

    The interval decides: a step of 1 N·m is 500 N·m/s in 2 ms and 50 in 20. What is compared has
    to be of the same times, the policy's runs. No rate is taken across a gap, after which
    ``segment`` [m] counts up. ``torque`` is [m, n] N·m at the times ``time_s`` [m].
    """

    def rate(part: slice) -> Array:
        first = max(part.start - 1, 0)
        values = np.asarray(torque[first : part.stop], dtype=float)
        elapsed = np.diff(time_s[first : part.stop])[:, np.newaxis]
        joined = (np.diff(segment[first : part.stop]) == 0)[:, np.newaxis]
        share = np.where(joined, np.abs(np.diff(values, axis=0)) / elapsed, 0.0) / slew
        return share if part.start else np.vstack([np.zeros((1, len(slew))), share])

    return _over("torque_rate", "N·m/s", slew.tolist(), rate, time_s, joints)


def state_figures(
    position: Array, velocity: Array, time_s: Array, spec: PolicySpec
) -> tuple[LimitFigures, ...]:
    """Return the figures of states [m, n], rad and rad/s, beyond the limits of a policy.

    How far a position is beyond its limit is a fraction of half the joint's range, from its
    middle: 1 at either limit. Joints are in the spec's order.
    """
    bounds, top = np.array(spec.position_limit), np.array(spec.velocity_limit)
    middle, half = bounds.mean(axis=1), np.maximum(np.ptp(bounds, axis=1) / 2, 1e-9)
    over = partial(_over, time_s=time_s, joints=spec.joint_names)
    ranges = map(tuple, bounds.tolist())
    return (
        over("position", "rad", ranges, lambda p: np.abs(position[p] - middle) / half),
        over("velocity", "rad/s", top.tolist(), lambda p: np.abs(velocity[p]) / top),
    )


def _over(
    kind: str,
    unit: str,
    limit: Iterable[Any],
    share: Callable[[slice], Array],
    time_s: Array,
    joints: Sequence[str],
) -> LimitFigures:
    """Count what is above 1 in fractions [k, n] of a limit, 1 at the limit."""
    any_over = np.zeros(len(time_s), dtype=bool)
    by_joint = np.zeros(len(joints), dtype=np.int64)
    worst, row, joint = 1.0 + _ROUNDING, -1, -1
    for part in blocks(len(time_s)):
        values = np.nan_to_num(share(part), nan=0.0, posinf=np.inf)
        over = values > 1.0 + _ROUNDING
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
        limit=tuple(limit),
        count=count,
        fraction=count / len(time_s) if len(time_s) else 0.0,
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
