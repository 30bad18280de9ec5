# SPDX-License-Identifier: Apache-2.0
"""A policy_node in shadow, as `replay_node` sees it: what it is told, and what it says."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from geometry_msgs.msg import PoseStamped
from rcl_interfaces.srv import GetParameters
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger

from sac_ros.nodes.remote_node import RemoteNode
from sac_ros.utils.errors import ConfigurationError

_ANSWER_S = 30.0  # for a step that loads a policy file on a busy machine, too
_DEPTH = 5000
_LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)

SAYS = {
    "policy_torque": (JointState, QoSProfile(depth=_DEPTH)),
    "applied_torque": (JointState, QoSProfile(depth=_DEPTH)),
    "policy_spec": (String, _LATCHED),
    "decisions": (String, QoSProfile(depth=_DEPTH)),
}
"""Its topics, below its own name, with type and quality of service."""


class ShadowPolicy(RemoteNode):
    """The other side of a policy_node.

    Attributes:
        joint_states, goals: the publishers.
    """

    def __init__(
        self,
        node: Node,
        target: str,
        topics: tuple[str, str],
        hear: Callable[[str, bytes], None],
        given_up: Callable[[], str],
    ) -> None:
        """Connects to the graph.

        Args:
            node: makes the connections.
            target: full name of the policy_node.
            topics: the joint states and the goals that it listens to.
            hear: gets the topic's name and the CDR of everything that it says, in the executor's
                thread.
            given_up: a reason (not the empty text) to wait no longer.
        """
        super().__init__(node, target, timeout=_ANSWER_S, given_up=given_up)
        self._decisions: deque[dict[str, Any]] = deque()
        self.joint_states = node.create_publisher(JointState, topics[0], 10)
        self.goals = node.create_publisher(PoseStamped, topics[1], 10)
        self._hear = hear
        for name, (kind, qos) in SAYS.items():
            heard = partial(self._note, name)
            node.create_subscription(kind, f"{target}/{name}", heard, qos, raw=True)

    def decision(self, event: str, timeout: float | None = None, **fields: Any) -> dict[str, Any]:
        """Wait for the next decision about an event, and forget those before it.

        Raises:
            RemoteNodeError: it did not come.
        """
        wanted = {"event": event, **fields}

        def next_one() -> dict[str, Any] | None:
            while self._decisions:
                decision = self._decisions.popleft()
                if all(decision.get(key) == value for key, value in wanted.items()):
                    return decision
            return None

        found: dict[str, Any] = self.wait_until(
            next_one, f"{self.target} says nothing about a {event}", timeout
        )
        return found

    def configure(self) -> None:
        """Have it load its policy and connect, once it is there and in shadow.

        Raises:
            ConfigurationError: it would command a robot.
            RemoteNodeError: it is not there, or refuses.
        """
        request = GetParameters.Request(names=["shadow"])
        (shadow,) = self.call(GetParameters, "get_parameters", request).values
        if not shadow.bool_value:
            raise ConfigurationError(
                f"parameter shadow of {self.target} must be true: a replay must command no robot"
            )
        super().configure()
        for publisher in (self.joint_states, self.goals):
            self.wait_until(
                publisher.get_subscription_count,
                f"{self.target} does not listen to {publisher.topic_name}",
            )

    def emergency_stop(self, engaged: bool) -> None:
        """Engage or release the emergency stop."""
        self.call(SetBool, "emergency_stop", SetBool.Request(data=engaged))

    def clear_fault(self) -> None:
        """Ask to clear the fault; a refusal is an answer too."""
        self.call(Trigger, "clear_fault", Trigger.Request())

    def _note(self, name: str, message: bytes) -> None:
        with self.news:
            self._hear(name, message)
            if name == "decisions":
                self._decisions.append(json.loads(deserialize_message(message, String).data))
            self.news.notify_all()
