# SPDX-License-Identifier: Apache-2.0
"""Long series to as many points as a plot can show, without losing a peak or bridging a gap."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 900
"""More than a plot of the page has pixels across."""

Array = NDArray[Any]


def thin(time: Array, values: Array, segment: Array, bins: int = BINS) -> tuple[Array, Array]:
    """Return a line through the smallest and the largest value of each bin.

    A peak of one sample stays at its full height and time, as it does not in a mean or in every
    tenth sample.

    Args:
        time: [m] s, ascending.
        values: [m]; NaN and Inf leave a hole.
        segment: [m]; the line is broken where it changes.
        bins: how many; short series stay whole.

    Returns:
        ``(time, values)`` of the line, with NaN where it breaks.
    """
    values = np.where(np.isfinite(values), np.asarray(values, dtype=float), np.nan)
    chosen = _extremes(values, bins) if len(values) > 2 * bins else np.arange(len(values))
    broken = np.flatnonzero(np.diff(segment[chosen]) != 0) + 1
    line = np.insert(values[chosen], broken, np.nan)
    return np.insert(np.asarray(time, dtype=float)[chosen], broken, np.nan), line


def runs(time: Array, flags: Array, period: float) -> list[tuple[float, float]]:
    """Return (start, length) in s of every run of true flags, each at least ``period`` long."""
    edges = np.diff(np.concatenate([[0], flags.astype(np.int8), [0]]))
    starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1
    return [
        (float(time[a]), max(float(time[b] - time[a]), period))
        for a, b in zip(starts, ends, strict=True)
    ]


def _extremes(values: Array, bins: int) -> Array:
    """Return the indices, ascending, of the first smallest and largest value of each bin.

    A bin without a number gives its first index, so that a hole stays a hole.
    """
    edges = np.linspace(0, len(values), bins + 1).astype(np.intp)
    size = int(np.max(np.diff(edges)))
    index = np.minimum(edges[:-1, np.newaxis] + np.arange(size), edges[1:, np.newaxis] - 1)
    table = values[index]
    rows = np.arange(bins)
    low = index[rows, np.argmin(np.where(np.isnan(table), np.inf, table), axis=1)]
    high = index[rows, np.argmax(np.where(np.isnan(table), -np.inf, table), axis=1)]
    # A hole inside a bin would be drawn over: its first index breaks the line there.
    hole = index[rows, np.argmax(np.isnan(table), axis=1)]
    return np.unique(np.concatenate([low, high, hole[np.isnan(table).any(axis=1)]]))
