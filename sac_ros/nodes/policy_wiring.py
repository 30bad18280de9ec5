# SPDX-License-Identifier: Apache-2.0
"""What policy_node holds between configure and cleanup: the controller and its ROS connections."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from geometry_msgs.msg import PoseStamped
from rclpy.clock import Clock
from rclpy.node import Node
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from rclpy.service import Service
from sensor_msgs.msg import JointState

from sac_ros.nodes.goal_reader import GoalReader, tf2_lookup
from sac_ros.nodes.joint_state_reader import JointStateReader
from sac_ros.nodes.policy_config import PolicyNodeConfig
from sac_ros.nodes.policy_publishers import UNNAMED, PolicyPublishers
from sac_ros.policy.controller import PolicyController
from sac_ros.policy.runtime import Policy
from sac_ros.utils.errors import ConfigurationError, JointStateError

_TICKS_PER_WATCHDOG = 5
_POLL_S = 0.0005
_QUEUE = qos_profile_sensor_data.depth
_REHEARSAL_S = 0.0009  # before a state: time for a cold run; a cache forgets in ten times that
_RAMP_PERIOD_S = 0.002
_LONGEST_RAMP_S = 3.0  # ros2 launch sends SIGKILL ten seconds after SIGINT
_ACKNOWLEDGE_S = 1.0
_OTHERS_PERIOD_S = 0.1
_NAMING_S = 2.0  # in which DDS tells the name of a node that it has found


class Callbacks(NamedTuple):
    """What the node does when a message arrives or the watchdog's timer ticks."""

    joint_state: Callable[[bytes], None]
    goal: Callable[[PoseStamped], None]
    watchdog: Callable[[], None]


class PolicyWiring:
    """A controller with its readers, publishers, subscriptions and watchdog timer.

    Attributes:
        controller: decides every torque.
        reader: reads the joint states.
        goal_reader: reads the goals.
        publishers: publish the commands.
        states: the subscription of the joint states.
        problem: why the last joint state could not be read; empty when it could.
    """

    def __init__(
        self,
        node: Node,
        controller: PolicyController,
        config: PolicyNodeConfig,
        callbacks: Callbacks,
        urgent: Service,
        steady: Clock,
        now: Callable[[], float],
    ) -> None:
        """Connects to the graph.

        Args:
            node: its owner.
            controller: decides every torque.
            config: the node's parameters.
            callbacks: see `Callbacks`.
            urgent: a service that is served even while a callback waits for something.
            steady: of the watchdog's timer.
            now: the time, s, by which states are judged and torques decided.

        Raises:
            ConfigurationError: a parameter does not fit the policy.
        """
        spec = controller.policy.spec
        self._node = node
        self._now = now
        self._reported: set[str] = set()
        self.problem = ""
        self._callbacks = callbacks
        self._urgent = urgent
        self.controller = controller
        self.reader = JointStateReader(spec.joint_names)
        order = config.command_order(spec)  # what may be refused comes before what must be undone
        self._lookup = tf2_lookup(node)
        self.goal_reader = GoalReader(spec.goal, self._lookup)
        self.publishers = PolicyPublishers(node, spec, order, config.shadow)
        self.states = node.create_subscription(
            JointState,
            "joint_states",
            callbacks.joint_state,
            qos_profile_sensor_data,
            callback_group=urgent.callback_group,
            raw=True,
        )
        self._goals = node.create_subscription(
            PoseStamped, "goal_pose", callbacks.goal, QoSProfile(depth=1)
        )
        period = config.watchdog_s / _TICKS_PER_WATCHDOG
        self._watchdog = node.create_timer(
            period, callbacks.watchdog, clock=steady, callback_group=urgent.callback_group
        )
        self._rehearsal = node.create_timer(
            1.0,
            self._rehearse,
            clock=steady,
            autostart=False,
            callback_group=urgent.callback_group,
        )
        self._look_around = node.create_timer(_OTHERS_PERIOD_S, self._note_others, clock=steady)

    def rehearse_in_time(self, arrived: float) -> None:
        """Have the policy run for nothing shortly before the next state that it answers.

        Args:
            arrived: when the last state arrived, s of time.monotonic.
        """
        if not self.controller.next_is_due:
            return
        ahead = arrived + self.controller.safety.rate.interval_s - _REHEARSAL_S - time.monotonic()
        if ahead <= 0.0:
            self.controller.rehearse()
            return
        self._rehearsal.timer_period_ns = round(ahead * 1e9)
        self._rehearsal.reset()

    def _rehearse(self) -> None:
        self._rehearsal.cancel()
        self.controller.rehearse()

    def heard(self) -> bool:
        """Tell whether a joint state has come: a fresh one, or one that cannot be used."""
        return bool(self.problem) or self.controller.safety.is_fresh(self._now())

    def answer_states_until(self, done: Callable[[], bool], timeout_s: float) -> None:
        """Keep answering joint states inside a callback that must wait for something.

        The executor runs one callback at a time, so without this a swap would leave the robot
        without commands, and deaf to an emergency stop, for as long as the file takes to load.
        """
        deadline = time.monotonic() + timeout_s
        while not done() and time.monotonic() < deadline:
            _serve(self._urgent)
            if not self._answer_one():
                self._callbacks.watchdog()
                time.sleep(_POLL_S)

    def answer_waiting_states(self) -> None:
        """Answer the joint states that have come inside a callback that has more to do."""
        for _ in range(_QUEUE):
            if not self._answer_one():
                return

    def come_to_rest(self) -> bool:
        """Ramp to the safe torque within the slew limit; True when its receipt is acknowledged.

        A slew limit that would take longer than `_LONGEST_RAMP_S` is not waited for: the rest goes
        in one step, since a torque that stands for ever is the worse end.
        """
        safety = self.controller.safety
        deadline = time.monotonic() + _LONGEST_RAMP_S
        commands = self.publishers.commands is not None  # in shadow mode nothing moves
        while commands and not safety.at_rest and time.monotonic() < deadline:
            self.publishers.publish(safety.rest(self._now()))
            time.sleep(_RAMP_PERIOD_S)
        self.publishers.publish(safety.last_word(self._now()))
        acknowledged = self.publishers.wait_until_acknowledged(_ACKNOWLEDGE_S)
        self.controller.deactivate()
        return acknowledged

    def refuse_bad_start(self, waited_s: float) -> None:
        """Raise unless the robot can be read and nobody else commands it.

        Raises:
            JointStateError: joint states cannot be used.
            ConfigurationError: there are none, or another node publishes commands.
        """
        if self.problem:
            raise JointStateError(self.problem)
        if not self.controller.safety.is_fresh(self._now()):
            raise ConfigurationError(
                f"no usable joint state arrived on {self.states.topic_name} within {waited_s:g} s"
            )
        others = self.publishers.other_publishers
        self.answer_states_until(lambda: UNNAMED not in others(), _NAMING_S)
        if others():
            raise ConfigurationError(
                f"another node publishes on {self._node.resolve_topic_name('commands')}: "
                f"{', '.join(others())}"
            )

    def swap(self, policy: Policy, spec_text: str) -> None:
        """Let another policy answer from the next state on; ``spec_text`` is its spec as JSON."""
        goal_reader = GoalReader(policy.spec.goal, self._lookup)
        self.controller.swap(policy)
        self.goal_reader = goal_reader
        self.publishers.publish_spec(spec_text)

    def new_faults(self) -> list[tuple[str, str]]:
        """Return the faults that were latched since the last call."""
        faults = self.controller.safety.faults
        if len(faults) == len(self._reported):
            return []
        new = [(k.value, s) for k, s in faults.items() if k.value not in self._reported]
        self._reported = {kind.value for kind in faults}
        return new

    def _answer_one(self) -> bool:
        """Answer the joint state that has waited longest; False when none waits."""
        with self.states.handle:
            taken = self.states.handle.take_message(self.states.msg_type, self.states.raw)
        if taken is not None:
            self._callbacks.joint_state(taken[0])
        return taken is not None

    def _note_others(self) -> None:
        """Tell the filter who else commands the robot: it may come after the activation."""
        self.controller.safety.other_publishers(self.publishers.other_publishers())

    def destroy(self) -> None:
        """Take everything off the node."""
        self._node.destroy_timer(self._watchdog)
        self._node.destroy_timer(self._rehearsal)
        self._node.destroy_timer(self._look_around)
        self._node.destroy_subscription(self.states)
        self._node.destroy_subscription(self._goals)
        self.publishers.destroy()


def _serve(service: Service) -> None:
    """Answer a call that waits for a service, if there is one."""
    with service.handle:
        request, header = service.handle.service_take_request(service.srv_type.Request)
    if header is not None:
        service.send_response(service.callback(request, service.srv_type.Response()), header)
