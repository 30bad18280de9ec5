# SPDX-License-Identifier: Apache-2.0
"""A policy_node in shadow, as `replay_node` sees it: what it is told, and what it says."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from geometry_msgs.msg import PoseStamped
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.srv import GetParameters
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger

from sac_ros.utils.errors import ConfigurationError, SacRosError

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


class ReplayError(SacRosError):
    """The policy_node does not do its part; the sentence says what was asked of it."""


class ShadowPolicy:
    """The other side of a policy_node. Its node spins in another thread; the calls block.

    Attributes:
        target: the policy_node's full name.
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
        self.target = target
        self._node = node
        self._given_up = given_up
        self._news = threading.Condition()
        self._decisions: deque[dict[str, Any]] = deque()
        self.joint_states = node.create_publisher(JointState, topics[0], 10)
        self.goals = node.create_publisher(PoseStamped, topics[1], 10)
        self._hear = hear
        for name, (kind, qos) in SAYS.items():
            heard = partial(self._note, name)
            node.create_subscription(kind, f"{target}/{name}", heard, qos, raw=True)

    def _note(self, name: str, message: bytes) -> None:
        with self._news:
            self._hear(name, message)
            if name == "decisions":
                self._decisions.append(json.loads(deserialize_message(message, String).data))
            self._news.notify_all()

    # ---- waiting -----------------------------------------------------------------------------

    def decision(self, event: str, timeout: float = _ANSWER_S, **fields: Any) -> dict[str, Any]:
        """Wait for the next decision about an event, and forget those before it.

        Raises:
            ReplayError: it did not come.
        """
        found = self.decision_within(event, timeout, **fields)
        if found is None:
            raise ReplayError(f"{self.target} says nothing about a {event} for {timeout:g} s")
        return found

    def decision_within(self, event: str, timeout: float, **fields: Any) -> dict[str, Any] | None:
        """Like `decision`, but None when it did not come in time."""
        wanted = {"event": event, **fields}
        deadline = time.monotonic() + timeout
        with self._news:
            while True:
                while self._decisions:
                    decision = self._decisions.popleft()
                    if all(decision.get(key) == value for key, value in wanted.items()):
                        return decision
                self._stop_if_given_up()
                left = deadline - time.monotonic()
                if left <= 0.0:
                    return None
                self._news.wait(min(left, 0.5))

    def wait_until(self, condition: Callable[[], object], otherwise: str) -> None:
        """Wait until a condition holds that what the policy_node says may change.

        Raises:
            ReplayError: it does not, within some time.
        """
        deadline = time.monotonic() + _ANSWER_S
        with self._news:
            while not condition():
                self._stop_if_given_up()
                if time.monotonic() > deadline:
                    raise ReplayError(f"{otherwise} (waited {_ANSWER_S:g} s)")
                self._news.wait(0.02)

    def _stop_if_given_up(self) -> None:
        if reason := self._given_up():
            raise ReplayError(f"the replay was given up: {reason}")

    # ---- services ----------------------------------------------------------------------------

    def configure(self) -> None:
        """Have it load its policy and connect, once it is there and in shadow.

        Raises:
            ConfigurationError: it would command a robot.
            ReplayError: it is not there, or refuses.
        """
        request = GetParameters.Request(names=["shadow"])
        (shadow,) = self.call(GetParameters, "get_parameters", request).values
        if not shadow.bool_value:
            raise ConfigurationError(
                f"parameter shadow of {self.target} must be true: a replay must command no robot"
            )
        self.change_state(Transition.TRANSITION_CONFIGURE, "configure")
        for publisher in (self.joint_states, self.goals):
            self.wait_until(
                publisher.get_subscription_count,
                f"{self.target} does not listen to {publisher.topic_name}",
            )

    def activate(self) -> None:
        """Have it answer the joint states."""
        self.change_state(Transition.TRANSITION_ACTIVATE, "activate")

    def deactivate(self) -> None:
        """Have it answer them no longer."""
        self.change_state(Transition.TRANSITION_DEACTIVATE, "deactivate")

    def change_state(self, transition: int, name: str) -> None:
        """Make a transition of the lifecycle.

        Raises:
            ReplayError: it is refused.
        """
        request = ChangeState.Request(transition=Transition(id=transition))
        if not self.call(ChangeState, "change_state", request).success:
            raise ReplayError(f"{self.target} refused to {name}; its own log says why")

    def emergency_stop(self, engaged: bool) -> None:
        """Engage or release the emergency stop."""
        self.call(SetBool, "emergency_stop", SetBool.Request(data=engaged))

    def clear_fault(self) -> None:
        """Ask to clear the fault; a refusal is an answer too."""
        self.call(Trigger, "clear_fault", Trigger.Request())

    def call(self, kind: Any, name: str, request: Any) -> Any:
        """Call a service of the policy_node and return its answer.

        Raises:
            ReplayError: there is none.
        """
        client = self._node.create_client(kind, f"{self.target}/{name}")
        try:
            self.wait_until(client.service_is_ready, f"{self.target} offers no {name}")
            future = client.call_async(request)
            self.wait_until(future.done, f"{self.target} does not answer {name}")
        finally:
            self._node.destroy_client(client)
        return future.result()
