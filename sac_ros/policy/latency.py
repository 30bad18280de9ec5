# SPDX-License-Identifier: Apache-2.0
"""A window of latencies and its percentiles."""

from __future__ import annotations

import numpy as np


class LatencyWindow:
    """The last latencies, in seconds, in a ring that never grows."""

    def __init__(self, size: int = 2048) -> None:
        self._values = np.zeros(size)
        self._count = 0

    def add(self, seconds: float) -> None:
        """Note one latency."""
        self._values[self._count % len(self._values)] = seconds
        self._count += 1

    def take(self) -> dict[str, float]:
        """Return p50, p99 and max in milliseconds, and empty the window; empty: no entries."""
        values = self._values[: min(self._count, len(self._values))] * 1e3
        self._count = 0
        if not len(values):
            return {}
        p50, p99 = np.percentile(values, (50, 99))
        return {"p50": float(p50), "p99": float(p99), "max": float(values.max())}
