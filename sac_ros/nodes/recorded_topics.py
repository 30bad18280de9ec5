# SPDX-License-Identifier: Apache-2.0
"""The topics that tell a whole deployment, so that it can be replayed from its bag alone."""

from __future__ import annotations

from typing import Any, NamedTuple

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, String


class RecordedTopic(NamedTuple):
    """One topic of a recording.

    Attributes:
        name: as the nodes use it: relative, or absolute where they do.
        message: the class of its messages.
        latched: whether its last messages are kept for who subscribes late.
    """

    name: str
    message: Any
    latched: bool = False

    @property
    def msgtype(self) -> str:
        """The type as bags name it, such as ``sensor_msgs/msg/JointState``."""
        return f"{self.message.__module__.partition('.')[0]}/msg/{self.message.__name__}"


RECORDED = (
    RecordedTopic("joint_states", JointState),
    RecordedTopic("goal_pose", PoseStamped),
    RecordedTopic("commands", Float64MultiArray),
    RecordedTopic("policy_node/policy_torque", JointState),
    RecordedTopic("policy_node/applied_torque", JointState),
    RecordedTopic("policy_node/decisions", String, latched=True),
    RecordedTopic("policy_node/policy_spec", String, latched=True),
    RecordedTopic("robot_description", String, latched=True),
    RecordedTopic("/diagnostics", DiagnosticArray),
    RecordedTopic("/clock", Clock),
)
"""States, goals, what was commanded, asked and applied, and why; the policy's and robot's own
descriptions. The decisions (see `sac_ros.nodes.decision_log`) hold the interventions."""


def absolute(name: str, namespace: str) -> str:
    """Return a topic's full name in a namespace such as ``/left``, ``left`` or an empty text."""
    if name.startswith("/"):
        return name
    parts = [part for part in (*namespace.split("/"), name) if part]
    return "/" + "/".join(parts)
