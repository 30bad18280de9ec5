# SPDX-License-Identifier: Apache-2.0
"""A policy_node in shadow, as `replay_node` sees it: what it is told, and what it says."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
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
from sac_ros.nodes.replay_events import ReplayEvent
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


Write = Callable[[str, int, bytes], None]
"""(topic as in `RECORDED`, ns of receipt, CDR) → it is in the replay's own bag."""


@dataclass
class Tally:
    """What a replay came to.

    Attributes:
        states: joint states that were replayed.
        torques: torques that answer them.
        compared: those whose recorded torque is known.
        equal: how many of them are equal to the last bit.
        worst: N·m, the largest difference of the others.
    """

    states: int = 0
    torques: int = 0
    compared: int = 0
    equal: int = 0
    worst: float = 0.0


class ShadowPolicy(RemoteNode, ABC):
    """The other side of a policy_node.

    Attributes:
        joint_states, goals: the publishers.
        write: takes everything that is told and said.
        tally: what the replay came to so far.
    """

    def __init__(
        self,
        node: Node,
        target: str,
        topics: tuple[str, str],
        write: Write,
        given_up: Callable[[], str],
    ) -> None:
        """Connects to the graph.

        Args:
            node: makes the connections.
            target: full name of the policy_node.
            topics: the joint states and the goals that it listens to.
            write: takes everything that is told and said.
            given_up: a reason (not the empty text) to wait no longer.
        """
        super().__init__(node, target, timeout=_ANSWER_S, given_up=given_up)
        self._decisions: deque[dict[str, Any]] = deque()
        self.joint_states = node.create_publisher(JointState, topics[0], 10)
        self.goals = node.create_publisher(PoseStamped, topics[1], 10)
        self.write = write
        self.tally = Tally()
        for name, (kind, qos) in SAYS.items():
            heard = partial(self._note, name)
            node.create_subscription(kind, f"{target}/{name}", heard, qos, raw=True)

    @abstractmethod
    def run(self, events: Iterable[ReplayEvent]) -> None:
        """Replay all events, to the deactivation at the end.

        Raises:
            RemoteNodeError: the policy_node does not do its part.
        """

    @abstractmethod
    def hear(self, name: str, message: bytes) -> None:
        """Take a topic of `SAYS` and the CDR of a message, in the executor's thread."""

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
            self.hear(name, message)
            if name == "decisions":
                self._decisions.append(json.loads(deserialize_message(message, String).data))
            self.news.notify_all()
