# SPDX-License-Identifier: Apache-2.0
"""The always-true list as a judge of its own: recorded commands in, broken rules out.

It knows nothing of the safety filter and looks only at what a robot has received, so that it can
tell when the filter, or what publishes its torques, is wrong.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sac_ros.policy.safety_config import Array

TICK = 1.2
"""A command without a new state follows within this many watchdogs: its timer ticks five times
in each."""

_ROUNDING = 1e-9  # N·m


class Rule(str, enum.Enum):
    """What is always true of published commands."""

    COMPLETE = "complete"
    FINITE = "finite"
    LIMIT = "limit"
    SLEW = "slew"
    FRESH = "fresh"
    NEVER_QUIET = "never_quiet"


@dataclass(frozen=True)
class Violation:
    """One command that breaks one rule.

    Attributes:
        rule: which one.
        index: of the command in the record; for `Rule.NEVER_QUIET` the one before the gap.
        sentence: what was found, with its values and what was allowed.
    """

    rule: Rule
    index: int
    sentence: str


@dataclass(frozen=True)
class CommandAudit:
    """The bounds that recorded commands are held to; arrays are [n] in the order of a command.

    Attributes:
        torque_limit: N·m.
        slew_limit: N·m/s.
        safe_torque: N·m, the end of every ramp.
        watchdog_s: longest time that a state may be answered.
        jitter_s: the longest that a command may take from being decided to the time in the
            record, and a state from the time in the record to being received.
    """

    torque_limit: Array
    slew_limit: Array
    safe_torque: Array
    watchdog_s: float
    jitter_s: float

    def violations(
        self,
        times: ArrayLike,
        torques: Sequence[Array],
        state_times: ArrayLike,
        ended: bool = False,
    ) -> list[Violation]:
        """Judge a record from the first command of a node on; before it the torque is zero.

        - complete, finite, limit: one value per joint, no NaN or Inf, |τ| ≤ limit.
        - slew: |τ_j − τ_i| ≤ slew · (t_j − t_i + jitter) for *every* two commands i < j, where a
          gap counts as one watchdog at most. Judged pairwise, the jitter is granted once and not
          again with each command.
        - fresh: from a watchdog after the last usable state on, torque only approaches the safe
          torque, and a ramp later it is there.
        - never quiet: after a command that is not the safe torque the next one follows within
          1.2 watchdogs.

        Args:
            times: [m] s, when each command was published; any clock.
            torques: m arrays [n], N·m.
            state_times: [k] s, ascending, of the same clock: when each usable state was sent.
            ended: the node has ended in order, so the last command must be the safe torque.

        Returns:
            Every violation, by rule, then in the order of the record.
        """
        time = np.asarray(times, dtype=float)
        found = [
            Violation(Rule.COMPLETE, i, f"{len(torque)} values for {self._joints} joints")
            for i, torque in enumerate(torques)
            if len(torque) != self._joints
        ]
        if found or not len(torques):
            return found
        torque = np.array(torques, dtype=float)
        finite = np.isfinite(torque).all(axis=1)
        found += self._each(Rule.FINITE, ~finite, torque, "is not finite")
        if not finite.all():
            return found  # what follows cannot be told of NaN
        over = (np.abs(torque) > self.torque_limit + _ROUNDING).any(axis=1)
        found += self._each(Rule.LIMIT, over, torque, f"is beyond ±{self.torque_limit.tolist()}")
        found += self._slew(time, torque)
        found += self._fresh(time, torque, np.asarray(state_times, dtype=float))
        found += self._never_quiet(time, torque, ended)
        return found

    def judge(
        self,
        times: Array,
        torques: Sequence[Array],
        state_times: Array,
        waited: Callable[[float, float], float],
        *,
        ended: bool = False,
    ) -> tuple[list[Violation], int]:
        """Return the `violations`, and how many gaps more there were for want of a processor.

        Args:
            times, torques, state_times, ended: as in `violations`.
            waited: as in `had_no_processor`.
        """
        judged = self.violations(times, torques, state_times, ended=ended)
        found = [
            each for each in judged if not self.had_no_processor(each, times, state_times, waited)
        ]
        return found, len(judged) - len(found)

    def had_no_processor(
        self,
        violation: Violation,
        times: Array,
        state_times: Array,
        waited: Callable[[float, float], float],
    ) -> bool:
        """Tell whether it is one only since the kernel did not let the nodes run.

        Neither a command that is not sent nor a state that waits to be read can help that.

        Args:
            violation: of the record.
            times, state_times: as in `violations`.
            waited: how long they waited for a processor between two times, s.
        """
        place = violation.index
        if violation.rule is Rule.NEVER_QUIET and place + 1 < len(times):
            start, end = times[place : place + 2]
        elif violation.rule is Rule.FRESH:
            end = times[place]
            start = max(state_times[state_times <= end], default=-np.inf)
        else:
            return False
        return bool(end - start - waited(start, end) <= TICK * self.watchdog_s + self.jitter_s)

    @property
    def _joints(self) -> int:
        return len(self.torque_limit)

    def _slew(self, time: Array, torque: Array) -> list[Violation]:
        """τ_j − s·t_j may exceed the smallest τ_i − s·t_i before it by s·jitter only."""
        elapsed = np.minimum(np.diff(time, prepend=time[0]), self.watchdog_s)
        allowed = self.slew_limit * np.cumsum(np.maximum(elapsed, 0.0))[:, np.newaxis]
        slack = self.slew_limit * self.jitter_s + _ROUNDING
        broken = np.zeros(len(time), dtype=bool)
        for rising in (torque, -torque):
            excess = rising - allowed
            before = np.vstack([np.zeros((1, self._joints)), excess[:-1]])
            broken |= (excess - np.minimum.accumulate(before) > slack).any(axis=1)
        return self._each(Rule.SLEW, broken, torque, "came faster than the slew limit")

    def _fresh(self, time: Array, torque: Array, states: Array) -> list[Violation]:
        newest = np.concatenate([[-np.inf], states])[np.searchsorted(states, time, side="right")]
        age = time - newest
        distance = np.abs(torque - self.safe_torque)
        before = np.vstack([np.abs(self.safe_torque)[np.newaxis], distance[:-1]])
        old = age > self.watchdog_s + self.jitter_s
        departs = old & (distance > before + _ROUNDING).any(axis=1)
        found = self._each(Rule.FRESH, departs, torque, "answers no state within the watchdog")
        ramp = np.max((self.torque_limit + np.abs(self.safe_torque)) / self.slew_limit)
        late = age > TICK * self.watchdog_s + self.jitter_s + ramp
        stands = late & (distance > _ROUNDING).any(axis=1)
        return found + self._each(Rule.FRESH, stands, torque, "stands without states")

    def _never_quiet(self, time: Array, torque: Array, ended: bool) -> list[Violation]:
        gap = np.append(np.diff(time), np.inf if ended else 0.0)
        standing = (np.abs(torque - self.safe_torque) > _ROUNDING).any(axis=1)
        quiet = standing & (gap > TICK * self.watchdog_s + self.jitter_s)
        return [
            Violation(
                Rule.NEVER_QUIET,
                int(i),
                f"command {i}, {torque[i].tolist()} N·m, stands for {gap[i]:.3f} s",
            )
            for i in np.flatnonzero(quiet)
        ]

    @staticmethod
    def _each(rule: Rule, broken: NDArray[np.bool_], torque: Array, what: str) -> list[Violation]:
        return [
            Violation(rule, int(i), f"command {i}, {torque[i].tolist()} N·m, {what}")
            for i in np.flatnonzero(broken)
        ]
