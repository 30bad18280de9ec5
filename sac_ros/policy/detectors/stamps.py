# SPDX-License-Identifier: Apache-2.0
"""Header stamps that do not advance, or advance at another rate than the clock."""

from __future__ import annotations

import math

from sac_ros.policy.detectors.detector import FilterState, Message, MessageDetector
from sac_ros.policy.detectors.messages import IN_A_ROW, InARow
from sac_ros.policy.safety_events import Fault


class Stamps(MessageDetector):
    """Stamps repeat or run backwards. Those that advance give the message its ``step_s``."""

    kind = Fault.STAMP
    bad = False  # a message that comes twice is no bad one

    def __init__(self, in_a_row: InARow) -> None:
        self._in_a_row, self._newest_ns = in_a_row, 0

    def judge(self, message: Message, state: FilterState) -> str:
        stamp_ns, newest_ns = message.stamp_ns, self._newest_ns
        if stamp_ns and stamp_ns <= newest_ns:
            if self._in_a_row.counts[self.kind] + 1 >= IN_A_ROW:
                self._newest_ns = stamp_ns  # the clock stepped back for good: follow it from here
            return "joint state stamps do not advance"
        if stamp_ns:  # one without a stamp is not checked, and the newest stamp is kept
            self._newest_ns = stamp_ns
            message.step_s = (stamp_ns - newest_ns) * 1e-9 if newest_ns else 0.0
        elif 0.4 * message.interval_s < message.now - state.time < 2.5 * message.interval_s:
            message.step_s = message.now - state.time  # but not in a burst after a gap
        return ""


class StampRate(MessageDetector):
    """Stamps run at another rate than the clock by which they arrive, twice in a row.

    Measured over half a second: shorter gaps and bursts move a stamp against its arrival by less.
    A factor of 5 either way is granted, for simulated time at another rate than the clock. Beyond
    it a policy that runs by arrival has nothing of its rate left in the robot's own time.
    """

    WINDOW_S, FACTOR = 0.5, 5.0
    kind = Fault.STAMP
    refuses = False

    def __init__(self, in_a_row: InARow) -> None:
        self._in_a_row = in_a_row
        self._arrival, self._stamp_ns = -math.inf, 0
        self._wrong = 0  # windows in a row in which the stamps ran at another rate
        self._ratio = 1.0  # stamps' seconds per second of arrival, in the last window

    def judge(self, message: Message, state: FilterState) -> str:
        elapsed = message.now - self._arrival
        if not message.stamp_ns or elapsed < self.WINDOW_S:
            return ""
        wrong = False
        if elapsed < 2.0 * self.WINDOW_S:  # else a gap, or the first one
            self._ratio = (message.stamp_ns - self._stamp_ns) * 1e-9 / elapsed
            wrong = not 1.0 / self.FACTOR <= self._ratio <= self.FACTOR
        self._wrong = self._wrong + 1 if wrong else 0
        if wrong:
            self._in_a_row.refusals[self.kind] += 1
        self._arrival, self._stamp_ns = message.now, message.stamp_ns
        return self._sentence() if self._wrong > 1 else ""

    def standing(self, now: float, state: FilterState) -> str:
        return self._sentence() if self._wrong and self.kind in state.faults else ""

    def _sentence(self) -> str:
        return f"joint state stamps advance by {self._ratio:.3g} s in a second"
