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


class Thinner:
    """Thins lines over the same [m] times; ``segment`` [m] changes where none may be drawn across.

    Lines often have values in the same rows: what follows from the rows alone is kept.
    """

    def __init__(self, time: Array, segment: Array, bins: int = _BINS) -> None:
        self._time, self._segment = np.asarray(time, dtype=float), segment
        self._bins = bins
        self._known: dict[bytes, tuple[Array, Array]] = {}

    def thin(self, values: Array) -> tuple[Array, Array]:
        """Return a line through the smallest and the largest of the [m] values of each bin.

        A peak of one sample stays at its full height and time, as it does not in a mean or in
        every tenth sample. Commands are often rarer than states: the line goes through the
        samples that have a value, and breaks (a NaN at a time in between) where there is none for
        more than three of their usual intervals, or where the segment changes. Short series stay
        whole.
        """
        finite = np.isfinite(values)
        valued, piece = self._pieces(finite)
        values = np.asarray(values) if len(valued) == len(finite) else values[valued]
        long = len(values) > 2 * self._bins
        chosen = _extremes(values, self._bins) if long else np.arange(len(values))
        broken = np.flatnonzero(np.diff(piece[chosen]) != 0) + 1
        time, values = self._time[valued[chosen]], values[chosen].astype(float)
        between = (time[broken - 1] + time[broken]) / 2
        return np.insert(time, broken, between), np.insert(values, broken, np.nan)

    def _pieces(self, finite: Array) -> tuple[Array, Array]:
        """Return the rows with a value, and for each the number of its unbroken piece."""
        key = np.packbits(finite).tobytes()
        if key not in self._known:
            valued = np.flatnonzero(finite)
            steps = np.diff(self._time[valued])
            holes = np.diff(self._segment[valued]) != 0
            if len(steps):
                holes |= steps > _GAP * np.median(steps)
            piece = np.zeros(len(valued), dtype=np.int32)
            np.cumsum(holes, out=piece[1:])
            self._known[key] = valued, piece
        return self._known[key]


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
    size = -(-len(values) // bins)
    whole = len(values) // size
    table = np.ascontiguousarray(values[: whole * size]).reshape(whole, size)
    first = size * np.arange(whole)
    found = [first + np.argmin(table, axis=1), first + np.argmax(table, axis=1)]
    rest = values[whole * size :]
    if len(rest):
        found.append(whole * size + np.array([np.argmin(rest), np.argmax(rest)]))
    chosen = np.zeros(len(values), dtype=bool)
    chosen[np.concatenate(found)] = True
    return np.flatnonzero(chosen)
