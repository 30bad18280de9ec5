# SPDX-License-Identifier: Apache-2.0
"""policy_node with a robot that adds no g(q): what it publishes holds the arm up."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: `make setup` brings it")

from export_call import export_call
from faulty_robot.policy_process import PolicyProcess
from policy_harness import Robot
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import JointState
from tiny_policy import tiny_gravity, write_tiny_policy

from sac_ros.robots.arm import load_arm

ARM = load_arm("iiwa")


@pytest.fixture
def robot(ros: Any, eventually: Callable[..., None]) -> Iterator[Robot]:
    robot = Robot(ros, eventually)
    yield robot
    robot.close()


def test_before_a_goal_and_in_a_stop_the_arm_is_held_and_without_states_it_is_not(
    robot: Robot, tmp_path: Path
) -> None:
    model = write_tiny_policy(tmp_path / "policy.onnx", gravity_compensation="policy")
    robot.start_active(model, "gravity_compensation:=policy", "torque_scale:=0.1")
    gravity = tiny_gravity(robot.position)
    assert np.abs(gravity).min() > 0.5
    robot.commands_become(gravity + robot.damping_torque())
    robot.set_goal(0.9)
    robot.commands_become(gravity + 0.1 * robot.policy_torque(0.9))
    robot.driver.begin("no velocity")
    robot.eventually(lambda: "damping: " in robot.log, "a fault")
    robot.driver.end("no velocity")
    robot.commands_become(gravity + robot.damping_torque())
    robot.emergency_stop(True)
    robot.commands_become(gravity + robot.damping_torque())
    robot.driver.begin("silence")
    robot.commands_become(np.zeros(3))
    robot.driver.end("silence")
    robot.emergency_stop(False)
    robot.eventually(lambda: robot.clear_fault() == "", "the faults are cleared")
    robot.commands_become(gravity + 0.1 * robot.policy_torque(0.9))
    robot.assert_always_true()


def test_a_policy_for_a_robot_that_carries_itself_is_not_swapped_in(
    robot: Robot, tmp_path: Path
) -> None:
    robot.start_active(
        write_tiny_policy(tmp_path / "policy.onnx", gravity_compensation="policy"),
        "gravity_compensation:=policy",
    )
    successful, why = robot.set_model(write_tiny_policy(tmp_path / "other.onnx"))
    assert not successful
    assert "gravity_compensation is policy, so the policy's must be too; " in why
    robot.commands_become(tiny_gravity(robot.position) + robot.damping_torque())


@pytest.fixture
def sim_node() -> Iterator[None]:
    """An iiwa that adds nothing to a command; a slow machine shall not make it let go."""
    command = [sys.executable, "-m", "sac_ros.ros.sim_node", "--ros-args"]
    parameters = ["-p", "gravity_compensation:=policy", "-p", "command_timeout:=5.0"]
    process = subprocess.Popen([*command, *parameters])
    yield
    process.kill()
    process.wait()


@pytest.mark.usefixtures("sim_node")
def test_a_simulated_iiwa_stays_where_it_is_before_a_goal_and_in_damping(
    ros: Any, eventually: Callable[..., None], tmp_path: Path
) -> None:
    call = export_call("policy")
    model = call.to(tmp_path / "policy.onnx").path
    call.env.close()
    node, states = ros.node(), []
    node.create_subscription(JointState, "joint_states", states.append, qos_profile_sensor_data)
    policy = PolicyProcess(node, eventually)
    try:
        policy.start(
            model,
            [
                "autostart:=true",
                "gravity_compensation:=policy",
                "watchdog_s:=0.5",
                "state_timeout_s:=30.0",
            ],
        )
        eventually(lambda: node.count_publishers("commands"), "policy_node is there")
        eventually(lambda: policy.state() == "active", "policy_node is active")

        def pass_states(count: int) -> tuple[JointState, JointState]:
            first = len(states)
            eventually(lambda: len(states) > first + count, "time passes", timeout=60.0)
            return states[first], states[-1]

        def drift() -> float:
            first, last = pass_states(500)
            return float(np.abs(np.subtract(first.position, last.position)).max())

        assert drift() < 0.05

        def damped() -> bool:
            policy.send_goal(math.nan, frame=ARM.base_link)
            return "damping: goal must be finite" in policy.log

        eventually(damped, "damping")
        assert drift() < 0.05
    finally:
        policy.kill()
