# SPDX-License-Identifier: Apache-2.0
"""A torque against the recorded one, and the baselines that put its error into proportion.

A small RMSE alone has misled people: where commands hardly change from one to the next, holding
the last one is nearly perfect. So three predictions that know nothing stand beside the policy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from sac_ros.bags.columns import Array

_DEAD_BAND = 0.01  # of the torque limit: below it a sign is noise
_MOVES = 1e-20  # product of two variances of torque over limit: a constant is below it


@dataclass(frozen=True)
class ErrorRow:
    """A torque against the recorded one, of one joint or of all joints together.

    With e = τ − τ_recorded over all compared samples:
    """

    bias: Annotated[float, "mean e, N·m."]
    mae: Annotated[float, "mean |e|, N·m."]
    rmse: Annotated[float, "√(mean e²), N·m."]
    p95: Annotated[float, "95th percentile of |e|, N·m."]
    max: Annotated[float, "largest |e|, N·m."]
    max_s: Annotated[float, "when that was."]
    rmse_share: Annotated[float, "√(mean (e / limit)²); overall: over joints and samples."]
    max_share: Annotated[float, "largest |e| / limit."]
    rmse_authority: Annotated[float, "√(mean (e / action_scale)²): of what the policy can ask."]
    max_authority: Annotated[float, "largest |e| / action_scale."]
    drift: Annotated[float, "rise of a line through e, from first to last sample, N·m."]
    sign_agreement: Annotated[float | None, "same signs, where both are beyond 1 % of the limit."]
    correlation: Annotated[float | None, "Pearson's, overall of τ / limit; None: one is constant."]
    motion_correlation: Annotated[
        float | None, "the same of (τ − g(q)) / action_scale, what moves the arm."
    ]


@dataclass(frozen=True)
class ErrorFigures:
    """`ErrorRow` overall and of each joint."""

    name: Annotated[str, "``policy``, or a baseline: ``hold_last``, ``zero``, ``mean``."]
    samples: Annotated[int, "compared samples."]
    overall: Annotated[ErrorRow, "of all joints."]
    joints: Annotated[tuple[ErrorRow, ...], "[n]."]


def all_errors(
    policy: NDArray[np.floating],
    recorded: Array,
    time_s: Array,
    limit: Array,
    authority: Array,
    gravity: NDArray[np.floating] | None = None,
) -> tuple[ErrorFigures, ...]:
    """Compare a policy and the three baselines with the recording; empty without samples.

    Args as `error_figures`.
    """
    if not len(time_s):
        return ()
    recorded = _by_joint(recorded)
    predictions = {
        "policy": policy,
        # The very first sample has none before it: a robot starts from no torque.
        "hold_last": np.vstack([np.zeros_like(limit), recorded[:-1]]),
        "zero": np.zeros_like(recorded),
        "mean": np.broadcast_to(recorded.mean(axis=0), recorded.shape),
    }
    rest = recorded, time_s, limit, authority, gravity
    return tuple(error_figures(name, each, *rest) for name, each in predictions.items())


def error_figures(
    name: str,
    predicted: NDArray[np.floating],
    recorded: Array,
    time_s: Array,
    limit: Array,
    authority: Array,
    gravity: NDArray[np.floating] | None = None,
) -> ErrorFigures:
    """Compare two torques [c, n] N·m at the times ``time_s`` [c].

    ``limit`` and ``authority``, the policy's action scale, are [n] N·m. ``gravity`` [c, n] N·m is
    the g(q) in the torques; None where they hold none.
    """
    asked, given = _by_joint(predicted), _by_joint(recorded)
    held = None if gravity is None else _by_joint(gravity)
    rows = [
        _row(
            asked[:, joints],
            given[:, joints],
            time_s,
            limit[joints],
            authority[joints],
            0.0 if held is None else held[:, joints],
        )
        for joints in (slice(None), *(slice(j, j + 1) for j in range(len(limit))))
    ]
    return ErrorFigures(name, len(time_s), overall=rows[0], joints=tuple(rows[1:]))


def _by_joint(torque: NDArray[np.floating]) -> Array:
    """Return a torque with each joint's values side by side in memory: three times as fast."""
    return np.asfortranarray(torque, dtype=np.float64)


def _row(
    predicted: Array,
    recorded: Array,
    time_s: Array,
    limit: Array,
    authority: Array,
    gravity: Array | float,
) -> ErrorRow:
    """Compare torques [c, k] of one joint or of all."""
    error = predicted - recorded
    size = np.abs(error)
    worst = size.max(axis=1)
    band = _DEAD_BAND * limit
    signed = (np.abs(predicted) > band) & (np.abs(recorded) > band)
    same = signed & ((predicted > 0.0) == (recorded > 0.0))
    place = math.ceil(0.95 * size.size) - 1  # so many are smaller; np.quantile is slow
    return ErrorRow(
        bias=float(error.mean()),
        mae=float(size.mean()),
        rmse=float(np.sqrt((error**2).mean())),
        p95=float(np.partition(size.ravel("K"), place)[place]),
        max=float(worst.max()),
        max_s=float(time_s[worst.argmax()]),
        rmse_share=float(np.sqrt(((error / limit) ** 2).mean())),
        max_share=float((size.max(axis=0) / limit).max()),
        rmse_authority=float(np.sqrt(((error / authority) ** 2).mean())),
        max_authority=float((size.max(axis=0) / authority).max()),
        drift=_drift(error.mean(axis=1), time_s),
        sign_agreement=float(same.sum() / signed.sum()) if signed.any() else None,
        correlation=_correlation(predicted / limit, recorded / limit),
        motion_correlation=_correlation(
            (predicted - gravity) / authority, (recorded - gravity) / authority
        ),
    )


def _drift(error: Array, time_s: Array) -> float:
    """Return how far the least-squares line through an error [c] rises over all its times."""
    since = time_s - time_s.mean()
    spread = float(since @ since)
    if spread <= 0.0:
        return 0.0
    return float(since @ error) / spread * float(time_s[-1] - time_s[0])


def _correlation(x: Array, y: Array) -> float | None:
    """Return Pearson's correlation; None where one of the two hardly changes."""
    x, y = x - x.mean(), y - y.mean()
    spreads = (x * x).mean() * (y * y).mean()
    if not spreads > _MOVES:
        return None
    return float(np.clip((x * y).mean() / np.sqrt(spreads), -1.0, 1.0))
