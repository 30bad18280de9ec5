# SPDX-License-Identifier: Apache-2.0
"""What a detector is, and what it sees. `SafetyFilter` has the list of them all."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from sac_ros.policy.end_effector import Motion
from sac_ros.policy.safety_config import Array, JointLimits
from sac_ros.policy.safety_events import Fault

_STILL = 0.02  # of the velocity limit, at which a joint counts as at rest


class FilterState:
    """What detectors and strategies see: the joint state accepted last, its limits, the faults.

    Attributes:
        limits: what a torque must respect.
        faults: the latched faults, each with the sentence that explains it.
        position: [n] rad.
        velocity: [n] rad/s.
        time: when that state arrived, s.
        motion: of the end effector, where it has limits.
        blind: whether no state is there to brake by: none is fresh, or they cannot be true.
    """

    def __init__(self, limits: JointLimits) -> None:
        n = len(limits.torque)
        self.limits = limits
        self.faults: dict[Fault, str] = {}
        self.position, self.velocity = np.zeros(n), np.zeros(n)
        self.time, self.blind = -math.inf, True
        self.motion: Motion | None = None

    @property
    def standing(self) -> bool:
        """Whether no joint moved in the last state."""
        velocities = zip(self.velocity.tolist(), self.limits.rows, strict=True)
        return all(abs(velocity) <= _STILL * limit.velocity for velocity, limit in velocities)


class Detector:
    """Finds one thing that is wrong, and answers with a sentence; empty: nothing is wrong."""

    kind: Fault

    def reset(self) -> None:
        """Forget the past: an activation begins."""

    def standing(self, now: float, state: FilterState) -> str:
        """Return what stands in the way of clearing a fault at ``now`` s."""
        return ""


class Reported(Detector):
    """What others report and withdraw: the emergency stop, a second commander."""

    def __init__(self, kind: Fault) -> None:
        self.kind, self.cause = kind, ""

    def standing(self, now: float, state: FilterState) -> str:
        return self.cause


class StateDetector(Detector, ABC):
    """Checks the arm with each accepted state."""

    @abstractmethod
    def check(self, now: float, state: FilterState) -> str:
        """Return the sentence of a fault that begins now, s."""

    def starting(self, state: FilterState) -> str:
        """Return why the arm must not be activated."""
        return ""


@dataclass(slots=True)
class Message:
    """A joint state that is not accepted yet."""

    now: float  # s, when it arrived
    position: Array  # [n] rad
    velocity: Array  # [n] rad/s
    stamp_ns: int  # 0: the driver sets none
    interval_s: float  # from one arrival to the next, as usual; 0: unknown
    step_s: float = 0.0  # since the state before it; 0: unknown


class MessageDetector(Detector):
    """Checks each message, before or instead of its acceptance.

    Attributes:
        refuses: whether what it finds refuses the message, and is a fault where it comes three
            times in a row; else it is a fault at once, and the message is checked further.
        bad: whether a refused message is a bad one.
        prefix: of the fault's sentence.
    """

    refuses, bad, prefix = True, True, ""

    def judge(self, message: Message, state: FilterState) -> str:
        """Return what is wrong with a message after ``state``."""
        return ""
