# SPDX-License-Identifier: Apache-2.0
"""An arm from the robot's own description, as robot_state_publisher has it."""

from __future__ import annotations

import re
from pathlib import Path

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.wait_for_message import wait_for_message
from std_msgs.msg import String

from sac_ros.robots.urdf import Urdf
from sac_ros.utils.atomic_write import atomic_write
from sac_ros.utils.errors import ConfigurationError

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
FROM_DESCRIPTION = "robot_description"
"""The value of the parameter `arm` that stands for the robot's own description."""

_TIMEOUT = 10.0  # s


def arm_reference(node: Node, arm: str, description: str) -> str:
    """Returns the parameter `arm`, or a URDF's text where that is `robot_description`.

    The text is the parameter `robot_description`, or else what is published on that topic. The
    node must not be spun yet.

    Raises:
        ConfigurationError: nobody publishes a description within 10 s.
    """
    if arm != FROM_DESCRIPTION:
        return arm
    if description:
        return description
    _, message = wait_for_message(
        String, node, FROM_DESCRIPTION, qos_profile=LATCHED, time_to_wait=_TIMEOUT
    )
    if message is None:
        topic = node.resolve_topic_name(FROM_DESCRIPTION)
        raise ConfigurationError(
            f"arm:={FROM_DESCRIPTION} needs a URDF on the topic {topic} or in the parameter "
            f"{FROM_DESCRIPTION}; none came within {_TIMEOUT:g} s"
        )
    return str(message.data)


def keep_description(text: str, directory: str) -> Path:
    """Writes a URDF's text to DIRECTORY/ROBOT.urdf and returns that path.

    Raises:
        ConfigurationError: it is no URDF, or the file cannot be written.
    """
    name = Urdf.from_text(text, FROM_DESCRIPTION).root.get("name") or "robot"
    path = Path(directory, re.sub(r"[^\w.-]+", "_", name) + ".urdf")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from error
    return path
