# SPDX-License-Identifier: Apache-2.0
"""Sends goals to an arm over ROS and watches how close its tip comes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from geometry_msgs.msg import PoseStamped
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger

from sac_ros.robots.arm import Arm
from sac_ros.utils.errors import SacRosError

Array = NDArray[np.float64]

CLOSE = 0.05  # m, a goal within this distance counts as reached
_HOLD = 1.0  # s that the tip must stay close before the next goal is sent
_POLL = 0.02  # s
_ANSWER = 2.0  # s to wait for a service of the policy node


class GoalNotServedError(SacRosError):
    """The nodes that should bring the arm to a goal do not answer; the sentence says which."""


@dataclass(frozen=True)
class Reach:
    """How a goal was reached.

    Attributes:
        distance: m, of the tip to the goal at the end.
        seconds: s from the goal's publication until the tip came close and stayed; None if missed.
    """

    distance: float
    seconds: float | None

    @property
    def reached(self) -> bool:
        """Whether the tip came close in time and stayed."""
        return self.seconds is not None


class ReachWatch:
    """Publishes `goal_pose`, subscribes `joint_states`. Its node spins in another thread."""

    def __init__(self, node: Node, arm: Arm, ended: Callable[[], str]) -> None:
        """Watches `arm`; `ended` gives a reason to wait no longer, or the empty text."""
        self._node = node
        self._arm = arm
        self._ended = ended
        self._latest: JointState | None = None
        self._goals = node.create_publisher(PoseStamped, "goal_pose", 1)
        self._clear_fault = node.create_client(Trigger, "policy_node/clear_fault")
        node.create_subscription(
            JointState, "joint_states", self._on_joint_states, qos_profile_sensor_data
        )

    def send(self, goal: Array, allowed: float) -> Reach:
        """Publishes `goal` [3] m in the arm's base frame, and watches for up to `allowed` s.

        Returns early once the tip has stayed within 5 cm for a second. The last second may run
        over the time allowed, if the tip was close by then.

        Raises:
            GoalNotServedError: a process has ended, or the arm is silent.
        """
        self._wait_for_subscriber(allowed)
        started = time.monotonic()
        self._publish(goal)
        close_since: float | None = None
        while True:
            time.sleep(_POLL)
            if reason := self._ended():
                raise GoalNotServedError(f"the goal was given up: {reason}")
            now = time.monotonic()
            distance = self._distance(goal)
            if distance is None:
                if now - started > allowed:
                    raise GoalNotServedError(
                        f"no joint states of {self._arm.name} on "
                        f"{self._node.resolve_topic_name('joint_states')} within {allowed:g} s"
                    )
                continue
            if distance > CLOSE:
                close_since = None
            elif close_since is None:
                close_since = now
            if close_since is None:
                if now - started > allowed:
                    return Reach(distance, None)
            elif close_since - started > allowed:
                return Reach(distance, None)
            elif now - close_since >= _HOLD:
                return Reach(distance, close_since - started)

    def clear_fault(self) -> None:
        """Lets the policy node go on after a fault that it has latched, if it has one.

        Without this a fault on the way to one goal would be held against all that follow.
        """
        answer = self._clear_fault.call_async(Trigger.Request())
        deadline = time.monotonic() + _ANSWER
        while not answer.done() and time.monotonic() < deadline:
            time.sleep(_POLL)

    def _wait_for_subscriber(self, allowed: float) -> None:
        """A goal sent before the policy node is discovered would be lost."""
        deadline = time.monotonic() + allowed
        while self._goals.get_subscription_count() == 0:
            if time.monotonic() > deadline:
                raise GoalNotServedError(
                    f"nobody subscribes to {self._goals.topic_name} within {allowed:g} s"
                )
            time.sleep(_POLL)

    def _publish(self, goal: Array) -> None:
        message = PoseStamped()
        message.header.frame_id = self._arm.base_link
        message.header.stamp = self._node.get_clock().now().to_msg()
        message.pose.position.x, message.pose.position.y, message.pose.position.z = goal.tolist()
        message.pose.orientation.w = 1.0
        self._goals.publish(message)

    def _on_joint_states(self, message: JointState) -> None:
        self._latest = message

    def _distance(self, goal: Array) -> float | None:
        """Distance [m] of the tip to `goal`, None before the arm's first joint states."""
        message = self._latest
        if message is None:
            return None
        position = dict(zip(message.name, message.position, strict=False))
        if not all(name in position for name in self._arm.joint_names):
            return None
        tip = self._arm.chain.forward([position[name] for name in self._arm.joint_names])
        return float(np.linalg.norm(tip - goal))
