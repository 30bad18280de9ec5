# SPDX-License-Identifier: Apache-2.0
"""What the browser view reads of a robot and of policy_node, 20 times a second."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, String

from sac_ros.policy.spec import PolicySpec
from sac_ros.robots.arm import Arm
from sac_ros.ros.polled_topic import PolledTopic
from sac_ros.view.event_lines import is_frequent, line_of, read_event
from sac_ros.view.state import Array, EventLine, ViewState

DIAGNOSTIC_NODES = ("policy_node", "command_guard", "train_node")
"""Whose entries in `/diagnostics` are shown."""

_NEWEST = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
_EVENTS = QoSProfile(depth=1000, durability=DurabilityPolicy.TRANSIENT_LOCAL)
_STALE_S = 0.5  # after which a torque is no torque of now
_LINES = 200  # of events
_SIMULATORS = ("sim_node",)


def values_of(entries: Mapping[str, str], key: str) -> Array | None:
    """Return a list of numbers among the entries of diagnostics; None: there is none."""
    try:
        values = np.array(json.loads(entries.get(key, "")), dtype=np.float64)
    except (ValueError, TypeError):
        return None
    return values if values.ndim == 1 else None


class JointTopics:
    """Reads `joint_states` and `commands`, the newest message of each."""

    def __init__(self, node: Node) -> None:
        """Subscribes."""
        self._node = node
        self._states = PolledTopic(node, JointState, "joint_states", _NEWEST)
        self._commands = PolledTopic(node, Float64MultiArray, "commands", _NEWEST)
        self._state_came = self._torque_came = -np.inf
        self._torque: Array | None = None
        self._policy_order: list[int] | None = None
        self._command_order: list[int] | None = None

    def set_order(self, arm: Arm, spec: PolicySpec, command_joints: Sequence[str]) -> None:
        """Take the order of joints of a policy, and of its commands."""
        self._policy_order = _places(arm.joint_names, spec.joint_names)
        self._command_order = _places(arm.joint_names, command_joints or spec.joint_names)

    def in_arm_order(self, values: Array | None) -> Array | None:
        """Return values that are in the order of the policy's joints in that of the arm's."""
        if values is None or self._policy_order is None or len(values) != len(self._policy_order):
            return None
        return np.asarray(values[self._policy_order])

    def arm_joint(self, joint: int) -> int:
        """Return the place in the arm of the policy's joint."""
        order = self._policy_order
        return order.index(joint) if order is not None and joint in order else joint

    def simulated(self) -> bool:
        """Return whether `sim_node` publishes the joint states."""
        infos = self._node.get_publishers_info_by_topic(self._states.topic_name)
        return any(info.node_name in _SIMULATORS for info in infos)

    def update(self, now: float, arm: Arm, state: ViewState) -> None:
        """Put what has come into a state."""
        message = self._states.take_newest()
        if message is not None:
            self._take_state(now, arm, message, state)
        command = self._commands.take_newest()
        if command is not None:
            values, order = np.array(command.data), self._command_order
            if order is None and len(values) == arm.joints:
                order = [*range(arm.joints)]
            if order is not None and len(values) == len(order):
                self._torque, self._torque_came = values[order], now
        state.torque = self._torque if now - self._torque_came < _STALE_S else None
        state.state_age_s = now - self._state_came

    def _take_state(self, now: float, arm: Arm, message: JointState, state: ViewState) -> None:
        place = {name: index for index, name in enumerate(message.name)}
        try:
            indices = [place[name] for name in arm.joint_names]
            position = np.array([message.position[index] for index in indices])
        except (KeyError, IndexError):  # of other joints: a gripper's, another arm's
            return
        if not np.isfinite(position).all():
            return
        state.position, self._state_came = position, now
        if now - self._torque_came > _STALE_S and len(message.effort) == len(message.name):
            self._torque = np.array([message.effort[index] for index in indices])
            self._torque_came = now - 0.5 * _STALE_S  # a command is preferred to it


class PolicyEvents:
    """Reads policy_node's `~/events`, which it writes 500 times a second for whoever reads them.

    So it is subscribed only while somebody looks.
    """

    def __init__(self, node: Node) -> None:
        """Reads nothing yet; see `follow`."""
        self._node = node
        self._topic: PolledTopic | None = None
        self._newest = (0, -np.inf)  # number and time of the last one
        self._mode = ""

    def follow(self, wanted: bool) -> None:
        """Subscribe, or end that."""
        if wanted and self._topic is None:
            self._topic = PolledTopic(self._node, String, "policy_node/events", _EVENTS)
        elif not wanted and self._topic is not None:
            self._topic.destroy()
            self._topic = None

    def update(self, state: ViewState, joints: JointTopics) -> None:
        """Put what has come into a state."""
        if self._topic is None:
            return
        texts = [deserialize_message(raw, String).data for raw in self._topic.take_all()]
        rare = [text for text in texts if not is_frequent(text)]
        frequent = [text for text in texts if is_frequent(text)][-1:]
        for text in rare:
            event = read_event(text)
            if not event or not self._is_new(event):
                continue
            if (line := line_of(event)) is not None:
                state.events.append(line)
        for text in frequent:
            self._take_answer(read_event(text), state, joints)
        del state.events[:-_LINES]

    def _is_new(self, event: dict[str, Any]) -> bool:
        """Whether an event has not been read before: the last thousand come again."""
        number, when = event.get("n", 0), event["time"]
        if number <= self._newest[0] and when <= self._newest[1]:
            return False
        self._newest = number, when
        return True

    def _take_answer(self, event: dict[str, Any], state: ViewState, joints: JointTopics) -> None:
        mode = event.get("mode")
        if not isinstance(mode, str):
            return
        acted = event.get("interventions")
        indices = [i for each in acted.values() for i in each] if isinstance(acted, dict) else []
        state.limited = frozenset(joints.arm_joint(i) for i in indices if isinstance(i, int))
        state.mode = mode
        if mode != self._mode:
            if self._mode:
                faults = ", ".join(map(str, event.get("faults") or []))
                text = f"{mode}{f' ({faults})' if faults else ''}"
                state.events.append(EventLine(event["time"], text, mode != "tracking"))
            self._mode = mode


def _places(wanted: Sequence[str], given: Sequence[str]) -> list[int] | None:
    """For each name its place among others; None where one is not there."""
    place = {name: index for index, name in enumerate(given)}
    return [place[name] for name in wanted] if set(wanted) <= set(place) else None
