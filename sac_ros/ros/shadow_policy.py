# SPDX-License-Identifier: Apache-2.0
"""A policy_node in shadow, as `replay_node` sees it: what it is sent, and what it answers."""

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
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import JointState
from std_msgs.msg import String

from sac_ros.ros.remote_node import RemoteNode
from sac_ros.ros.replay_events import ReplayEvent
from sac_ros.ros.robot_description import LATCHED
from sac_ros.utils.errors import ConfigurationError

_ANSWER_S = 30.0  # for a step that loads a policy file on a busy machine, too
_STREAM = QoSProfile(depth=5000)

PUBLISHED = {
    "policy_torque": (JointState, _STREAM),
    "applied_torque": (JointState, _STREAM),
    "policy_spec": (String, LATCHED),
    "events": (String, _STREAM),
}
"""Its topics, below its own name, with type and quality of service."""

Write = Callable[[str, int, bytes], None]
"""(topic as in `RECORDED`, ns of receipt, CDR) → it is in the replay's own bag."""


@dataclass
class Tally:
    """What a replay came to."""

    states: int = 0  # joint states that were replayed
    torques: int = 0  # torques that answer them
    compared: int = 0  # those whose recorded torque is known
    equal: int = 0  # how many of them are equal to the last bit
    worst: float = 0.0  # N·m, the largest difference of the others


class ShadowPolicy(RemoteNode, ABC):
    """The other side of a policy_node; ``tally`` is what the replay came to so far."""

    def __init__(
        self,
        node: Node,
        namespace: str,
        write: Write,
        given_up: Callable[[], str],
    ) -> None:
        """Makes publishers and subscriptions in the policy_node's namespace.

        ``write`` takes everything that is sent and received; ``given_up`` as in `RemoteNode`.
        """
        target = f"{namespace}/policy_node"
        super().__init__(node, target, timeout=_ANSWER_S, given_up=given_up)
        self._events: deque[dict[str, Any]] = deque()
        self._joint_states = node.create_publisher(JointState, f"{namespace}/joint_states", 10)
        self._goals = node.create_publisher(PoseStamped, f"{namespace}/goal_pose", 10)
        self._write = write
        self.tally = Tally()
        for name, (kind, qos) in PUBLISHED.items():
            receive = partial(self._on_message, name)
            node.create_subscription(kind, f"{target}/{name}", receive, qos, raw=True)

    @abstractmethod
    def run(self, events: Iterable[ReplayEvent]) -> None:
        """Replay all events, to the deactivation at the end.

        Raises:
            RemoteNodeError: the policy_node does not do its part.
        """

    @abstractmethod
    def _receive(self, name: str, cdr: bytes) -> None:
        """Take a message of the policy_node's topic ``~/name``, in the executor's thread."""

    def connect(self) -> None:
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
        self.change_state("configure")
        for publisher in (self._joint_states, self._goals):
            self.wait_until(
                publisher.get_subscription_count,
                f"{self.target} does not listen to {publisher.topic_name}",
            )

    def _next_event(
        self, event: str, timeout: float | None = None, **fields: Any
    ) -> dict[str, Any]:
        """Wait for the next event of a kind, and forget those before it.

        Raises:
            RemoteTimeoutError: it did not come.
        """
        wanted = {"event": event, **fields}

        def next_one() -> dict[str, Any] | None:
            while self._events:
                record = self._events.popleft()
                if wanted.items() <= record.items():
                    return record
            return None

        found: dict[str, Any] = self.wait_until(
            next_one, f"{self.target} says nothing about a {event}", timeout
        )
        return found

    def _on_message(self, name: str, cdr: bytes) -> None:
        with self.news:
            self._receive(name, cdr)
            if name == "events":
                self._events.append(json.loads(deserialize_message(cdr, String).data))
            self.news.notify_all()
