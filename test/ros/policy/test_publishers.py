# SPDX-License-Identifier: Apache-2.0
"""What is published of a torque."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: `make setup` brings it")

from std_msgs.msg import Float64MultiArray

from sac_ros.policy.safety_events import Command, Mode
from sac_ros.ros.policy.publishers import CommandPublisher, TorqueMessage

Eventually = Callable[..., None]


def test_a_torque_of_nothing_is_0_and_not_minus_0(ros: Any, eventually: Eventually) -> None:
    torque = np.array([-0.0, 2.0])
    assert not np.signbit(TorqueMessage(("a", "b")).filled(torque, 0).effort).any()

    seen: list[Float64MultiArray] = []
    node = ros.node()
    node.create_subscription(Float64MultiArray, "commands", seen.append, 1)
    commands = CommandPublisher(node, [1, 0])
    eventually(lambda: commands.publisher.get_subscription_count() == 1)
    commands.publish(Command(torque, Mode.TRACKING, {}))
    eventually(lambda: seen, "the command")
    assert list(seen[0].data) == [2.0, 0.0]
    assert not np.signbit(seen[0].data).any()
