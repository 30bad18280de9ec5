# SPDX-License-Identifier: Apache-2.0
"""Limits that are exceeded for ``over_speed_s``: of joints, and of the end effector."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from sac_ros.policy.detectors.detector import Detector, FilterState, StateDetector
from sac_ros.policy.detectors.plausibility import OVER_VELOCITY
from sac_ros.policy.end_effector import CREEP, OUTSIDE, OVER_END_EFFECTOR_SPEED
from sac_ros.policy.safety_config import Array, SafetyConfig
from sac_ros.policy.safety_events import Fault

_SLOW_START = 0.05  # of the velocity limit, above which an arm is not activated


class ForLong(Detector):
    """Stores since when each limit is exceeded; a fault after ``over_speed_s``."""

    def __init__(self, config: SafetyConfig) -> None:
        self._longest_s = config.over_speed_s
        self.since: dict[Fault, tuple[float, str]] = {}

    def reset(self) -> None:
        self.since.clear()

    def note(self, kind: Fault, sentence: str, now: float) -> str:
        """Note that a limit is exceeded; return the sentence of the fault if it is one by now."""
        since, _ = self.since.setdefault(kind, (now, sentence))
        return f"{sentence} ({self._longest_s:g} s)" if now - since >= self._longest_s else ""

    def standing(self, now: float, state: FilterState) -> str:
        return next((sentence for _, sentence in self.since.values()), "")


class LimitDetector(StateDetector):
    """A limit; ``sentence`` is the report that it is exceeded."""

    sentence: str

    def __init__(self, for_long: ForLong) -> None:
        self._for_long = for_long

    @abstractmethod
    def exceeds(self, state: FilterState) -> bool:
        """Return whether a state exceeds the limit."""

    def check(self, now: float, state: FilterState) -> str:
        if self.exceeds(state):
            return self._for_long.note(self.kind, self.sentence, now)
        if self._for_long.since:
            self._for_long.since.pop(self.kind, None)
        return ""


class OverSpeed(LimitDetector):
    """A joint is over its velocity limit; 1.5 times as fast it is a fault at once."""

    kind, sentence = Fault.OVER_SPEED, "a joint is over its velocity limit"

    def exceeds(self, state: FilterState) -> bool:
        # A list is searched in a fifth of the time of `any`.
        return True in (np.abs(state.velocity) > state.limits.velocity).tolist()

    def check(self, now: float, state: FilterState) -> str:
        sentence = LimitDetector.check(self, now, state)
        if sentence or not self._for_long.since:
            return sentence
        far = (np.abs(state.velocity) > OVER_VELOCITY * state.limits.velocity).any()
        return f"a joint is {OVER_VELOCITY:g} times as fast as its limit" if far else ""

    def starting(self, state: FilterState) -> str:
        speed = np.abs(state.velocity) / state.limits.velocity
        joint = int(np.argmax(speed))
        if speed[joint] <= _SLOW_START:
            return ""
        return (
            f"joint {state.limits.joint_names[joint]} must be slower than "
            f"{_SLOW_START * state.limits.velocity[joint]:g} rad/s; "
            f"it moves at {state.velocity[joint]:g} rad/s"
        )


class TipSpeed(LimitDetector):
    """The end effector is over 1.2 times ``max_end_effector_speed``."""

    kind, sentence = Fault.END_EFFECTOR_SPEED, "the end effector is over max_end_effector_speed"

    def exceeds(self, state: FilterState) -> bool:
        if state.motion is None:
            return False
        return bool(
            state.motion.speed > OVER_END_EFFECTOR_SPEED * state.limits.max_end_effector_speed
        )


class Workspace(LimitDetector):
    """The end effector is 3 cm outside ``workspace_box``, and moves away from it."""

    kind, sentence = Fault.WORKSPACE, "the end effector moves away from workspace_box"

    def exceeds(self, state: FilterState) -> bool:
        if state.motion is None or (outside := _outside(state)) is None:
            return False
        outwards = np.array([state.motion.velocity, -state.motion.velocity])
        return bool(((outside > OUTSIDE) & (outwards > CREEP)).any())

    def starting(self, state: FilterState) -> str:
        outside = _outside(state)
        if outside is None or not (outside > 0.0).any():
            return ""
        assert state.motion is not None
        place = ", ".join(f"{each:.3f}" for each in state.motion.place)
        return f"the end effector must be inside workspace_box; it is at {place} m"


def _outside(state: FilterState) -> Array | None:
    """[2, 3] m by which the end effector is beyond the high and the low faces of its box."""
    if state.motion is None or state.limits.workspace is None:
        return None
    low, high = state.limits.workspace
    return np.array([state.motion.place - high, low - state.motion.place])
