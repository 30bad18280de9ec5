# SPDX-License-Identifier: Apache-2.0
"""A recording through a `ControlLoop` in this process: exact, and as fast as it computes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from rclpy.serialization import serialize_message
from sensor_msgs.msg import JointState
from std_msgs.msg import String

from sac_ros.bags.events import ReplayEvent
from sac_ros.bags.lock_step import LockStep
from sac_ros.cdr import JOINT_STATE, POSE, TEXT, without_padding
from sac_ros.policy.event_log import EventLog
from sac_ros.policy.runtime import Policy
from sac_ros.policy.safety_config import Array
from sac_ros.policy.safety_events import Command
from sac_ros.ros.policy.config import PolicyNodeConfig
from sac_ros.ros.policy.diagnostics import FaultReports
from sac_ros.ros.policy.goal_reader import goal_message, refuse_other_goals
from sac_ros.ros.policy.publishers import TorqueMessage

_KINDS = {JointState: JOINT_STATE, PoseStamped: POSE, String: TEXT}

Write = Callable[[str, int, bytes], None]
"""(topic as in `RECORDED`, ns of receipt, CDR) → it is in the replay's own bag."""


@dataclass
class Tally:
    """What a replay came to."""

    states: int = 0  # joint states that were replayed
    torques: int = 0  # torques that answer them
    compared: int = 0  # states whose recorded torque is known
    equal: int = 0  # how many of them got one that is equal to the last bit
    worst: float = 0.0  # N·m, the largest difference of the others

    def compare(self, torque: Sequence[float], recorded: Sequence[float]) -> None:
        """Note a torque [n], N·m, empty where there is none, and the one that was recorded."""
        self.compared += 1
        if tuple(torque) == tuple(recorded):
            self.equal += 1
        elif len(torque) == len(recorded):
            pairs = zip(torque, recorded, strict=True)
            self.worst = max(self.worst, *(abs(a - b) for a, b in pairs))


class WrittenLockStep(LockStep):
    """A `LockStep` that writes all that the loop takes and returns.

    The replay's bag is timed by the bag that is replayed: two replays are equal.

    Attributes:
        tally: what the replay came to so far.
    """

    def __init__(
        self,
        node: Node,
        policy: Policy,
        config: PolicyNodeConfig,
        write: Write,
        *,
        clear: bool = False,
    ) -> None:
        """``write`` takes the messages; ``node`` logs; ``clear``: see `LockStep`.

        Raises:
            ConfigurationError: policy and parameters do not fit.
        """
        refuse_other_goals(policy.spec.goal)
        self._write, self._warn = write, node.get_logger().warning
        self._reports = FaultReports(node)
        self._torque = TorqueMessage(policy.spec.joint_names)
        super().__init__(
            policy,
            config,
            publish=self._publish,
            log=EventLog(lambda text: self._say("policy_node/events", String(data=text))),
            answering=config.answering,
            clear=clear,
        )
        self.tally = Tally()
        self._bag_ns = 0  # of the event that is replayed now
        self._told: Policy | None = None

    def step(self, event: ReplayEvent) -> Command | None:
        """Take one event, and write it and what comes of it."""
        self._bag_ns = event.bag_ns
        self._tell_spec()
        if event.state is not None and event.kind == "state":
            self._write("joint_states", event.bag_ns, event.state)
        elif event.goal is not None:
            goal = goal_message(event.goal.values, event.goal.frame, event.goal.stamp_ns)
            self._say("goal_pose", goal)
        refused = self.refused_goals.total()
        command = super().step(event)
        self._tell_spec()
        if self.refused_goals.total() > refused:
            self._warn(f"goal refused: {self.last_refused_goal}")
        self._reports.notice(self.loop.safety)
        if event.kind == "state":
            self.tally.states += 1
            self.tally.torques += command is not None
            if event.applied is not None:
                asked = () if command is None else command.torque.tolist()
                self.tally.compare(asked, event.applied)
        return command

    def run(self, events: Iterable[ReplayEvent]) -> None:
        """Replay all events."""
        for event in events:
            self.step(event)

    def _tell_spec(self) -> None:
        if self._told is not self.loop.policy:
            self._told = self.loop.policy
            self._say("policy_node/policy_spec", String(data=self._told.spec.to_json()))

    def _publish(self, command: Command, policy_torque: Array | None, stamp_ns: int) -> None:
        for name, torque in (("policy_torque", policy_torque), ("applied_torque", command.torque)):
            if torque is not None:
                self._say(f"policy_node/{name}", self._torque.filled(torque, stamp_ns))

    def _say(self, topic: str, message: Any) -> None:
        cdr = without_padding(serialize_message(message), _KINDS[type(message)])
        self._write(topic, self._bag_ns, cdr)
