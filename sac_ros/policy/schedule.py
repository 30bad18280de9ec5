# SPDX-License-Identifier: Apache-2.0
"""When to infer: how fast states arrive, and which of them the policy answers."""

from __future__ import annotations

import math

_JUST_PAST_S = 1e-6  # more than a clock's numbers are rounded by


def next_tick(ticked: float, period_s: float, *deadlines: float) -> float:
    """Return when to look at the time again after ``ticked``, s: when a deadline passes, too."""
    past = (deadline + _JUST_PAST_S for deadline in deadlines)
    return min([ticked + period_s, *(each for each in past if each > ticked)])


class ArrivalRate:
    """A running estimate of the rate at which states arrive.

    An exponential average of the intervals over about twenty of them: quick enough to see a
    driver slow down, slow enough to ignore the jitter of one message.
    """

    SETTLED = 20
    """Arrivals after which the estimate is worth acting upon."""

    def __init__(self) -> None:
        self._last: float | None = None
        self._count = 0
        self.interval_s = 0.0

    def arrived(self, now: float) -> None:
        """Note one arrival at ``now`` seconds of any clock that never steps back."""
        if self._last is not None:
            self._count += 1
            weight = max(1.0 / self._count, 1.0 / self.SETTLED)
            self.interval_s += weight * (now - self._last - self.interval_s)
        self._last = now

    def reset(self) -> None:
        """Forget everything, after a pause, which is no measurement of the rate."""
        self._last, self._count, self.interval_s = None, 0, 0.0

    @property
    def settled(self) -> bool:
        """Whether enough has arrived to measure the rate."""
        return self._count >= self.SETTLED

    @property
    def hz(self) -> float:
        """The rate in Hz; 0 while unknown."""
        return 1.0 / self.interval_s if self.interval_s > 0.0 else 0.0


class Decimator:
    """Picks the states that a policy answers, so that it runs at the rate it was trained at.

    Due times lie on a grid, so the mean rate is exact whatever the states' own rate. A state
    counts as on time up to half a state interval early: states that come at the policy's own
    rate with jitter would otherwise be skipped every other time.
    """

    def __init__(self, rate_hz: float) -> None:
        self._period_s = 1.0 / rate_hz
        self._next: float | None = None
        self._forced = False

    def reset(self) -> None:
        """Make the next state due, and begin the grid with it."""
        self._next = None

    def force(self) -> None:
        """Make the next state due, and keep the grid."""
        self._forced = True

    def next_is_due(self, time_s: float, state_interval_s: float) -> bool:
        """Return whether the state after the one at ``time_s`` will be `due`, if it comes on time.

        False too where states come so slowly that each one is.
        """
        if self._next is None or state_interval_s > 0.75 * self._period_s:
            return False
        return time_s + 1.5 * state_interval_s >= self._next

    def due(self, time_s: float, state_interval_s: float) -> bool:
        """Return whether the policy answers the state at ``time_s`` (its stamp or arrival)."""
        if self._forced and self._next is not None:
            self._next += self._period_s * round((time_s - self._next) / self._period_s)
            time_s = self._next
        self._forced = False
        if self._next is None or abs(time_s - self._next) > 2.0 * self._period_s:
            self._next = time_s + self._period_s  # first state, a gap, or a clock that stepped
            return True
        if time_s < self._next - 0.5 * min(state_interval_s, self._period_s):
            return False
        self._next += self._period_s
        return True


class SoftSetting:
    """A number that falls at once and rises over some time."""

    def __init__(self, value: float) -> None:
        self._from = self._to = value
        self._since = self._end = -math.inf

    def set(self, value: float, now: float, rise_s: float) -> None:
        """Let it be ``value`` from ``now`` s on, from ``now + rise_s`` on where that is more."""
        self._from, self._to = min(self.at(now), value), value
        self._since, self._end = now, now + rise_s

    def at(self, now: float) -> float:
        """Its value at ``now`` s."""
        if now >= self._end:
            return self._to
        share = (now - self._since) / (self._end - self._since)
        return self._from + max(share, 0.0) * (self._to - self._from)

    def rising(self, now: float) -> bool:
        """Whether it is not yet what it was set to."""
        return now < self._end
