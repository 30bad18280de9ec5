# SPDX-License-Identifier: Apache-2.0
"""What can be wrong with a robot's joint states, as a table: name, change, and where it leads.

A change takes a good message and how many came before it under this fault, and returns the
messages that are published in its place: none, one or several. It may write into the message.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

from sensor_msgs.msg import JointState

from sac_ros.policy.safety_events import Mode

_HOUR_S = 3600

Change = Callable[[JointState, int], list[JointState]]


@dataclass(frozen=True)
class StateFault:
    """One way in which joint states can be wrong.

    Attributes:
        change: see the head of this module.
        usable: whether a policy node may answer these states.
        mode: where it leads while it lasts, once every timeout has passed.
    """

    change: Change
    usable: bool
    mode: Mode


def _nan_position(state: JointState, _count: int) -> list[JointState]:
    state.position[0] = math.nan
    return [state]


def _infinite_velocity(state: JointState, _count: int) -> list[JointState]:
    state.velocity[-1] = -math.inf
    return [state]


def _joint_missing(state: JointState, _count: int) -> list[JointState]:
    state.name = [*state.name[:-1], "finger"]
    return [state]


def _joint_twice(state: JointState, _count: int) -> list[JointState]:
    state.name = [*state.name, state.name[0]]
    state.position = [*state.position, 0.0]
    state.velocity = [*state.velocity, 0.0]
    return [state]


def _position_too_short(state: JointState, _count: int) -> list[JointState]:
    state.position = state.position[:-1]
    return [state]


def _no_velocity(state: JointState, _count: int) -> list[JointState]:
    state.velocity = []
    return [state]


def _silence(_state: JointState, _count: int) -> list[JointState]:
    return []


def _stamp_stands(state: JointState, _count: int) -> list[JointState]:
    state.header.stamp.sec, state.header.stamp.nanosec = 1, 0
    return [state]


def _stamp_runs_backwards(state: JointState, count: int) -> list[JointState]:
    state.header.stamp.sec, state.header.stamp.nanosec = 1, 999_999_999 - count
    return [state]


def _clock_stepped_back(state: JointState, _count: int) -> list[JointState]:
    state.header.stamp.sec -= _HOUR_S
    return [state]


def _slow(state: JointState, count: int) -> list[JointState]:
    return [] if count % 30 else [state]


def _velocity_of_100(state: JointState, _count: int) -> list[JointState]:
    state.velocity[0] = 100.0
    return [state]


def _absurd_velocity(state: JointState, _count: int) -> list[JointState]:
    state.velocity[0] = -1e300
    return [state]


def _frozen_at_speed(state: JointState, _count: int) -> list[JointState]:
    state.velocity[0] = 3.0
    return [state]


def _two_robots(state: JointState, count: int) -> list[JointState]:
    if count % 2:
        state.position[0] += 1.0
    return [state]


def _every_other_nan(state: JointState, count: int) -> list[JointState]:
    if count % 2:
        state.position[-1] = math.nan
    return [state]


def _beyond_position_limit(state: JointState, _count: int) -> list[JointState]:
    state.position[0] = 100.0
    return [state]


def _other_order_and_more_joints(state: JointState, _count: int) -> list[JointState]:
    state.name = ["gripper", *reversed(state.name)]
    state.position = [math.nan, *reversed(state.position)]
    state.velocity = [math.inf, *reversed(state.velocity)]
    return [state]


def _no_stamp(state: JointState, _count: int) -> list[JointState]:
    state.header.stamp.sec = state.header.stamp.nanosec = 0
    return [state]


def _every_message_twice(state: JointState, _count: int) -> list[JointState]:
    return [state, copy.deepcopy(state)]


def _every_third_lost(state: JointState, count: int) -> list[JointState]:
    return [state] if count % 3 else []


# What ends in *stopped* goes through *damping* first, as long as the last good state is fresh.
_FAULTS: dict[str, tuple[Change, bool, Mode]] = {
    # values: before the fields, which must be there to be changed; the unusable ones last
    "velocity of 100 rad/s": (_velocity_of_100, False, Mode.STOPPED),
    "absurd velocity": (_absurd_velocity, False, Mode.STOPPED),
    "frozen at speed": (_frozen_at_speed, False, Mode.STOPPED),
    "beyond position limit": (_beyond_position_limit, False, Mode.STOPPED),
    "two robots": (_two_robots, True, Mode.DAMPING),
    "every other nan": (_every_other_nan, True, Mode.DAMPING),
    "nan position": (_nan_position, False, Mode.STOPPED),
    "infinite velocity": (_infinite_velocity, False, Mode.STOPPED),
    # fields
    "joint missing": (_joint_missing, False, Mode.STOPPED),
    "joint twice": (_joint_twice, False, Mode.STOPPED),
    "position too short": (_position_too_short, False, Mode.STOPPED),
    "no velocity": (_no_velocity, False, Mode.STOPPED),
    "other order, more joints": (_other_order_and_more_joints, True, Mode.TRACKING),
    # stamps
    "no stamp": (_no_stamp, True, Mode.TRACKING),
    "clock stepped back": (_clock_stepped_back, True, Mode.DAMPING),
    "stamp stands": (_stamp_stands, False, Mode.STOPPED),
    "stamp runs backwards": (_stamp_runs_backwards, False, Mode.STOPPED),
    # the messages themselves
    "every message twice": (_every_message_twice, True, Mode.TRACKING),
    "every third lost": (_every_third_lost, True, Mode.TRACKING),
    "slow states": (_slow, True, Mode.DAMPING),
    "silence": (_silence, False, Mode.STOPPED),
}

STATE_FAULTS = {name: StateFault(*row) for name, row in _FAULTS.items()}
"""Every fault of joint states by name; of several at once, each changes what those before left."""
