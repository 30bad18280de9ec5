# SPDX-License-Identifier: Apache-2.0
"""A recording through a `ControlLoop` in this process: exact, and as fast as it computes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from rclpy.serialization import serialize_message
from sensor_msgs.msg import JointState
from std_msgs.msg import String

from sac_ros.cdr import JOINT_STATE, POSE, TEXT, without_padding
from sac_ros.policy.control_loop import LIVE_PARAMETERS, ControlLoop
from sac_ros.policy.event_log import EventLog
from sac_ros.policy.runtime import Policy
from sac_ros.policy.safety_config import Array
from sac_ros.policy.safety_events import Command
from sac_ros.policy.worker import Inline
from sac_ros.ros.policy.config import PolicyNodeConfig
from sac_ros.ros.policy.diagnostics import FaultReports
from sac_ros.ros.policy.goal_reader import goal_of, refuse_other_goals, stamp_ns
from sac_ros.policy.joint_state_reader import JointStateReader
from sac_ros.ros.policy.publishers import TorqueMessage
from sac_ros.ros.replay_events import ReplayEvent, Tally, Write
from sac_ros.utils.errors import BagError, GoalError, JointStateError

_KINDS = {JointState: JOINT_STATE, PoseStamped: POSE, String: TEXT}


class _RecordedWorker(Inline):
    """Is late where the recorded one was; its time is not that of this machine."""

    def result(self, within_s: float) -> Any | None:
        return None if self.busy else super().result(within_s)


class LockStep:
    """Hands a control loop what happened to the recorded one, when that one saw it.

    Time is that of the events, and the replay's bag is timed by the bag that is replayed: two
    replays are equal.

    Attributes:
        tally: what the replay came to so far.
    """

    def __init__(self, node: Node, policy: Policy, config: PolicyNodeConfig, write: Write) -> None:
        """``write`` takes all that the loop is told and says; ``node`` logs.

        Raises:
            ConfigurationError: policy and parameters do not fit.
        """
        refuse_other_goals(policy.spec.goal)
        self._config, policy = config, config.answering(policy)
        self.tally = Tally()
        self._write, self._warn = write, node.get_logger().warning
        self._faults = FaultReports(node)
        self._reader = JointStateReader(policy.spec.joint_names)
        self._torque = TorqueMessage(policy.spec.joint_names)
        self._worker = _RecordedWorker()
        log = EventLog(lambda text: self._say("policy_node/events", String(data=text)))
        self._loop = ControlLoop(
            policy, config, publish=self._publish, log=log, worker=self._worker
        )
        self._bag_ns = 0  # of the event that is replayed now
        self._stop_began: float | None = None

    def run(self, events: Iterable[ReplayEvent]) -> None:
        """Replay all events."""
        told = False
        for event in events:
            self._bag_ns = event.bag_ns
            if not told:
                self._tell_spec()
                told = True
            self._step(event)
            self._faults.notice(self._loop.safety)

    def _tell_spec(self) -> None:
        self._say("policy_node/policy_spec", String(data=self._loop.policy.spec.to_json()))

    def _step(self, event: ReplayEvent) -> None:
        loop, kind, time = self._loop, event.kind, event.time
        self._worker.busy = event.late
        if event.state is not None and kind == "state":
            self._state(event, event.state)
        elif kind == "tick":
            if time != self._stop_began:  # the beginning of a stop is a tick by itself
                loop.tick(time)
        elif event.goal is not None:
            self._goal(time, event.goal)
        elif kind == "activate" and not loop.safety.active:
            if not loop.safety.is_fresh(time):
                self._show(event)
            loop.activate(time)
        elif kind == "deactivate":
            self._stop_began = time
            loop.begin_stop(time, at_once=bool(event.record.get("at_once")))
        elif kind == "emergency_stop":
            loop.emergency_stop(time, event.record["engaged"])
        elif event.policy is not None:
            loop.swap(time, self._config.answering(event.policy))
            self._tell_spec()
        elif kind == "set_parameter" and event.record["name"] in LIVE_PARAMETERS:
            loop.set_parameter(time, event.record["name"], event.record["value"])
        elif kind == "other_publishers":
            loop.other_publishers(time, [*map(str, event.record["names"])])
        elif kind == "clear_fault":
            loop.clear_fault(time)

    def _show(self, event: ReplayEvent) -> None:
        """Take a joint state of the time of an activation, which needs one."""
        if event.state is None:
            raise BagError("the bag has no joint state from about the time of the activation")
        safety, raw = self._loop.safety, serialize_message(event.state)
        safety.accept(event.time, *self._reader.read(raw))  # no stamp: the state itself may follow
        if safety.problem:
            raise JointStateError(safety.problem)

    def _state(self, event: ReplayEvent, state: JointState) -> None:
        raw = self._say("joint_states", state)
        try:
            position, velocity = self._reader.read(raw)
        except JointStateError as error:
            command = self._loop.refuse_state(event.time, str(error), self._reader.stamp_ns)
        else:
            command = self._loop.state(event.time, position, velocity, self._reader.stamp_ns)
        self.tally.states += 1
        self.tally.torques += command is not None
        if event.applied is not None:
            self.tally.compare(() if command is None else command.torque.tolist(), event.applied)

    def _goal(self, time: float, goal: PoseStamped) -> None:
        self._say("goal_pose", goal)
        try:
            size = len(self._loop.policy.spec.goal.fields)
            values, stamp = goal_of(goal, size), stamp_ns(goal)
            self._loop.set_goal(time, goal.header.frame_id, values, stamp)
        except GoalError as error:
            self._warn(f"goal refused: {error}")

    def _publish(self, command: Command, policy_torque: Array | None, stamp_ns: int) -> None:
        for name, torque in (("policy_torque", policy_torque), ("applied_torque", command.torque)):
            if torque is not None:
                self._say(f"policy_node/{name}", self._torque.filled(torque, stamp_ns))

    def _say(self, topic: str, message: Any) -> bytes:
        """Write a message, and return what was written."""
        cdr = without_padding(serialize_message(message), _KINDS[type(message)])
        self._write(topic, self._bag_ns, cdr)
        return cdr
