# SPDX-License-Identifier: Apache-2.0
"""An arm from the robot's own description, as robot_state_publisher has it."""

from __future__ import annotations

import re
import time
from pathlib import Path

from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import String

from sac_ros.robots.urdf import Urdf
from sac_ros.utils.atomic_write import atomic_write
from sac_ros.utils.errors import ConfigurationError

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
FROM_DESCRIPTION = "robot_description"
"""The value of the parameter `arm` that stands for the robot's own description."""

_TIMEOUT = 10.0  # s


def arm_reference(node: Node, arm: str, description: str) -> str:
    """What `load_arm` is asked for: `arm`, or a URDF's text where that is `robot_description`.

    Args:
        node: it subscribes the topic where the parameter is empty; it must not be spun yet.
        arm: the parameter `arm`.
        description: the parameter `robot_description`.

    Raises:
        ConfigurationError: nobody publishes a description within 10 s.
    """
    if arm != FROM_DESCRIPTION:
        return arm
    if description:
        return description
    received: list[str] = []
    subscription = node.create_subscription(
        String, FROM_DESCRIPTION, lambda message: received.append(message.data), LATCHED
    )
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(node)
    deadline = time.monotonic() + _TIMEOUT
    while not received and time.monotonic() < deadline:
        executor.spin_once(timeout_sec=0.1)
    executor.remove_node(node)
    node.destroy_subscription(subscription)
    if not received:
        raise ConfigurationError(
            f"arm:={FROM_DESCRIPTION} needs a URDF on the topic {subscription.topic_name} or in "
            f"the parameter {FROM_DESCRIPTION}; none came within {_TIMEOUT:g} s"
        )
    return received[0]


def keep_description(text: str, directory: str) -> Path:
    """Writes a URDF's text to DIRECTORY/ROBOT.urdf; returns where.

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
