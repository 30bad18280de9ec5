# SPDX-License-Identifier: Apache-2.0
"""The words of the safety filter: its modes, its faults, its interventions, and a command."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from sac_ros.policy.safety_config import Array


class Mode(enum.Enum):
    """What decides the torque at this moment."""

    TRACKING = "tracking"
    DAMPING = "damping"
    STOPPED = "stopped"

    __hash__ = object.__hash__  # as for `Fault`


class Event(enum.Enum):
    """What may change the mode."""

    FAULT = "a fault, the emergency stop, or the end of the activation begins"
    BLIND = "no state for `watchdog_s`, or the third in a row that cannot be true"
    MOVES = "a good state; the arm moves, or moved or was in *tracking* within 0.1 s"
    STANDS = "a good state; the arm has stood for 0.1 s"
    CLEARED = "`~/clear_fault` finds no cause, or a new activation"


TRANSITIONS = {
    Mode.TRACKING: {
        Event.FAULT: Mode.DAMPING,
        Event.BLIND: Mode.STOPPED,
        Event.MOVES: Mode.TRACKING,
        Event.STANDS: Mode.TRACKING,
        Event.CLEARED: Mode.TRACKING,
    },
    Mode.DAMPING: {
        Event.FAULT: Mode.DAMPING,
        Event.BLIND: Mode.STOPPED,
        Event.MOVES: Mode.DAMPING,
        Event.STANDS: Mode.STOPPED,
        Event.CLEARED: Mode.TRACKING,
    },
    Mode.STOPPED: {
        Event.FAULT: Mode.STOPPED,
        Event.BLIND: Mode.STOPPED,
        Event.MOVES: Mode.DAMPING,
        Event.STANDS: Mode.STOPPED,
        Event.CLEARED: Mode.TRACKING,
    },
}
"""The mode after each event. `SafetyFilter` is held to it by a test; what it does is there."""


def transition_table() -> str:
    """Return `TRANSITIONS` as a Markdown table, a row for each event."""
    lines = ["| event | " + " | ".join(f"in *{mode.value}*" for mode in Mode) + " |"]
    lines.append("|---" * (1 + len(Mode)) + "|")
    for event in Event:
        after = [TRANSITIONS[mode][event] for mode in Mode]
        cells = ["" if new is mode else new.value for mode, new in zip(Mode, after, strict=True)]
        lines.append(f"| {event.value} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


class Fault(str, enum.Enum):
    """The kinds of fault, by the row of the safety table that they come from."""

    WATCHDOG = "watchdog"
    EMERGENCY_STOP = "emergency_stop"
    NON_FINITE_STATE = "non_finite_state"
    IMPLAUSIBLE_STATE = "implausible_state"
    BAD_MESSAGES = "bad_messages"
    NON_FINITE_GOAL = "non_finite_goal"
    GOAL_TIMEOUT = "goal_timeout"
    JOINT_STATE = "joint_state"
    STAMP = "stamp"
    POLICY_OUTPUT = "policy_output"
    LATE_POLICY = "late_policy"
    OVER_SPEED = "over_speed"
    END_EFFECTOR_SPEED = "end_effector_speed"
    WORKSPACE = "workspace"
    SLOW_STATES = "slow_states"
    OTHER_PUBLISHER = "other_publisher"
    COMMAND = "command"

    __hash__ = str.__hash__  # Enum's is Python code, and every state looks kinds up


class Intervention(str, enum.Enum):
    """The ways in which a published torque may differ from the policy's."""

    NO_GOAL = "no_goal"
    SOFT_START = "soft_start"
    DAMPING = "damping"
    STOPPED = "stopped"
    POSITION_LIMIT = "position_limit"
    VELOCITY_LIMIT = "velocity_limit"
    TOO_FAST = "too_fast"
    END_EFFECTOR_SPEED = "end_effector_speed"
    WORKSPACE = "workspace"
    CLAMP = "clamp"
    SLEW = "slew"


@dataclass(frozen=True)
class Command:
    """One torque that may be published.

    Attributes:
        torque: [n] N·m, in the policy's joint order; the filter never changes it afterwards.
        mode: what decided it.
        interventions: each kind that acted, with the joints (by index) it acted on.
    """

    torque: Array
    mode: Mode
    interventions: dict[Intervention, tuple[int, ...]]
