# SPDX-License-Identifier: Apache-2.0
"""A recording at its own pace, through a policy_node in shadow."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial

from geometry_msgs.msg import PoseStamped
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.srv import GetParameters
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from rclpy.serialization import serialize_message
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState
from std_msgs.msg import String

from sac_ros.bags.events import ReplayEvent, stamp_of
from sac_ros.ros.answers import Answers
from sac_ros.ros.lock_step import Tally, Write
from sac_ros.ros.policy.goal_reader import goal_message
from sac_ros.ros.remote_node import RemoteNode
from sac_ros.ros.robot_description import LATCHED
from sac_ros.utils.errors import ConfigurationError

_ANSWER_S = 30.0  # for a step that loads a policy file on a busy machine, too
_FIRST_STATES_S = 0.02  # from one to the next, until the node is active
_DRAIN_S = 1.0  # for what is on the way at the end
_QUIET_S = 0.1  # after which nothing more comes from a policy_node that was deactivated
_STREAM = QoSProfile(depth=5000)
_PUBLISHED = {
    "policy_torque": (JointState, _STREAM),
    "applied_torque": (JointState, _STREAM),
    "policy_spec": (String, LATCHED),
    "events": (String, _STREAM),
}


class PacedReplay(RemoteNode):
    """Sends states and goals without waiting for answers, as a robot does.

    The policy_node decides by its own clock: no two such replays are equal.

    Attributes:
        tally: what the replay came to so far.
        answers: of the joint states sent while the policy_node was active and had a goal.
    """

    def __init__(
        self,
        node: Node,
        namespace: str,
        write: Write,
        given_up: Callable[[], str],
        *,
        rate: float,
        clock: Publisher | None,
        stopped: threading.Event,
    ) -> None:
        """Makes publishers and subscriptions in the policy_node's namespace.

        Args:
            node: is spun in another thread than `run`.
            namespace: of the policy_node.
            write: takes everything that is sent and received, in the thread of `run`.
            given_up: as in `RemoteNode`.
            rate: 2 is twice as fast as recorded.
            clock: publishes the recording's time, that of the joint states' stamps.
            stopped: ends the replay when set.
        """
        target = f"{namespace}/policy_node"
        super().__init__(node, target, timeout=_ANSWER_S, given_up=given_up)
        self.tally, self.answers = Tally(), Answers()
        self._has_goal = False
        self._write, self._rate, self._clock, self._stopped = write, rate, clock, stopped
        self._joint_states = node.create_publisher(JointState, f"{namespace}/joint_states", 10)
        self._goals = node.create_publisher(PoseStamped, f"{namespace}/goal_pose", 10)
        self._received: queue.SimpleQueue[tuple[str, int, bytes]] = queue.SimpleQueue()
        for name, (kind, qos) in _PUBLISHED.items():
            receive = partial(self._receive, name)
            node.create_subscription(kind, f"{target}/{name}", receive, qos, raw=True)

    def run(self, events: Iterable[ReplayEvent]) -> None:
        """Replay the states and goals of all events, to the deactivation at the end.

        Raises:
            ConfigurationError: the policy_node would command a robot.
            RemoteNodeError: it does not do its part.
        """
        self._connect()
        begun: tuple[float, int] | None = None
        goal: ReplayEvent | None = None  # that stood before the first state
        for event in events:
            if event.state is None and event.goal is None:
                continue
            if begun is None:
                if event.state is None:
                    goal = event
                    continue
                self._activate_beside(event.state)
                begun = time.monotonic(), event.bag_ns
                if goal is not None:
                    self._publish(goal)
            due = begun[0] + (event.bag_ns - begun[1]) * 1e-9 / self._rate
            if self._stopped.wait(max(0.0, due - time.monotonic())):
                break
            self._write_received()
            if event.kind != "activate":
                self._publish(event)
        self._drain(self.answers.complete, _DRAIN_S)
        self.change_state("deactivate")
        self._drain(lambda: False, _QUIET_S)

    def _connect(self) -> None:
        """Have it load its policy and connect, once it is there and in shadow."""
        request = GetParameters.Request(names=["shadow"])
        self._client(ChangeState, "change_state")  # is discovered meanwhile
        (shadow,) = self.call(GetParameters, "get_parameters", request, repeat=True).values
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

    def _receive(self, name: str, cdr: bytes) -> None:
        self._received.put((name, time.time_ns(), cdr))

    def _write_received(self) -> None:
        while not self._received.empty():
            self._take(*self._received.get())

    def _drain(self, done: Callable[[], bool], quiet_s: float) -> None:
        """Write what comes until it is done, nothing comes for a while, or `_DRAIN_S` is over."""
        deadline = time.monotonic() + _DRAIN_S
        with suppress(queue.Empty):
            while not done() and time.monotonic() < deadline and not self._stopped.is_set():
                self._take(*self._received.get(timeout=quiet_s))

    def _take(self, name: str, time_ns: int, cdr: bytes) -> None:
        if name == "applied_torque":  # with every state that is accepted
            self.tally.torques += 1
            self.answers.take(stamp_of(cdr))
        self._write(f"policy_node/{name}", time_ns, cdr)

    def _activate_beside(self, state: bytes) -> None:
        """Publish the first state until the policy_node is active: it needs a robot."""
        first = (
            state[:4] + bytes(8) + state[12:]
        )  # with its stamp the state itself would repeat it
        active = threading.Event()

        def show() -> None:
            while not active.wait(_FIRST_STATES_S):
                self._joint_states.publish(first)

        thread = threading.Thread(target=show, name="first state", daemon=True)
        thread.start()
        try:
            self.change_state("activate")
        finally:
            active.set()
            thread.join()

    def _publish(self, event: ReplayEvent) -> None:
        now_ns = time.time_ns()
        if event.goal is not None:
            cdr = serialize_message(goal_message(*event.goal))
            self._goals.publish(cdr)
            self._write("goal_pose", now_ns, cdr)
            self._has_goal = True
        elif event.state is not None:
            if self._clock is not None:
                message = Clock()
                ns = stamp_of(event.state) or event.bag_ns
                message.clock.sec, message.clock.nanosec = divmod(ns, 1_000_000_000)
                self._clock.publish(message)
            self._joint_states.publish(event.state)
            self._write("joint_states", now_ns, event.state)
            self.tally.states += 1
            if self._has_goal:
                self.answers.send(stamp_of(event.state))
