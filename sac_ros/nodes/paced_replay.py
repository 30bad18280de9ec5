# SPDX-License-Identifier: Apache-2.0
"""Replays joint states and goals at the pace at which they were recorded, or a multiple of it."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Iterable

from builtin_interfaces.msg import Time as TimeMessage
from geometry_msgs.msg import PoseStamped
from rclpy.publisher import Publisher
from rclpy.serialization import serialize_message
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState

from sac_ros.nodes.lock_step import Tally, Write
from sac_ros.nodes.replay_events import ReplayEvent, stamp_ns
from sac_ros.nodes.shadow_policy import ShadowPolicy

_FIRST_STATES_S = 0.02  # from one to the next, until the policy_node is active


class PacedReplay:
    """Drives a `ShadowPolicy` without waiting for its answers, as a robot does.

    The policy_node decides by its own clock: no two such replays are equal.
    """

    def __init__(
        self, write: Write, rate: float, clock: Publisher | None, stopped: threading.Event
    ) -> None:
        """Prepares.

        Args:
            write: takes everything that is told and said.
            rate: 2 is twice as fast as recorded.
            clock: publishes the recording's time, that of the joint states' stamps.
            stopped: ends the replay when set.
        """
        self.tally = Tally()
        self._write = write
        self._rate = rate
        self._clock = clock
        self._stopped = stopped

    def hear(self, name: str, message: bytes) -> None:
        """Write what the policy_node says, with the time at which it was heard."""
        self.tally.torques += name == "applied_torque"
        self._write(f"policy_node/{name}", time.time_ns(), message)

    def run(self, policy: ShadowPolicy, events: Iterable[ReplayEvent]) -> None:
        """Replay the states and goals of all events.

        Raises:
            ReplayError: the policy_node refuses to be activated.
        """
        begun: tuple[float, int] | None = None
        for event in events:
            if event.state is None and event.goal is None:
                continue
            if begun is None:
                if event.state is None:
                    continue  # no robot yet: a goal is taken once there is one
                self._activate(policy, event.state)
                begun = time.monotonic(), event.bag_ns
            due = begun[0] + (event.bag_ns - begun[1]) * 1e-9 / self._rate
            if self._stopped.wait(max(0.0, due - time.monotonic())):
                break
            if event.kind != "activate":
                self._publish(policy, event)
        policy.deactivate()

    def _activate(self, policy: ShadowPolicy, posture: JointState) -> None:
        """Show the first posture until the policy_node is active, which wants to hear a robot."""
        active = threading.Event()

        def show() -> None:
            first = copy.deepcopy(posture)
            first.header.stamp = TimeMessage()  # it must not make the next one look repeated
            while not active.wait(_FIRST_STATES_S):
                policy.joint_states.publish(first)

        thread = threading.Thread(target=show, name="first posture", daemon=True)
        thread.start()
        try:
            policy.activate()
        finally:
            active.set()
            thread.join()

    def _publish(self, policy: ShadowPolicy, event: ReplayEvent) -> None:
        now_ns = time.time_ns()
        if event.goal is not None:
            goal: PoseStamped = event.goal
            policy.goals.publish(goal)
            self._write("goal_pose", now_ns, serialize_message(goal))
        elif event.state is not None:
            if self._clock is not None:
                message = Clock()
                ns = stamp_ns(event.state) or event.bag_ns
                message.clock.sec, message.clock.nanosec = divmod(ns, 1_000_000_000)
                self._clock.publish(message)
            policy.joint_states.publish(event.state)
            self._write("joint_states", now_ns, serialize_message(event.state))
            self.tally.states += 1
