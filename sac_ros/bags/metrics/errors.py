# SPDX-License-Identifier: Apache-2.0
"""A torque against the recorded one, and the baselines that put its error into proportion.

A small RMSE alone has misled people: where commands hardly change from one to the next, holding
the last one is nearly perfect. So three predictions that know nothing stand beside the policy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from sac_ros.bags.columns import blocks

Array = NDArray[np.float64]
Rows = Callable[[slice], Array]
"""Returns some rows of a torque, [k, n] N·m."""

_BINS = 2**16  # of the histogram behind p95: exact to this share of the largest error
_DEAD_BAND = 0.01  # of the torque limit: below it a sign is noise


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
    rmse_share: Annotated[
        float, "√(mean (e / limit)²); overall the mean runs over joints and samples."
    ]
    max_share: Annotated[float, "largest |e| / limit."]
    sign_agreement: Annotated[
        float | None,
        (
            "share of samples with the same sign, among those where both torques are beyond 1 % of "
            "the limit; None without such samples."
        ),
    ]
    correlation: Annotated[
        float | None,
        (
            "Pearson's, −1..1; None where one of the two never changes. Overall: of the torques as "
            "shares of their limits, all joints in one."
        ),
    ]


@dataclass(frozen=True)
class ErrorFigures:
    """`ErrorRow` overall and of each joint."""

    name: Annotated[str, "``policy``, or a baseline: ``hold_last``, ``zero``, ``mean``."]
    samples: Annotated[int, "compared samples."]
    overall: Annotated[ErrorRow, "of all joints."]
    joints: Annotated[tuple[ErrorRow, ...], "[n]."]


def error_figures(
    name: str, predicted: Rows, recorded: Rows, time_s: Array, limit: Array
) -> ErrorFigures:
    """Compare two torques over [c] samples, block by block.

    Args:
        name: of what predicts.
        predicted: its torque.
        recorded: the torque that was recorded.
        time_s: [c] s.
        limit: [n] N·m.
    """
    sums = _Sums(limit)
    for part in blocks(len(time_s)):
        sums.add(predicted(part), recorded(part), time_s[part])
    counts = np.zeros((len(limit), _BINS + 1), dtype=np.int64)
    overall = np.zeros(_BINS + 1, dtype=np.int64)
    for part in blocks(len(time_s)):
        error = np.abs(predicted(part) - recorded(part))
        _count(error / _or_one(sums.largest), counts)
        overall += np.bincount(_bins(error / _or_one(sums.largest.max())).ravel(), None, _BINS + 1)
    p95 = [_quantile(count, 0.95) * top for count, top in zip(counts, sums.largest, strict=True)]
    return ErrorFigures(
        name=name,
        samples=len(time_s),
        overall=sums.overall(_quantile(overall, 0.95) * float(sums.largest.max())),
        joints=tuple(sums.joint(j, p95[j]) for j in range(len(limit))),
    )


def all_errors(
    policy: Rows, recorded: Rows, time_s: Array, limit: Array
) -> tuple[ErrorFigures, ...]:
    """Compare a policy and the three baselines with the recording; empty without samples."""
    if not len(time_s):
        return ()
    n, total, count = len(limit), np.zeros(len(limit)), len(time_s)
    for part in blocks(count):
        total += recorded(part).sum(axis=0)
    mean = total / count

    def held(part: slice) -> Array:
        before = recorded(slice(max(part.start - 1, 0), part.stop - 1))
        # The very first sample has none before it: a robot starts from no torque.
        return before if part.start else np.vstack([np.zeros((1, n)), before])

    predictions: dict[str, Rows] = {
        "policy": policy,
        "hold_last": held,
        "zero": lambda part: np.zeros((part.stop - part.start, n)),
        "mean": lambda part: np.tile(mean, (part.stop - part.start, 1)),
    }
    return tuple(
        error_figures(name, each, recorded, time_s, limit) for name, each in predictions.items()
    )


class _Sums:
    """Everything that adds up over blocks; index n of an array [n + 1] is over all joints."""

    def __init__(self, limit: Array) -> None:
        n = len(limit)
        self._limit = limit
        self._count = 0
        self._bias, self._absolute, self._square = np.zeros(n), np.zeros(n), np.zeros(n)
        self._same_sign, self._signed = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
        self._mean, self._spread = np.zeros((2, n)), np.zeros((2, n))
        self._product = np.zeros(n)
        self._moments = np.zeros(5)  # Σx, Σy, Σx², Σy², Σxy of all joints as shares
        self.largest, self._largest_s = np.zeros(n), np.full(n, np.nan)

    def add(self, predicted: Array, recorded: Array, time_s: Array) -> None:
        predicted, recorded = np.asarray(predicted, float), np.asarray(recorded, float)
        error = predicted - recorded
        absolute = np.abs(error)
        self._bias += error.sum(axis=0)
        self._absolute += absolute.sum(axis=0)
        self._square += (error * error).sum(axis=0)
        worst = absolute.argmax(axis=0)
        top = absolute[worst, np.arange(len(worst))]
        newer = (top > self.largest) | np.isnan(self._largest_s)
        self.largest = np.where(newer, top, self.largest)
        self._largest_s = np.where(newer, time_s[worst], self._largest_s)
        band = _DEAD_BAND * self._limit
        signed = (np.abs(predicted) > band) & (np.abs(recorded) > band)
        self._signed += signed.sum(axis=0)
        self._same_sign += (signed & ((predicted > 0) == (recorded > 0))).sum(axis=0)
        self._add_products(predicted, recorded)
        x, y = predicted / self._limit, recorded / self._limit
        self._moments += [x.sum(), y.sum(), (x * x).sum(), (y * y).sum(), (x * y).sum()]
        self._count += len(error)

    def joint(self, j: int, p95: float) -> ErrorRow:
        limit = float(self._limit[j])
        rmse = float(np.sqrt(self._square[j] / self._count))
        spread = float(self._spread[0, j] * self._spread[1, j])
        return ErrorRow(
            bias=float(self._bias[j] / self._count),
            mae=float(self._absolute[j] / self._count),
            rmse=rmse,
            p95=p95,
            max=float(self.largest[j]),
            max_s=float(self._largest_s[j]),
            rmse_share=rmse / limit,
            max_share=float(self.largest[j]) / limit,
            sign_agreement=_share(self._same_sign[j], self._signed[j]),
            correlation=_correlation(float(self._product[j]), spread),
        )

    def overall(self, p95: float) -> ErrorRow:
        values, worst = self._count * len(self._limit), int(self.largest.argmax())
        x, y, xx, yy, xy = (float(each) / values for each in self._moments)
        return ErrorRow(
            bias=float(self._bias.sum() / values),
            mae=float(self._absolute.sum() / values),
            rmse=float(np.sqrt(self._square.sum() / values)),
            p95=p95,
            max=float(self.largest[worst]),
            max_s=float(self._largest_s[worst]),
            rmse_share=float(np.sqrt((self._square / self._limit**2).sum() / values)),
            max_share=float((self.largest / self._limit).max()),
            sign_agreement=_share(self._same_sign.sum(), self._signed.sum()),
            correlation=_correlation(xy - x * y, (xx - x * x) * (yy - y * y)),
        )

    def _add_products(self, predicted: Array, recorded: Array) -> None:
        """Update means and centred products (Chan et al. 1983): exact where a torque is large."""
        count, new = self._count, len(predicted)
        means = np.stack([predicted.mean(axis=0), recorded.mean(axis=0)])
        centred = predicted - means[0], recorded - means[1]
        apart = means - self._mean
        weight = count * new / (count + new)
        for i in range(2):
            self._spread[i] += (centred[i] * centred[i]).sum(axis=0) + apart[i] ** 2 * weight
        self._product += (centred[0] * centred[1]).sum(axis=0) + apart[0] * apart[1] * weight
        self._mean += apart * new / (count + new)


def _correlation(product: float, spreads: float) -> float | None:
    """Return a correlation; None where one of the two hardly changes."""
    if not spreads > 1e-20:
        return None
    return float(np.clip(product / np.sqrt(spreads), -1.0, 1.0))


def _share(part: int, whole: int) -> float | None:
    return float(part) / float(whole) if whole else None


def _or_one(largest: Array) -> Array:
    return np.where(largest > 0.0, largest, 1.0)


def _bins(shares: Array) -> NDArray[np.int64]:
    return np.minimum(np.ceil(shares * _BINS), _BINS).astype(np.int64)


def _count(shares: Array, counts: NDArray[np.int64]) -> None:
    bins = _bins(shares)
    for j in range(len(counts)):
        counts[j] += np.bincount(bins[:, j], None, _BINS + 1)


def _quantile(counts: NDArray[np.int64], quantile: float) -> float:
    """Return the upper edge of the bin that holds a quantile, as a share of the range."""
    place = int(np.searchsorted(np.cumsum(counts), quantile * counts.sum()))
    return float(place / _BINS)
