# SPDX-License-Identifier: Apache-2.0
"""policy_node, command_guard and a simulated arm in three processes, one of which dies."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: `make setup` brings it")

from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import Trigger

from sac_ros.policy.runtime import Policy
from sac_ros.policy.safety_config import JointLimits, SafetyConfig
from sac_ros.robots.arm import load_arm
from sac_ros.utils.package_share import share_path

MODEL = share_path("models", "iiwa_reach.onnx")
FRAME = Policy.load(MODEL).spec.goal.frame
ARM = load_arm("iiwa")
MODULES = {
    "sim_node": "sac_ros.ros.sim_node",
    "command_guard": "sac_ros.ros.policy.command_guard",
    "policy_node": "sac_ros.ros.policy.node",
}
GOALS = ((0.45, -0.40, 0.60), (0.45, 0.40, 0.35))


class Chain:
    """The three processes, what the robot gets, and how it moves."""

    def __init__(self, ros: Any, eventually: Callable[..., None]) -> None:
        self.node, self.eventually = ros.node(), eventually
        self.commands: list[tuple[float, np.ndarray]] = []
        self.states: list[tuple[float, np.ndarray]] = []
        self.node.create_subscription(Float64MultiArray, "commands", self._on_command, 100)
        self.node.create_subscription(
            JointState, "joint_states", self._on_state, qos_profile_sensor_data
        )
        self.goals = self.node.create_publisher(PoseStamped, "goal_pose", 1)
        self.clearing = [
            self.node.create_client(Trigger, f"{name}/clear_fault")
            for name in ("command_guard", "policy_node")
        ]
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.start("sim_node")
        self.start("command_guard", "command_timeout_s:=0.5", "watchdog_s:=0.5")
        self.start(
            "policy_node",
            *("autostart:=true", f"model_path:={MODEL}", "watchdog_s:=0.5"),
            *("soft_start_s:=0.0", "state_timeout_s:=30.0"),
            remap="commands:=policy_commands",
        )
        eventually(lambda: self.commands, "the guard forwards commands", timeout=40.0)

    def start(self, name: str, *parameters: str, remap: str = "") -> None:
        arguments = [part for each in parameters for part in ("-p", each)]
        arguments += ["-r", remap] if remap else []
        command = [sys.executable, "-m", MODULES[name], "--ros-args", *arguments]
        self.processes[name] = subprocess.Popen(command)

    def move(self, goal: tuple[float, float, float]) -> None:
        """Send a goal until the arm is on its way there.

        A busy machine may have stopped the arm before: such faults are cleared meanwhile.
        """
        message = PoseStamped()
        message.header.frame_id = FRAME
        message.pose.position.x, message.pose.position.y, message.pose.position.z = goal
        message.pose.orientation.w = 1.0

        tries = itertools.count()

        def moving() -> bool:
            if next(tries) % 200 == 0:
                for client in self.clearing:
                    client.call_async(Trigger.Request())
            self.goals.publish(message)
            return bool(self.states) and self.speed > 0.4

        self.eventually(moving, "the arm moves", timeout=40.0)

    @property
    def speed(self) -> float:
        """rad/s, of the fastest joint."""
        return float(np.abs(self.states[-1][1]).max())

    def stands(self) -> None:
        """Wait until the arm stands and gets no torque."""
        self.eventually(
            lambda: self.speed < 0.01 and not self.commands[-1][1].any(), "the arm stands"
        )

    def clear_fault(self) -> str:
        client = self.clearing[0]
        self.eventually(client.service_is_ready, "the guard's service")
        future = client.call_async(Trigger.Request())
        self.eventually(future.done, "the guard's answer")
        return str(future.result().message)

    def close(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()

    def _on_command(self, message: Float64MultiArray) -> None:
        self.commands.append((time.monotonic(), np.array(message.data)))

    def _on_state(self, message: JointState) -> None:
        self.states.append((time.monotonic(), np.array(message.velocity)))


@pytest.fixture
def chain(ros: Any, eventually: Callable[..., None]) -> Iterator[Chain]:
    chain = Chain(ros, eventually)
    yield chain
    chain.close()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_when_policy_node_dies_in_a_motion_the_guard_stops_the_arm(
    chain: Chain, how: signal.Signals
) -> None:
    chain.move(GOALS[0])
    died = time.monotonic()
    chain.processes["policy_node"].send_signal(how)
    chain.stands()
    braking = np.array([torque for at, torque in chain.commands if at > died + 0.7])
    assert np.all(np.abs(braking) <= JointLimits.of(ARM, SafetyConfig()).stop)
    assert chain.clear_fault() == ""
    count = len(chain.commands)
    if how is signal.SIGSTOP:
        chain.processes["policy_node"].send_signal(signal.SIGCONT)
        chain.eventually(lambda: len(chain.commands) > count, "commands are forwarded again")


def test_when_everything_is_interrupted_the_arm_is_braked_and_nothing_is_left_standing(
    chain: Chain,
) -> None:
    chain.move(GOALS[1])
    for name in ("policy_node", "command_guard"):  # as `ros2 launch` does
        chain.processes[name].send_signal(signal.SIGINT)
    assert chain.processes["policy_node"].wait(20.0) == 0
    assert chain.processes["command_guard"].wait(20.0) == 0
    chain.stands()


def test_who_else_commands_the_robot_past_the_guard_makes_it_stop_the_arm(chain: Chain) -> None:
    chain.move(GOALS[0])
    rival = Node("rival")  # which nobody spins
    rival.create_publisher(Float64MultiArray, "commands", 1)
    chain.stands()
    assert chain.clear_fault() == "another node commands the robot: /rival"
    rival.destroy_node()
    chain.eventually(lambda: chain.clear_fault() == "", "the fault is cleared")
    chain.move(GOALS[1])


def test_an_arm_that_is_not_the_commands_own_is_one_sentence_and_exit_code_2() -> None:
    command = [sys.executable, "-m", "sac_ros.ros.policy.command_guard", "--ros-args"]
    for parameter, sentence in (
        ("arm:=nobody", "nobody"),
        ("command_joints:=[a, b]", "parameter command_joints must hold each of the arm's joints"),
        ("command_timeout_s:=9.0", "parameter command_timeout_s must be a number above 0"),
    ):
        done = subprocess.run(
            [*command, "-p", parameter], capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 2
        assert sentence in done.stderr
        assert "Traceback" not in done.stderr
