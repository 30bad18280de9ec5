# SPDX-License-Identifier: Apache-2.0
"""Messages that are refused: not finite, not readable, some in a row, many in a second."""

from __future__ import annotations

from collections import Counter, deque

from sac_ros.policy import guards
from sac_ros.policy.detectors.detector import Detector, FilterState, Message, MessageDetector
from sac_ros.policy.safety_events import Fault

IN_A_ROW = 3
"""Refused messages of one kind in a row that make a fault."""

_BAD_FRACTION = 0.2  # of the last second's, above which the rest is refused, too
_JUDGED_S = 1.0
_FEWEST_JUDGED = 20  # messages: three bad ones of the first five are no share


class NotFinite(MessageDetector):
    """A position or a velocity is NaN or infinite."""

    kind = Fault.NON_FINITE_STATE

    def judge(self, message: Message, state: FilterState) -> str:
        finite = guards.all_finite(message.position) and guards.all_finite(message.velocity)
        return "" if finite else "joint states are not finite"


class Unreadable(MessageDetector):
    """There is no joint state in a message, as its reader reports; here there is one."""

    kind = Fault.JOINT_STATE


class InARow(Detector):
    """Counts refused messages of each kind: ``refusals`` since activation, ``counts`` in a row."""

    def __init__(self) -> None:
        self.refusals: Counter[Fault] = Counter()
        self.counts: Counter[Fault] = Counter()

    def reset(self) -> None:
        self.refusals.clear()
        self.counts.clear()

    def refuse(self, kind: Fault, sentence: str) -> str:
        """Count a refused message; return the sentence of the fault, from the third on."""
        self.refusals[kind] += 1
        self.counts[kind] += 1
        return f"{sentence} ({IN_A_ROW} in a row)" if self.counts[kind] >= IN_A_ROW else ""

    def standing(self, now: float, state: FilterState) -> str:
        for kind, count in self.counts.items():
            if count and kind in state.faults:
                return f"the last message was refused: {state.faults[kind]}"
        return ""


class BadMessages(Detector):
    """More than a fifth of the joint states of the last second were refused."""

    kind = Fault.BAD_MESSAGES

    def __init__(self) -> None:
        self._judged: deque[tuple[float, bool]] = deque()  # when a state came, whether it is bad
        self._bad = 0

    def reset(self) -> None:
        self._judged.clear()
        self._bad = 0

    def note(self, now: float, *, bad: bool) -> str:
        """Note a message; return the sentence of the fault if that is one too many."""
        self._judged.append((now, bad))
        self._bad += bad
        while now - self._judged[0][0] > _JUDGED_S:
            self._bad -= self._judged.popleft()[1]
        return self._sentence() if bad else ""

    def standing(self, now: float, state: FilterState) -> str:
        return self._sentence()

    def _sentence(self) -> str:
        checked = len(self._judged)
        if checked < _FEWEST_JUDGED or self._bad / checked <= _BAD_FRACTION:
            return ""
        return f"{self._bad} of the last {checked} joint states were refused"
