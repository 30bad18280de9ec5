# SPDX-License-Identifier: Apache-2.0
"""Which joint states that were sent to a policy_node got a torque."""

from __future__ import annotations

_MOST_WAITING = 10_000  # stamps, 20 s at 500 Hz: an older state is not answered any more


class Answers:
    """Counts joint states by their stamps, and the torques with the same stamps.

    States without a stamp share the stamp 0, and so do torques that answer no state, such as the
    watchdog's: of those states the count of answers is an upper bound.

    Attributes:
        sent: joint states.
        answered: how many of them got a torque.
    """

    def __init__(self) -> None:
        self.sent = self.answered = 0
        self._waiting: dict[int, int] = {}  # by stamp, ns; in the order of sending
        self._last = 0  # the stamp sent last

    @property
    def unanswered(self) -> int:
        """How many states have got no torque so far."""
        return self.sent - self.answered

    def send(self, stamp_ns: int) -> None:
        """Count a state that was sent."""
        self.sent += 1
        self._last = stamp_ns
        self._waiting[stamp_ns] = self._waiting.get(stamp_ns, 0) + 1
        if len(self._waiting) > _MOST_WAITING:
            del self._waiting[next(iter(self._waiting))]

    def take(self, stamp_ns: int) -> None:
        """Count a torque, if a state waits for it."""
        count = self._waiting.pop(stamp_ns, 0)
        self.answered += count > 0
        if count > 1:
            self._waiting[stamp_ns] = count - 1

    def complete(self) -> bool:
        """Whether the state sent last is answered; then nothing is on the way any more."""
        return self._last not in self._waiting
