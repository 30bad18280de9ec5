# SPDX-License-Identifier: Apache-2.0
"""Brings a lifecycle node to life once its robot speaks; the launch file and the demo share it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import JointState

from sac_ros.utils.errors import SacRosError

_POLL = 0.02  # s

_NAMES = {
    Transition.TRANSITION_CONFIGURE: "configure",
    Transition.TRANSITION_ACTIVATE: "activate",
}


class BringUpError(SacRosError):
    """A node could not be brought up; the sentence names the node and the step."""


class BringUp:
    """Configures a lifecycle node, waits for joint states, activates it.

    The policy node refuses to be activated while its robot is silent, so a robot that starts
    beside it is waited for here. `node` must be spinning in another thread: the calls block.
    """

    def __init__(
        self,
        node: Node,
        target: str,
        joint_states: str,
        *,
        timeout: float,
        given_up: Callable[[], str] = str,
    ) -> None:
        """Prepares to bring up a node.

        Args:
            node: makes the calls.
            target: full name of the lifecycle node, such as `/policy_node`.
            joint_states: topic on which the robot must be heard before the activation.
            timeout: s allowed for each step.
            given_up: asked while waiting; a reason (not the empty text) ends the wait, for
                example that the target has died.
        """
        self._target = target
        self._topic = joint_states
        self._timeout = timeout
        self._given_up = given_up
        self._node = node
        self._heard = threading.Event()
        self._subscription = node.create_subscription(
            JointState, joint_states, lambda _: self._heard.set(), qos_profile_sensor_data
        )
        self._client = node.create_client(ChangeState, f"{target}/change_state")

    def run(self) -> None:
        """Brings the node up.

        Raises:
            BringUpError: a transition was refused, a step took longer than the timeout, or
                another node has the same name.
        """
        try:
            self._wait(
                self._client.service_is_ready, f"{self._target} offers no lifecycle services"
            )
            self._wait(
                self._is_alone,
                f"another node is named {self._target} and would answer in its place",
            )
            self._change_state(Transition.TRANSITION_CONFIGURE)
            self._wait(self._heard.is_set, f"no joint states on {self._subscription.topic_name}")
            self._change_state(Transition.TRANSITION_ACTIVATE)
        finally:
            self._node.destroy_client(self._client)
            self._node.destroy_subscription(self._subscription)

    def _is_alone(self) -> bool:
        """Whether the name is that of one node: one that was killed is known for some seconds."""
        nodes = self._node.get_node_names_and_namespaces()
        named = [f"{namespace.rstrip('/')}/{name}" for name, namespace in nodes]
        return named.count(self._target) <= 1

    def _change_state(self, transition: int) -> None:
        name = _NAMES[transition]
        request = ChangeState.Request(transition=Transition(id=transition))
        future = self._client.call_async(request)
        self._wait(future.done, f"{self._target} does not answer the request to {name}")
        if not future.result().success:
            raise BringUpError(f"{self._target} refused to {name}; its own log says why")

    def _wait(self, condition: Callable[[], bool], otherwise: str) -> None:
        deadline = time.monotonic() + self._timeout
        while not condition():
            if reason := self._given_up():
                raise BringUpError(f"{otherwise}: {reason}")
            if time.monotonic() > deadline:
                raise BringUpError(f"{otherwise} (waited {self._timeout:g} s)")
            time.sleep(_POLL)
