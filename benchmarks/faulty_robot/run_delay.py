# SPDX-License-Identifier: Apache-2.0
"""How long the kernel let a process wait for a processor: no process can help that."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np

_PERIOD_S = 0.01


class RunDelay:
    """Samples the run delay of a process' main thread, from a thread of its own, until `close`.

    The kernel counts it in ``/proc/PID/schedstat``, its second number, in ns: the time that a
    thread was ready to run and did not (https://docs.kernel.org/scheduler/sched-stats.html).
    """

    def __init__(self, process_id: int) -> None:
        self._path = Path(f"/proc/{process_id}/schedstat")
        self._samples: list[tuple[float, float]] = []
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="run delay", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop sampling."""
        self._closed.set()
        self._thread.join()

    def within(self, start: float, end: float) -> float:
        """How long it waited between two times of the wall clock, s.

        The kernel adds a wait once it is over, so the first sample after ``end`` counts too. Zero
        where nothing is known.
        """
        if not self._samples:
            return 0.0
        times, delays = np.array(self._samples).T
        first = max(0, int(np.searchsorted(times, start, side="right")) - 1)
        last = min(len(times) - 1, int(np.searchsorted(times, end)) + 1)
        return float(delays[last] - delays[first])

    def _sample(self) -> None:
        while not self._closed.wait(_PERIOD_S):
            try:
                delay_ns = int(self._path.read_text(encoding="ascii").split()[1])
            except OSError:  # the process has ended, or this kernel does not tell
                return
            self._samples.append((time.time(), delay_ns * 1e-9))
