# SPDX-License-Identifier: Apache-2.0
"""Torques on an even grid: every figure of smoothness depends on the rate it is taken at."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

WINDOW = 2**14
"""Rows of a grid that are handled at a time."""


def windows(
    time_s: Array,
    segment: NDArray[np.int32],
    rate_hz: float,
    *torques: NDArray[np.floating],
) -> Iterator[tuple[Array, ...]]:
    """Yield torques [w, n] on an even grid, each held until the next as a robot holds it.

    No grid leads across a gap, and a window has at most `WINDOW` rows.

    Args:
        time_s: [c] s, ascending.
        segment: [c] counts up after every gap.
        rate_hz: of the grid.
        torques: each [c, n] N·m.
    """
    edges = np.flatnonzero(np.diff(segment)) + 1
    for first, last in zip([0, *edges.tolist()], [*edges.tolist(), len(time_s)], strict=True):
        if last <= first:
            continue
        times = time_s[first:last]
        rows = int((times[-1] - times[0]) * rate_hz * (1 + 1e-9)) + 1
        for start in range(0, rows, WINDOW):
            grid = times[0] + np.arange(start, min(start + WINDOW, rows)) / rate_hz
            # A sample counts from a hundredth of a period before its time: stamps are rounded.
            held = np.searchsorted(times, grid + 0.01 / rate_hz, side="right") - 1
            yield tuple(torque[first + held].astype(np.float64) for torque in torques)
