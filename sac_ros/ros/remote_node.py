# SPDX-License-Identifier: Apache-2.0
"""A lifecycle node in another process: its services called, its transitions made."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.client import Client
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import JointState

from sac_ros.utils.errors import SacRosError

_POLL_S = 0.02
_AGAIN_S = 2.0  # without an answer to what may be asked again


class RemoteNodeError(SacRosError):
    """Another node does not do its part; the sentence names the node and the step."""


class RemoteNode:
    """The calls block; the own node must be spinning in another thread.

    Attributes:
        node: makes the calls.
        target: full name of the other node, such as ``/policy_node``.
    """

    def __init__(
        self, node: Node, target: str, *, timeout: float, given_up: Callable[[], str] = str
    ) -> None:
        """Calls nothing yet; each step may take ``timeout`` s.

        ``given_up`` returns a reason to wait no longer, such as the end of a process, or "".
        """
        self.node = node
        self.target = target
        self._timeout = timeout
        self._given_up = given_up
        self._clients: dict[str, Client] = {}

    def wait_until(
        self, condition: Callable[[], Any], otherwise: str, timeout: float | None = None
    ) -> Any:
        """Return what a condition gives as soon as that is true.

        Raises:
            RemoteNodeError: the timeout, s, is over, or there is a reason to end; the
                sentence begins with ``otherwise``.
        """
        timeout = self._timeout if timeout is None else timeout
        deadline = time.monotonic() + timeout
        while not (found := condition()):
            if reason := self._given_up():
                raise RemoteNodeError(f"{otherwise}: {reason}")
            if time.monotonic() > deadline:
                raise RemoteNodeError(f"{otherwise} (waited {timeout:g} s)")
            time.sleep(_POLL_S)
        return found

    def call(self, kind: Any, name: str, request: Any, *, repeat: bool = False) -> Any:
        """Call a service below the other node's name and return its answer.

        ``repeat``: whether to ask again where none comes, for what changes nothing. An answer is
        lost where the other node has not discovered yet who asked.

        Raises:
            RemoteNodeError: there is none.
        """
        client = self._client(kind, name)
        self.wait_until(client.service_is_ready, f"{self.target} offers no {name}")
        asked, future = time.monotonic(), client.call_async(request)

        def answered() -> bool:
            nonlocal asked, future
            if repeat and not future.done() and time.monotonic() - asked > _AGAIN_S:
                asked, future = time.monotonic(), client.call_async(request)
            return bool(future.done())

        self.wait_until(answered, f"{self.target} does not answer {name}")
        return future.result()

    def change_state(self, step: str) -> None:
        """Have the other node ``configure``, ``activate`` or ``deactivate``.

        Raises:
            RemoteNodeError: it refuses, or does not answer.
        """
        transition = Transition(id=getattr(Transition, f"TRANSITION_{step.upper()}"))
        request = ChangeState.Request(transition=transition)
        if not self.call(ChangeState, "change_state", request).success:
            raise RemoteNodeError(f"{self.target} refused to {step}; its own log has the reason")

    def bring_up(self, joint_states: str) -> None:
        """Configure the other node, wait for its robot's ``joint_states``, activate it.

        Raises:
            RemoteNodeError: a transition was refused, a step took longer than the timeout, or
                two nodes have the same name.
        """
        received = threading.Event()
        robot = self.node.create_subscription(
            JointState, joint_states, lambda _: received.set(), qos_profile_sensor_data
        )
        client = self._client(ChangeState, "change_state")
        self.wait_until(client.service_is_ready, f"{self.target} offers no lifecycle services")
        self.wait_until(
            self._is_alone,
            f"another node is named {self.target} and would answer in its place",
        )
        self.change_state("configure")
        self.wait_until(received.is_set, f"no joint states on {robot.topic_name}")
        self.change_state("activate")

    def _client(self, kind: Any, name: str) -> Client:
        """Return the one client of a service. It is kept, since rclpy's executor, in another
        thread, may be about to wait for what is destroyed here.
        """
        if name not in self._clients:
            self._clients[name] = self.node.create_client(kind, f"{self.target}/{name}")
        return self._clients[name]

    def _is_alone(self) -> bool:
        """Whether the name is that of one node: a killed one stays in the graph for seconds."""
        nodes = self.node.get_node_names_and_namespaces()
        named = [f"{namespace.rstrip('/')}/{name}" for name, namespace in nodes]
        return named.count(self.target) <= 1
