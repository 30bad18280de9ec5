# SPDX-License-Identifier: Apache-2.0
"""What policy_node publishes: commands, the two torque topics, and the policy's spec."""

from __future__ import annotations

import array
from collections.abc import Callable

import numpy as np
from builtin_interfaces.msg import Time as TimeMessage
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.serialization import serialize_message
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, String

from sac_ros.cdr import NUMBERS, read_layout
from sac_ros.policy.safety_config import Array
from sac_ros.policy.safety_events import Command
from sac_ros.policy.spec import PolicySpec
from sac_ros.ros.robot_description import LATCHED

OTHERS_PERIOD_S = 0.1
"""In which a node looks once who else publishes."""

UNNAMED = "a node whose name is not known yet"
_UNKNOWN_NODE = "_NODE_NAME_UNKNOWN_"  # the name that rmw gives it


class CommandPublisher:
    """The publisher of `commands`, whose message is made once and written in place.

    It is a plain publisher: a lifecycle publisher would swallow the last command, which is sent
    while the node is already on its way out of *active*.

    Attributes:
        sent: how many commands were published.
    """

    def __init__(self, node: Node, order: list[int]) -> None:
        """Publishes torques, for each place in a command that of joint ``order[place]``."""
        self._node = node
        self.publisher = node.create_publisher(Float64MultiArray, "commands", 1)
        self._order = np.array(order)
        data = array.array("d", [0.0] * len(order))
        # The command as it goes over the wire; see `JointStateReader` for why no object is made.
        self._command = bytearray(serialize_message(Float64MultiArray(data=data)))
        layout = read_layout(bytes(self._command), NUMBERS)
        start, count = layout.arrays["data"]
        self._view = np.frombuffer(self._command, f"{layout.order}f8", count, start)
        self.sent = 0
        self._others: list[str] = []

    def publish(self, command: Command) -> None:
        """Publish a command."""
        np.add(command.torque[self._order], 0.0, out=self._view)  # no −0
        self.publisher.publish(bytes(self._command))
        self.sent += 1

    def wait_until_acknowledged(self, timeout_s: float) -> bool:
        """Wait until every subscriber has the last command; False when one does not answer."""
        return bool(self.publisher.wait_for_all_acked(Duration(seconds=timeout_s)))

    def other_publishers(self) -> list[str]:
        """Return the full names of other nodes that publish on the command topic.

        DDS finds a publisher before its node's name: until then that is `UNNAMED`.
        """
        if self._node.count_publishers(self.publisher.topic_name) == 1:
            return []  # a count is ten times as quick as the names
        infos = self._node.get_publishers_info_by_topic(self.publisher.topic_name)
        names = [
            UNNAMED
            if info.node_name == _UNKNOWN_NODE
            else f"{info.node_namespace.rstrip('/')}/{info.node_name}"
            for info in infos
        ]
        own = self._node.get_fully_qualified_name()
        if own in names:
            names.remove(own)  # once: a second node of the same name is another publisher
        return names

    def tell_others(self, tell: Callable[[list[str]], object]) -> None:
        """Report the `other_publishers`, where they have changed since the last call."""
        others = self.other_publishers()
        if others != self._others:
            self._others = others
            tell(others)


class TorqueMessage:
    """A joint state with efforts alone, made once and written in place."""

    def __init__(self, joint_names: tuple[str, ...]) -> None:
        # A message keeps the array.array that it is given; numpy writes through a view of it.
        data = array.array("d", [0.0] * len(joint_names))
        self._message = JointState(name=list(joint_names), effort=data)
        self._view = np.frombuffer(self._message.effort)

    def filled(self, torque: Array, stamp_ns: int) -> JointState:
        """Return the message, which the next call writes again.

        Args:
            torque: [n] N·m.
            stamp_ns: that of the state which it answers; 0 where it answers no new one.
        """
        seconds, nanoseconds = divmod(stamp_ns, 1_000_000_000)
        self._message.header.stamp = TimeMessage(sec=seconds, nanosec=nanoseconds)
        np.add(torque, 0.0, out=self._view)  # no −0
        return self._message


class PolicyPublishers:
    """Publishers whose messages are made once and written in place.

    In shadow mode there are no commands.
    """

    def __init__(self, node: Node, spec: PolicySpec, order: list[int], shadow: bool) -> None:
        self._node, self._order = node, order
        self._commands: CommandPublisher | None = None
        self.set_shadow(shadow)
        self._policy_torque = node.create_publisher(JointState, "~/policy_torque", 10)
        self._applied_torque = node.create_publisher(JointState, "~/applied_torque", 10)
        self._spec = node.create_publisher(String, "~/policy_spec", LATCHED)
        self._torque = TorqueMessage(spec.joint_names)
        self.publish_spec(spec.to_json())

    @property
    def shadow(self) -> bool:
        """Whether no commands are published."""
        return self._commands is None

    def set_shadow(self, shadow: bool) -> None:
        """Publish commands, or none any more; not while `publish` may be called."""
        if self._commands is not None and shadow:
            self._node.destroy_publisher(self._commands.publisher)
            self._commands = None
        elif self._commands is None and not shadow:
            self._commands = CommandPublisher(self._node, self._order)

    def publish_spec(self, text: str) -> None:
        """Publish the spec of the policy that runs now, as JSON."""
        self._spec.publish(String(data=text))

    def publish(self, command: Command) -> None:
        """Publish a command, except in shadow mode."""
        if self._commands is not None:
            self._commands.publish(command)

    def publish_torques(self, policy: Array | None, command: Command, stamp_ns: int) -> None:
        """Publish the policy's and the applied torque, stamped with the state they answer.

        A stamp of 0 is that of a torque that answers no new state. Call it after `publish`: the
        command comes first.
        """
        if policy is not None:
            self._publish_torque(self._policy_torque, policy, stamp_ns)
        self._publish_torque(self._applied_torque, command.torque, stamp_ns)

    def wait_until_acknowledged(self, timeout_s: float) -> bool:
        """Wait until every subscriber has the last command; False when one does not answer."""
        return self._commands is None or self._commands.wait_until_acknowledged(timeout_s)

    def other_publishers(self) -> list[str]:
        """Return who else publishes on the command topic; see `CommandPublisher`."""
        return [] if self._commands is None else self._commands.other_publishers()

    def tell_others(self, tell: Callable[[list[str]], object]) -> None:
        """See `CommandPublisher`."""
        if self._commands is not None:
            self._commands.tell_others(tell)

    def someone_listens(self) -> bool:
        """Return whether a subscriber of the commands is known; in shadow mode none is needed."""
        return self._commands is None or bool(self._commands.publisher.get_subscription_count())

    @property
    def sent(self) -> int:
        """How many commands were published."""
        return 0 if self._commands is None else self._commands.sent

    def destroy(self) -> None:
        """Take the publishers off the node."""
        self.set_shadow(True)
        for publisher in (self._policy_torque, self._applied_torque, self._spec):
            self._node.destroy_publisher(publisher)

    def _publish_torque(self, publisher: Publisher, torque: Array, stamp_ns: int) -> None:
        if publisher.get_subscription_count():
            publisher.publish(self._torque.filled(torque, stamp_ns))
