# SPDX-License-Identifier: Apache-2.0
"""What does not come in time: joint states, enough of them, goals."""

from __future__ import annotations

import math

from sac_ros.policy.detectors.detector import Detector, FilterState, StateDetector
from sac_ros.policy.safety_config import SafetyConfig
from sac_ros.policy.safety_events import Fault
from sac_ros.policy.schedule import ArrivalRate

SLOW_WARNING = 0.8
"""Share of the control rate below which the states' rate deserves a warning."""

SLOW_FAULT = 0.5
"""Share of the control rate below which the policy is outside of its training."""


class Watchdog(Detector):
    """No joint state was accepted within ``watchdog_s``."""

    kind = Fault.WATCHDOG

    def __init__(self, config: SafetyConfig) -> None:
        self._longest_s = config.watchdog_s

    def check(self, now: float, state: FilterState) -> str:
        if now - state.time <= self._longest_s:
            return ""
        return f"no joint state arrived within {self._longest_s:g} s"

    standing = check


class GoalTimeout(Detector):
    """A goal is followed, and no other came for ``goal_timeout_s``, where that is set."""

    kind = Fault.GOAL_TIMEOUT

    def __init__(self, config: SafetyConfig) -> None:
        self._longest_s = config.goal_timeout_s
        self.time = math.inf  # of the last goal; infinite: none came

    def reset(self) -> None:
        self.time = math.inf

    def check(self, now: float, state: FilterState) -> str:
        if 0.0 < self._longest_s < now - self.time:
            return f"no goal arrived within {self._longest_s:g} s"
        return ""

    def standing(self, now: float, state: FilterState) -> str:
        return self.check(now, state) if self.kind in state.faults else ""


class SlowStates(StateDetector):
    """Joint states arrive at less than half of the policy's rate."""

    kind = Fault.SLOW_STATES

    def __init__(self, control_rate_hz: float) -> None:
        self.rate, self.control_rate_hz = ArrivalRate(), control_rate_hz

    def reset(self) -> None:
        self.rate.reset()

    def check(self, now: float, state: FilterState) -> str:
        self.rate.arrived(now)
        slow = self.standing(now, state)
        return slow and f"{slow}, below half of the policy's {self.control_rate_hz:g} Hz"

    def standing(self, now: float, state: FilterState) -> str:
        if self.rate.settled and self.rate.hz < SLOW_FAULT * self.control_rate_hz:
            return f"joint states arrive at {self.rate.hz:.1f} Hz"
        return ""
