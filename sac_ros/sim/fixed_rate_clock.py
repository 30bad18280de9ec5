# SPDX-License-Identifier: Apache-2.0
"""Keeps a simulation in step with real time."""

from __future__ import annotations

import math


class FixedRateClock:
    """Says how many steps are due, so that step k happens at start + k · period.

    It starts with the first question. Counting from one start means that rounding and late calls
    do not add up to a drift. A caller that was held up catches up by at most `max_catch_up` steps
    at once; what is beyond is given up and counted in `lost`, since a simulation slower than real
    time would otherwise fall behind for ever, doing ever more at each call.
    """

    def __init__(self, period: float, *, max_catch_up: int = 25) -> None:
        """Expects a step every `period` s."""
        self._period = period
        self._start: float | None = None
        self._done = 0
        self._max_catch_up = max_catch_up
        self.lost = 0.0
        """Time given up so far, s: by so much is the simulation behind the clock."""

    def steps_due(self, now: float) -> int:
        """The number of steps to do at `now` (s, any monotonic clock), assumed done after this."""
        if self._start is None:
            self._start = now
        # A caller woken exactly on time may read a clock a rounding error short of the step.
        due = math.floor((now - self._start) / self._period + 1e-6) - self._done
        if due > self._max_catch_up:
            given_up = (due - self._max_catch_up) * self._period
            self._start += given_up
            self.lost += given_up
            due = self._max_catch_up
        due = max(due, 0)
        self._done += due
        return due
