# SPDX-License-Identifier: Apache-2.0
"""A torque against the recorded one, and the baselines that put its error into proportion.

A small RMSE alone has misled people: where commands hardly change from one to the next, holding
the last one is nearly perfect. So three trivial predictions stand beside the policy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sac_ros.bags.columns import Array, Spool, blocks

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
    rmse_fraction: Annotated[float, "√(mean (e / limit)²); overall: over joints and samples."]
    max_fraction: Annotated[float, "largest |e| / limit."]
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
    spool: Spool | None = None,
) -> tuple[ErrorFigures, ...]:
    """Compare a policy and the three baselines with the recording; empty without samples.

    Args as `error_figures`.
    """
    if not len(time_s):
        return ()
    spool = spool or Spool()
    policy_torque, given = _by_joint(policy, spool), _by_joint(recorded, spool)
    held = None if gravity is None else _by_joint(gravity, spool)
    predictions: dict[str, Callable[[int], Array]] = {
        "policy": lambda j: policy_torque[j],
        # The very first sample has none before it: a robot starts from no torque.
        "hold_last": lambda j: np.concatenate([[0.0], given[j, :-1]]),
        "zero": lambda _: np.zeros(len(time_s)),
        "mean": lambda j: np.full(len(time_s), given[j].mean()),
    }
    rest = given, time_s, limit, authority, held, spool
    return tuple(_figures(name, each, *rest) for name, each in predictions.items())


def error_figures(
    name: str,
    predicted: NDArray[np.floating],
    recorded: Array,
    time_s: Array,
    limit: Array,
    authority: Array,
    gravity: NDArray[np.floating] | None = None,
    spool: Spool | None = None,
) -> ErrorFigures:
    """Compare two torques [c, n] N·m at the times ``time_s`` [c].

    ``limit`` and ``authority``, the policy's action scale, are [n] N·m. ``gravity`` [c, n] N·m is
    the g(q) in the torques; None where they hold none. Large arrays go to the spool.
    """
    spool = spool or Spool()
    policy_torque, given = _by_joint(predicted, spool), _by_joint(recorded, spool)
    held = None if gravity is None else _by_joint(gravity, spool)
    return _figures(name, lambda j: policy_torque[j], given, time_s, limit, authority, held, spool)


def _by_joint(torque: NDArray[np.floating], spool: Spool) -> Array:
    """Return a torque [c, n] as [n, c]: each joint's values side by side are handled faster."""
    turned = spool.empty(torque.shape[::-1])
    for part in blocks(len(torque)):
        turned[:, part] = torque[part].T
    return turned


def _figures(
    name: str,
    predicted: Callable[[int], Array],
    recorded: Array,
    time_s: Array,
    limit: Array,
    authority: Array,
    gravity: Array | None,
    spool: Spool,
) -> ErrorFigures:
    """Compare what is predicted for a joint, [c], with recorded torques [n, c]."""
    sizes = spool.empty(recorded.shape)
    each = [
        _Joint(
            predicted(j),
            recorded[j],
            time_s,
            limit[j],
            authority[j],
            0.0 if gravity is None else gravity[j],
            sizes[j],
        )
        for j in range(len(limit))
    ]
    rows = [joint.row for joint in each]
    largest = max(row.max for row in rows)
    overall = ErrorRow(
        bias=_mean(row.bias for row in rows),
        mae=_mean(row.mae for row in rows),
        rmse=_mean(row.rmse**2 for row in rows) ** 0.5,
        p95=_p95(sizes.reshape(-1)),
        max=largest,
        max_s=min(row.max_s for row in rows if row.max == largest),
        rmse_fraction=_mean(row.rmse_fraction**2 for row in rows) ** 0.5,
        max_fraction=max(row.max_fraction for row in rows),
        rmse_authority=_mean(row.rmse_authority**2 for row in rows) ** 0.5,
        max_authority=max(row.max_authority for row in rows),
        drift=_mean(row.drift for row in rows),
        sign_agreement=_share(sum(e.same for e in each), sum(e.signed for e in each)),
        correlation=_pooled([e.alike for e in each]).correlation,
        motion_correlation=_pooled([e.moves_alike for e in each]).correlation,
    )
    return ErrorFigures(name, len(time_s), overall, tuple(rows))


class _Joint:
    """One joint's two torques compared: its row, and what those of all joints follow from.

    Attributes:
        row: the figures.
        same, signed: how many signs are the same, of how many.
        alike, moves_alike: of both torques over the limit, and of what moves the arm.
    """

    def __init__(
        self,
        predicted: Array,
        recorded: Array,
        time_s: Array,
        limit: float,
        authority: float,
        gravity: Array | float,
        size: Array,
    ) -> None:
        """Compares torques [c]; |e| is written into ``size`` [c], and ends in another order."""
        band = _DEAD_BAND * limit
        signed = (np.abs(predicted) > band) & (np.abs(recorded) > band)
        self.signed = int(signed.sum())
        self.same = int((signed & ((predicted > 0.0) == (recorded > 0.0))).sum())
        self.alike = _Moments.of(predicted / limit, recorded / limit)
        self.moves_alike = _Moments.of(
            (predicted - gravity) / authority, (recorded - gravity) / authority
        )
        error = predicted - recorded
        np.abs(error, out=size)
        worst = int(size.argmax())
        largest, rmse = float(size[worst]), float(np.sqrt((error @ error) / len(error)))
        self.row = ErrorRow(
            bias=float(error.mean()),
            mae=float(size.mean()),
            rmse=rmse,
            p95=_p95(size),
            max=largest,
            max_s=float(time_s[worst]),
            rmse_fraction=float(rmse / limit),
            max_fraction=float(largest / limit),
            rmse_authority=float(rmse / authority),
            max_authority=float(largest / authority),
            drift=_drift(error, time_s),
            sign_agreement=_share(self.same, self.signed),
            correlation=self.alike.correlation,
            motion_correlation=self.moves_alike.correlation,
        )


class _Moments(NamedTuple):
    """Means of two torques x and y, and their mean squares and product about those."""

    x: float
    y: float
    xx: float
    yy: float
    xy: float

    @classmethod
    def of(cls, x: Array, y: Array) -> _Moments:
        """Return those of values [c]; both arrays are overwritten."""
        means = float(x.mean()), float(y.mean())
        x -= means[0]
        y -= means[1]
        return cls(*means, *(float(a @ b) / len(x) for a, b in ((x, x), (y, y), (x, y))))

    @property
    def correlation(self) -> float | None:
        """Pearson's; None where one of the two hardly changes."""
        spreads = self.xx * self.yy
        if not spreads > _MOVES:
            return None
        return float(np.clip(self.xy / np.sqrt(spreads), -1.0, 1.0))


def _pooled(parts: Sequence[_Moments]) -> _Moments:
    """Return the moments of as many values of each part together."""
    x, y = _mean(each.x for each in parts), _mean(each.y for each in parts)
    return _Moments(
        x,
        y,
        xx=_mean(each.xx + (each.x - x) ** 2 for each in parts),
        yy=_mean(each.yy + (each.y - y) ** 2 for each in parts),
        xy=_mean(each.xy + (each.x - x) * (each.y - y) for each in parts),
    )


def _p95(sizes: Array) -> float:
    """Return the 95th percentile of sizes, which are put in another order for it."""
    place = math.ceil(0.95 * len(sizes)) - 1  # so many are smaller; np.quantile is slow
    sizes.partition(place)
    return float(sizes[place])


def _share(count: int, of: int) -> float | None:
    return count / of if of else None


def _drift(error: Array, time_s: Array) -> float:
    """Return how far the least-squares line through an error [c] rises over all its times."""
    since = time_s - time_s.mean()
    spread = float(since @ since)
    if spread <= 0.0:
        return 0.0
    return float(since @ error) / spread * float(time_s[-1] - time_s[0])


def _mean(values: Iterable[float]) -> float:
    return float(np.mean([*values]))
