# SPDX-License-Identifier: Apache-2.0
"""How long the kernel let a process wait for a processor: no process can help that."""

from __future__ import annotations

import bisect
import contextlib
import threading
import time
from pathlib import Path

_PERIOD_S = 0.01


class RunDelay:
    """Samples the run delay of a process' threads, from a thread of its own, until `close`.

    The kernel counts it in ``/proc/PID/task/TID/schedstat``, its second number, in ns: the time
    that a thread was ready to run and did not
    (https://docs.kernel.org/scheduler/sched-stats.html).
    """

    def __init__(self, process_id: int) -> None:
        self._tasks = Path(f"/proc/{process_id}/task")
        self._samples: list[tuple[float, dict[str, int]]] = []  # when, ns of each thread
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="run delay", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop sampling."""
        self._closed.set()
        self._thread.join()

    def within(self, start: float, end: float) -> float:
        """How long one of its threads waited between two times of the wall clock, s.

        That of the thread that waited longest. The kernel adds a wait once it is over, so the
        first sample after ``end`` counts too. Zero where nothing is known.
        """
        samples = self._samples[:]
        times = [at for at, _ in samples]
        if not times or end < times[0] or start > times[-1]:
            return 0.0
        first = max(0, bisect.bisect_right(times, start) - 1)
        last = min(len(times) - 1, bisect.bisect_left(times, end) + 1)
        before, after = samples[first][1], samples[last][1]
        waited = [delay - before.get(thread, 0) for thread, delay in after.items()]
        return max(waited, default=0) * 1e-9

    def _sample(self) -> None:
        while not self._closed.wait(_PERIOD_S):
            delays = {}
            with contextlib.suppress(OSError):  # the process, or one of its threads, has ended
                for path in self._tasks.glob("*/schedstat"):
                    delays[path.parent.name] = int(path.read_text(encoding="ascii").split()[1])
            if not delays:  # the process has ended, or this kernel does not tell
                return
            self._samples.append((time.time(), delays))
