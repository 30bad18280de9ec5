# SPDX-License-Identifier: Apache-2.0
"""Long series to as many points as a plot can show, without losing a peak or bridging a gap."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sac_ros.bags.metrics.limits import runs

_BINS = 900  # about as many as a plot of the page has pixels across
_GAP = 3.0  # usual intervals: what counts as a gap everywhere in an evaluation

Array = NDArray[Any]


def thin(time: Array, values: Array, segment: Array, bins: int = _BINS) -> tuple[Array, Array]:
    """Return a line through the smallest and the largest value of each bin.

    A peak of one sample stays at its full height and time, as it does not in a mean or in every
    tenth sample. Commands are often rarer than states: the line goes through the samples that
    have a value, and breaks (a NaN at a time in between) where there is none for more than three
    of their usual intervals, or where ``segment`` changes. All are [m]; short series stay whole.
    """
    valued = np.flatnonzero(np.isfinite(values))
    time, values = np.asarray(time, dtype=float)[valued], np.asarray(values, dtype=float)[valued]
    steps = np.diff(time)
    holes = steps > _GAP * np.median(steps) if len(steps) else np.zeros(0, dtype=bool)
    holes |= np.diff(segment[valued]) != 0
    piece = np.concatenate([[0], np.cumsum(holes)]).astype(np.intp)
    chosen = _extremes(values, bins) if len(values) > 2 * bins else np.arange(len(values))
    broken = np.flatnonzero(np.diff(piece[: len(values)][chosen]) != 0) + 1
    time, values = time[chosen], values[chosen]
    between = (time[broken - 1] + time[broken]) / 2
    return np.insert(time, broken, between), np.insert(values, broken, np.nan)


def spans(time: Array, flags: Array, period: float) -> list[tuple[float, float]]:
    """Return (start, length) in s of every run of true flags, each at least ``period`` long.

    Runs that are closer than a period are one: on a plot they would be.
    """
    starts, ends = (np.asarray(time, dtype=float)[rows] for rows in runs(flags))
    if not len(starts):
        return []
    apart = starts[1:] - ends[:-1] >= period
    first, last = np.concatenate([[True], apart]), np.concatenate([apart, [True]])
    return [(a, max(b - a, period)) for a, b in zip(starts[first], ends[last], strict=True)]


def _extremes(values: Array, bins: int) -> Array:
    """Return the indices, ascending, of the first smallest and largest value of each bin."""
    edges = np.linspace(0, len(values), bins + 1).astype(np.intp)
    size = int(np.max(np.diff(edges)))
    index = np.minimum(edges[:-1, np.newaxis] + np.arange(size), edges[1:, np.newaxis] - 1)
    table, rows = values[index], np.arange(bins)
    low, high = index[rows, np.argmin(table, axis=1)], index[rows, np.argmax(table, axis=1)]
    return np.unique(np.concatenate([low, high]))
