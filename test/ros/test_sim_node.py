# SPDX-License-Identifier: Apache-2.0
"""sim_node over real DDS behaves like a robot's driver."""

from __future__ import annotations

import math
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

pytest.importorskip("rclpy", reason="rclpy is not installed: `make setup` brings it")

from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, String
from std_srvs.srv import Trigger

from sac_ros.robots.arm import load_arm
from sac_ros.ros.sim_config import SimNodeConfig
from sac_ros.ros.sim_node import SimNode, main
from sac_ros.utils.package_share import share_path
from sac_ros.utils.settings import leaves

ARM = load_arm("iiwa")
Eventually = Callable[..., None]


def stamp_of(message: JointState) -> float:
    return message.header.stamp.sec + 1e-9 * message.header.stamp.nanosec


class Robot:
    """A sim_node and what a controller sees of it."""

    def __init__(self, ros: Any, eventually: Eventually, parameters: tuple[str, ...] = ()) -> None:
        self.eventually = eventually
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "sac_ros.ros.sim_node", "--ros-args"),
                *(argument for each in parameters for argument in ("-p", each)),
            ],
            stderr=subprocess.PIPE,
            text=True,
        )
        self.states: list[JointState] = []
        self.node = ros.node()
        self.node.create_subscription(
            JointState, "joint_states", self.states.append, qos_profile_sensor_data
        )
        self.commands = self.node.create_publisher(Float64MultiArray, "commands", 1)
        eventually(lambda: self.states, "the first joint states")
        eventually(self.commands.get_subscription_count, "sim_node subscribes to commands")

    def command(self, first_joint: float) -> None:
        torques = [first_joint] + [0.0] * (ARM.joints - 1)
        self.commands.publish(Float64MultiArray(data=torques))

    def command_until(
        self, first_joint: float, condition: Callable[[], object], what: str
    ) -> None:
        def attempt() -> object:
            self.command(first_joint)
            return condition()

        self.eventually(attempt, what)

    def stop(self) -> str:
        """End the node as Ctrl-C does; returns what it wrote on stderr."""
        self.process.send_signal(signal.SIGINT)
        _, log = self.process.communicate(timeout=20.0)
        return log


StartRobot = Callable[..., Robot]


@pytest.fixture
def robot(ros: Any, eventually: Eventually) -> Iterator[StartRobot]:
    started: list[Robot] = []

    def start(*parameters: str) -> Robot:
        started.append(Robot(ros, eventually, parameters))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
            each.process.communicate()


def test_joint_states_hold_every_joint_by_name_with_stamps_that_rise(robot: StartRobot) -> None:
    sim = robot()
    sim.eventually(lambda: len(sim.states) > 200, "200 joint states")
    message = sim.states[-1]
    assert tuple(message.name) == ARM.joint_names
    assert len(message.position) == len(message.velocity) == len(message.effort) == ARM.joints
    stamps = [stamp_of(message) for message in sim.states]
    assert all(np.diff(stamps) > 0.0)
    np.testing.assert_allclose(message.position, ARM.home, atol=1e-6)


def test_joint_states_come_at_the_rate_asked_for_and_do_not_drift(robot: StartRobot) -> None:
    sim = robot("rate:=100.0")
    sim.eventually(lambda: len(sim.states) > 300, "300 joint states")
    stamps = [stamp_of(message) for message in sim.states]
    # The median bears a busy machine, which a mean or a maximum would not.
    assert np.median(np.diff(stamps)) == pytest.approx(0.01, rel=0.25)


def test_the_description_is_there_for_who_comes_late_and_needs_no_file_beside_it(
    ros: Any, robot: StartRobot, eventually: Eventually
) -> None:
    robot()
    received: list[String] = []
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    ros.node("late").create_subscription(String, "robot_description", received.append, latched)
    eventually(lambda: received, "the latched robot_description")
    text = received[0].data
    assert all(name in text for name in ARM.joint_names)
    assert "<mesh" not in text


def test_a_torque_moves_its_joint_and_silence_ends_it(robot: StartRobot) -> None:
    sim = robot("command_timeout:=0.2")
    sim.command_until(5.0, lambda: sim.states[-1].effort[0] == 5.0, "torque in force")
    sim.eventually(lambda: sim.states[-1].effort[0] == 0.0, "the command timeout")
    assert sim.states[-1].position[0] > ARM.home[0]


def test_shuffled_joint_states_keep_each_position_beside_its_joint(robot: StartRobot) -> None:
    sim = robot("shuffle_joints:=true")
    sim.eventually(lambda: len(sim.states) > 50, "50 joint states")
    home = dict(zip(ARM.joint_names, ARM.home, strict=True))
    for message in sim.states:
        expected = [home[name] for name in message.name]
        np.testing.assert_allclose(message.position, expected, atol=1e-6)
    assert len({tuple(message.name) for message in sim.states}) > 10


def test_a_lost_joint_state_is_missing_from_the_stamps_and_the_others_keep_theirs(
    robot: StartRobot,
) -> None:
    sim = robot("state_loss:=0.5", "rate:=100.0", "publish_clock:=true")
    sim.eventually(lambda: len(sim.states) > 200, "200 joint states")
    gaps = np.diff([stamp_of(message) for message in sim.states])
    # In simulated time, so that a busy machine makes no gap of its own but by catching up.
    assert np.mean(gaps > 0.015) > 0.3
    assert np.median(gaps) <= 0.02 + 1e-6


def test_a_delayed_joint_state_has_the_stamp_of_its_measurement(robot: StartRobot) -> None:
    sim = robot("state_latency:=0.5")
    late: list[float] = []

    def receive(message: JointState) -> None:
        late.append(sim.node.get_clock().now().nanoseconds * 1e-9 - stamp_of(message))

    sim.node.create_subscription(JointState, "joint_states", receive, qos_profile_sensor_data)
    sim.eventually(lambda: len(late) > 100, "100 joint states")
    # Two clocks: one is slewed or set, the other not, so the least may be too small for once.
    assert np.median(late) >= 0.5 - 1e-3


def test_a_torque_beyond_the_limit_is_clipped(robot: StartRobot) -> None:
    sim = robot()
    limit = ARM.torque_limit[0]
    sim.command_until(1e6, lambda: sim.states[-1].effort[0] == limit, "clipped")
    assert max(abs(message.effort[0]) for message in sim.states) <= limit


@pytest.mark.parametrize(
    ("data", "words"),
    [([1.0, 2.0], "must hold 7 torques"), ([math.nan] * 7, "finite torques")],
    ids=["wrong length", "not finite"],
)
def test_a_command_that_cannot_be_applied_is_refused_with_a_warning(
    robot: StartRobot, data: list[float], words: str
) -> None:
    sim = robot()
    seen = len(sim.states)
    for _ in range(20):
        sim.commands.publish(Float64MultiArray(data=data))
    sim.eventually(lambda: len(sim.states) > seen + 100, "it goes on")
    assert all(message.effort[0] == 0.0 for message in sim.states)
    assert all(np.isfinite(message.position).all() for message in sim.states)
    assert words in sim.stop()


def test_reset_brings_the_arm_home_and_never_turns_the_clock_back(
    ros: Any, robot: StartRobot, eventually: Eventually
) -> None:
    sim = robot("publish_clock:=true")
    clock: list[Clock] = []
    sim.node.create_subscription(Clock, "/clock", clock.append, qos_profile_sensor_data)
    client = sim.node.create_client(Trigger, "/sim_node/reset")
    eventually(client.service_is_ready, "the reset service")
    sim.command_until(20.0, lambda: abs(sim.states[-1].position[0]) > 0.05, "the arm moved")
    answer = client.call_async(Trigger.Request())
    eventually(answer.done, "the answer to reset")
    assert answer.result().success
    eventually(lambda: abs(sim.states[-1].position[0]) < 1e-6, "the arm is home and stands still")
    eventually(lambda: len(clock) > 10, "/clock")
    times = [message.clock.sec + 1e-9 * message.clock.nanosec for message in clock]
    assert all(np.diff(times) > 0.0)
    assert all(np.diff([stamp_of(message) for message in sim.states]) > 0.0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_exit_code_0(robot: StartRobot, number: signal.Signals) -> None:
    sim = robot()
    sim.process.send_signal(number)
    _, log = sim.process.communicate(timeout=20.0)
    assert sim.process.returncode == 0, log
    assert "Traceback" not in log


@pytest.mark.parametrize(
    ("parameter", "words"),
    [
        ("arm:=nonesuch", "arm must be one of .*iiwa.*nonesuch"),
        ("rate:=-1.0", "rate must be .*at least 1.*-1.0"),
        (
            "gravity_compensation:=moon",
            "gravity_compensation must be one of robot, policy.*moon",
        ),
        ("comand_timeout:=0.2", "comand_timeout is unknown.*command_timeout"),
        ("latency:=quick", "latency must be a number.*quick"),
        ("state_loss:=1.5", "state_loss must be .*at most 1.*1.5"),
    ],
)
def test_a_wrong_parameter_is_one_sentence_and_exit_code_2(
    capfd: pytest.CaptureFixture[str], parameter: str, words: str
) -> None:
    # In this process, but not in its main thread, whose signals run_node would take.
    with ThreadPoolExecutor(1) as thread:
        code = thread.submit(main, ["--ros-args", "-p", parameter]).result()
    assert_refused(code, capfd.readouterr().err, words)


def test_a_wrong_parameter_is_the_exit_code_of_the_process() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "sac_ros.ros.sim_node", "--ros-args", "-p", "arm:=nonesuch"],
        capture_output=True,
        text=True,
        timeout=60.0,
    )
    assert_refused(ended.returncode, ended.stderr, "arm must be one of .*iiwa.*nonesuch")


def assert_refused(code: int, log: str, words: str) -> None:
    sentences = [line for line in log.splitlines() if "error: " in line]
    assert code == 2, log
    assert "Traceback" not in log
    assert len(sentences) == 1
    assert re.search(words, sentences[0]), sentences[0]


def test_the_shipped_parameter_file_sets_every_parameter_to_its_default() -> None:
    (section,) = yaml.safe_load(share_path("config", "sim.yaml").read_text()).values()
    defaults = {leaf.name: leaf.default for leaf in leaves(SimNodeConfig)}
    plain = {k: v for k, v in defaults.items() if not k.startswith("randomization.")}
    assert section["ros__parameters"] == plain


def test_the_shipped_parameter_file_reaches_a_node_in_a_namespace(
    ros_with: Callable[..., Any], tmp_path: Path
) -> None:
    text = share_path("config", "sim.yaml").read_text()
    file = tmp_path / "sim.yaml"
    file.write_text(text.replace("rate: 500.0", "rate: 250.0"))
    ros = ros_with("--params-file", str(file), "-r", "__ns:=/left")
    node = ros.add(SimNode())
    assert node.get_parameter("rate").value == 250.0
