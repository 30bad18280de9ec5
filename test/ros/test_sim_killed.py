# SPDX-License-Identifier: Apache-2.0
"""The shipped policy drives a sim_node that is killed in the middle of a motion."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: `make setup` brings it")

from geometry_msgs.msg import PoseStamped
from std_msgs.msg import Float64MultiArray

from sac_ros.policy.runtime import Policy
from sac_ros.utils.package_share import share_path

MODEL = share_path("models", "iiwa_reach.onnx")
SPEC = Policy.load(MODEL).spec
LIMIT = np.array(SPEC.torque_limit)
SLEW = 100.0 * LIMIT / LIMIT.max()  # N·m/s: slow, so that the ramp is longer than any jitter
WATCHDOG = 0.5  # s: a loaded machine must not trip it before the kill
JITTER = 0.05  # s, from deciding a torque to its arrival here
FAR = (0.45, -0.40, 0.60)  # m, a goal that takes a second to reach from home

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[subprocess.Popen[bytes]] = []

    def run(module: str, *parameters: str) -> subprocess.Popen[bytes]:
        arguments = [argument for each in parameters for argument in ("-p", each)]
        command = [sys.executable, "-m", module, "--ros-args", *arguments]
        started.append(subprocess.Popen(command))
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.wait()


def test_when_the_robot_dies_every_command_on_the_way_to_zero_keeps_the_limits(
    ros: Any, eventually: Callable[..., None], start: Start
) -> None:
    commands: list[tuple[float, np.ndarray]] = []
    node = ros.node()
    node.create_subscription(
        Float64MultiArray,
        "commands",
        lambda message: commands.append((time.monotonic(), np.array(message.data))),
        100,
    )
    goals = node.create_publisher(PoseStamped, "goal_pose", 1)
    robot = start("sac_ros.ros.sim_node")
    start(
        "sac_ros.ros.policy.node",
        "autostart:=true",
        f"model_path:={MODEL}",
        f"watchdog_s:={WATCHDOG}",
        f"slew_limit:={SLEW.max()}",
        "soft_start_s:=0.0",
        "state_timeout_s:=30.0",
    )
    eventually(lambda: commands, "policy_node commands", timeout=40.0)
    goal = PoseStamped()
    goal.header.frame_id = SPEC.goal.frame
    goal.pose.position.x, goal.pose.position.y, goal.pose.position.z = FAR
    goal.pose.orientation.w = 1.0

    def moving() -> bool:
        goals.publish(goal)
        return bool(np.abs(commands[-1][1]).max() > 3.0)

    eventually(moving, "the policy pushes hard")
    robot.kill()
    killed = time.monotonic()
    eventually(lambda: not commands[-1][1].any(), "the torque is zero")
    at_zero = commands[-1][0]
    count = len(commands)
    eventually(lambda: len(commands) > count + 20, "zero torque stays published")

    recorded = np.array([torque for _, torque in commands])
    times = np.array([moment for moment, _ in commands])
    assert np.isfinite(recorded).all()
    assert (np.abs(recorded) <= LIMIT).all()
    steps = np.abs(np.diff(recorded, axis=0))
    assert (steps <= SLEW * (np.diff(times)[:, None] + JITTER)).all()
    assert not recorded[count:].any()
    standing = recorded[np.searchsorted(times, killed) - 1]
    ramp = float(np.max(np.abs(standing) / SLEW))
    # The watchdog's own timer, and what a loaded machine adds.
    assert at_zero - killed < 1.2 * WATCHDOG + ramp + 0.5
