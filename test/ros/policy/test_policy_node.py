# SPDX-License-Identifier: Apache-2.0
"""policy_node over real DDS: what it publishes, whatever happens, is what a robot may execute."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import math
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: `make setup` brings it")

from command_audit import Rule
from diagnostic_msgs.msg import DiagnosticArray
from faulty_robot.policy_process import ACTIVATE, CONFIGURE, DEACTIVATE, SHUTDOWN
from policy_harness import AUDIT, JITTER, SLEW, SPEC, WATCHDOG, Robot
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, String
from tiny_policy import write_tiny_policy

from sac_ros.policy.spec import PolicySpec

GOAL = 0.9


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_tiny_policy(tmp_path / "policy.onnx")


@pytest.fixture
def robot(ros: Any, eventually: Callable[..., None]) -> Iterator[Robot]:
    robot = Robot(ros, eventually)
    yield robot
    robot.close()


@pytest.fixture
def tracking(robot: Robot, model: Path) -> Robot:
    """A robot whose policy_node is active and follows a goal."""
    robot.start_active(model)
    robot.begin_tracking(GOAL)
    return robot


# ---- tracking ------------------------------------------------------------------------------


def test_without_a_goal_there_is_damping_and_with_one_the_policys_torque(
    robot: Robot, model: Path
) -> None:
    robot.start_active(model)
    robot.commands_become(robot.damping_torque())
    robot.set_goal(GOAL)
    robot.commands_become(robot.policy_torque(GOAL))
    robot.eventually(lambda: f"goal accepted: [{GOAL}, " in robot.log, "the log of the goal")
    robot.assert_always_true()


def test_after_the_first_goal_the_torque_leaves_damping_no_faster_than_the_soft_start(
    robot: Robot, model: Path
) -> None:
    soft_start_s = 1.0
    robot.start_active(model, f"soft_start_s:={soft_start_s}")
    damping, policy = robot.damping_torque(), robot.policy_torque(GOAL)
    robot.commands_become(damping)
    before = len(robot.commands)
    robot.set_goal(GOAL)
    robot.commands_become(policy)
    way = policy - damping
    shares = [
        (command.time, float((command.torque - damping) @ way / (way @ way)))
        for command in robot.commands[before - 1 :]
    ]
    begun = max(time for time, share in shares if share < 1e-6)
    allowed = [(time - begun + JITTER) / soft_start_s for time, _ in shares]
    assert max(share - most for (_, share), most in zip(shares, allowed, strict=True)) <= 0.0
    assert any(0.2 < share < 0.8 for _, share in shares)
    robot.assert_always_true()


def test_joints_are_matched_by_name_and_others_ignored(tracking: Robot) -> None:
    before = tracking.policy_torque(GOAL)
    tracking.driver.begin("other order, more joints")
    tracking.commands_become(before)
    tracking.assert_always_true()


def test_commands_have_the_order_of_command_joints(robot: Robot, model: Path) -> None:
    robot.start_active(model, "command_joints:=[wrist, shoulder, elbow]")
    robot.set_goal(GOAL)
    robot.commands_become(robot.policy_torque(GOAL)[[2, 0, 1]])


def test_a_refused_goal_leaves_the_old_one(tracking: Robot) -> None:
    for goal, sentence in (
        ({"x": -0.5, "frame": "camera"}, "goal must be in frame 'base'"),
        ({"x": 1.5}, "goal x must be within -1 to 1 m, the range of the policy's training"),
        ({"x": -0.5, "y": math.nan}, "goal must be finite"),
    ):
        tracking.set_goal(**goal)
        tracking.eventually(lambda: sentence in tracking.log, sentence)  # noqa: B023
        tracking.commands_become(tracking.policy_torque(GOAL))
    tracking.set_goal(0.5)
    tracking.commands_become(tracking.policy_torque(0.5))


# ---- coming to rest ------------------------------------------------------------------------


def test_when_the_states_stop_the_torque_ramps_to_zero_and_stays_published(
    tracking: Robot, eventually: Callable[..., None]
) -> None:
    tracking.driver.begin("silence")
    last_tracking = tracking.commands[-1].time
    tracking.commands_become(np.zeros(3))
    first_zero = next(c.time for c in tracking.commands if not c.torque.any())
    # The watchdog, one period of its timer, the ramp, and what a loaded machine adds.
    ramp = np.abs(tracking.policy_torque(GOAL)).max() / SLEW
    assert first_zero - last_tracking < WATCHDOG * 1.2 + ramp + 0.5
    count = len(tracking.commands)
    eventually(lambda: len(tracking.commands) > count + 20, "zero torque goes on")
    assert not any(command.torque.any() for command in tracking.commands[count:])
    tracking.assert_always_true()


def test_after_silence_nothing_moves_until_the_fault_is_cleared(tracking: Robot) -> None:
    tracking.driver.begin("silence")
    tracking.commands_become(np.zeros(3))
    assert "no joint state" in tracking.clear_fault()
    tracking.driver.end("silence")
    tracking.eventually(lambda: tracking.clear_fault() == "", "the fault is cleared")
    tracking.eventually(lambda: "faults cleared" in tracking.log, "the log of it")
    tracking.commands_become(tracking.policy_torque(GOAL))
    tracking.assert_always_true()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_ends_with_zero_torque_and_exit_code_0(
    tracking: Robot, how: signal.Signals
) -> None:
    assert tracking.end(how) == 0
    np.testing.assert_array_equal(tracking.commands[-1].torque, 0.0)
    tracking.assert_always_true()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGHUP])
def test_a_moving_arm_is_braked_before_the_node_ends(tracking: Robot, how: signal.Signals) -> None:
    tracking.signal(how)
    tracking.commands_become(tracking.damping_torque())
    tracking.stand()
    assert tracking.wait() == 0
    tracking.eventually(lambda: not tracking.commands[-1].torque.any(), "zero torque")
    tracking.assert_always_true(ended=True)


def test_a_signal_ends_with_zero_torque_even_without_states(tracking: Robot) -> None:
    tracking.driver.begin("silence")
    assert tracking.end(signal.SIGTERM) == 0
    np.testing.assert_array_equal(tracking.commands[-1].torque, 0.0)


def test_deactivation_ends_with_zero_torque_and_then_silence(tracking: Robot) -> None:
    assert tracking.change_state(DEACTIVATE)
    assert tracking.state() == "inactive"
    tracking.eventually(lambda: not tracking.commands[-1].torque.any(), "zero torque")
    count = len(tracking.commands)
    assert tracking.state() == "inactive"  # some more round trips through the executor
    assert tracking.change_state(ACTIVATE)
    tracking.eventually(lambda: len(tracking.commands) > count, "commands again")
    gap = tracking.commands[count].time - tracking.commands[count - 1].time
    assert gap > 0.0
    tracking.commands_become(tracking.damping_torque())  # the goal is forgotten
    tracking.assert_always_true()


def test_a_lifecycle_shutdown_ends_with_zero_torque(tracking: Robot) -> None:
    assert tracking.change_state(SHUTDOWN)
    tracking.eventually(lambda: not tracking.commands[-1].torque.any(), "zero torque")
    assert tracking.state() == "finalized"
    assert tracking.end() == 0
    tracking.assert_always_true()


def test_an_exception_in_a_callback_ends_with_zero_torque(robot: Robot, model: Path) -> None:
    program = (
        "import sys\n"
        "from sac_ros.ros.policy import node as policy_node\n"
        "from sac_ros.policy.control_loop import ControlLoop\n"
        "answer = ControlLoop.state\n"
        "def fail(self, *state):\n"
        "    if self.inference.count > 50:\n"
        "        raise RuntimeError('a bug')\n"
        "    return answer(self, *state)\n"
        "ControlLoop.state = fail\n"
        "sys.exit(policy_node.main())\n"
    )
    robot.start_active(model, program=program)
    robot.set_goal(GOAL)
    robot.commands_become(np.zeros(3))
    assert robot.wait() == 1
    assert "RuntimeError: a bug" in robot.log
    np.testing.assert_array_equal(robot.commands[-1].torque, 0.0)
    robot.assert_always_true()


def test_an_inference_that_never_ends_leaves_no_torque_standing_and_every_stop_alive(
    robot: Robot, model: Path
) -> None:
    program = (
        "import sys, threading, time\n"
        "from sac_ros.ros.policy import node as policy_node\n"
        "from sac_ros.policy.runtime import Policy\n"
        "answer = Policy.answer\n"
        "def hang(self, *given, **state):\n"
        "    if threading.current_thread().name == 'inference' and given[2][0] < 0.0:\n"
        "        time.sleep(3600)\n"
        "    return answer(self, *given, **state)\n"
        "Policy.answer = hang\n"
        "sys.exit(policy_node.main())\n"
    )
    robot.start_active(model, program=program)
    robot.set_goal(GOAL)
    robot.commands_become(robot.policy_torque(GOAL))
    robot.set_goal(-GOAL)
    robot.commands_become(robot.damping_torque())
    robot.eventually(lambda: "the policy has not answered" in robot.log, "the fault")
    assert robot.clear_fault() == "the policy has not answered yet"
    robot.stand()
    robot.commands_become(np.zeros(3))
    robot.emergency_stop(True)
    assert robot.end() == 0
    robot.assert_always_true(ended=True)


def test_an_emergency_stop_brakes_to_rest_and_latches(tracking: Robot) -> None:
    tracking.emergency_stop(True)
    tracking.commands_become(tracking.damping_torque())
    tracking.stand()
    tracking.commands_become(np.zeros(3))
    assert tracking.clear_fault() == "the emergency stop is engaged"
    tracking.emergency_stop(False)
    tracking.commands_become(np.zeros(3))
    assert tracking.clear_fault() == ""
    tracking.commands_become(tracking.policy_torque(GOAL))
    tracking.assert_always_true()


# ---- faulty states -------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["nan position", "infinite velocity"])
def test_states_that_are_not_finite_lead_to_damping_and_never_into_a_command(
    tracking: Robot, fault: str
) -> None:
    tracking.driver.begin(fault)
    tracking.commands_become(tracking.damping_torque())
    assert "not finite" in tracking.clear_fault()
    tracking.driver.end(fault)
    tracking.eventually(lambda: tracking.clear_fault() == "", "the fault is cleared")
    tracking.commands_become(tracking.policy_torque(GOAL))
    tracking.assert_always_true()


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("joint missing", "joint wrist is missing"),
        ("joint twice", "joint shoulder stands 2 times"),
        ("position too short", "position must have 3 values"),
        ("no velocity", "velocity must have 3 values, one for each name; got 0"),
    ],
)
def test_unreadable_states_lead_to_damping_while_active(
    tracking: Robot, fault: str, sentence: str
) -> None:
    tracking.driver.begin(fault)
    tracking.commands_become(tracking.damping_torque())
    assert sentence in tracking.clear_fault()
    tracking.assert_always_true()


def test_another_node_that_begins_to_command_later_leads_to_damping(tracking: Robot) -> None:
    other = tracking.node.create_publisher(Float64MultiArray, "commands", 1)
    tracking.commands_become(tracking.damping_torque())
    assert tracking.clear_fault() == "another node commands the robot: /robot"
    tracking.node.destroy_publisher(other)
    tracking.eventually(lambda: tracking.clear_fault() == "", "the fault is cleared")
    tracking.commands_become(tracking.policy_torque(GOAL))
    tracking.assert_always_true()


# ---- activation ----------------------------------------------------------------------------


def test_it_is_a_plain_lifecycle_node_without_autostart(robot: Robot, model: Path) -> None:
    robot.start_node(model)
    assert robot.state() == "unconfigured"
    assert robot.change_state(CONFIGURE)
    assert robot.commands == []
    assert robot.change_state(ACTIVATE)
    robot.commands_become(robot.damping_torque())


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("joint missing", "joint wrist is missing"),
        ("no velocity", "states' velocity must have 3 values"),
    ],
)
def test_activation_is_refused_while_states_cannot_be_read(
    robot: Robot, model: Path, fault: str, reason: str
) -> None:
    robot.driver.begin(fault)
    robot.start_node(model)
    assert robot.change_state(CONFIGURE)
    assert not robot.change_state(ACTIVATE)
    assert robot.state() == "inactive"
    assert robot.commands == []
    robot.driver.end(fault)
    robot.eventually(lambda: robot.change_state(ACTIVATE), "activation")
    robot.end()
    (line, *_) = [line for line in robot.log.splitlines() if "cannot activate: " in line]
    assert reason in line


def test_activation_is_refused_while_the_arm_moves(robot: Robot, model: Path) -> None:
    robot.velocity = [0.0, 0.0, -0.21]
    robot.start_node(model, "autostart:=true")
    # The second sentence where it comes 50 ms late: the robot's positions stand still.
    sentences = ("joint wrist must be slower than 0.2 rad/s; it moves", "wrist stands at 0.3 rad")
    line = robot.refused()
    assert any(sentence in line for sentence in sentences), line
    assert robot.commands == []


def test_activation_is_refused_while_nobody_listens_to_the_commands(
    robot: Robot, model: Path
) -> None:
    robot.start_node(model, "autostart:=true", commands="into_the_void")
    assert "a node must subscribe to /into_the_void; none does" in robot.refused()


def test_activation_is_refused_while_another_node_commands(robot: Robot, model: Path) -> None:
    robot.node.create_publisher(Float64MultiArray, "commands", 1)
    robot.start_node(model, "autostart:=true")
    assert "another node publishes on /commands: /robot" in robot.refused()
    assert robot.commands == []


def test_a_wrong_model_keeps_a_lifecycle_node_unconfigured(robot: Robot, tmp_path: Path) -> None:
    robot.start_node(tmp_path / "none.onnx")
    assert not robot.change_state(CONFIGURE)
    assert robot.state() == "unconfigured"


@pytest.mark.parametrize(
    ("setup", "sentence"),
    [
        ("missing", "none.onnx does not exist"),
        ("text", "must be an ONNX model"),
        ("empty", "parameter model_path must name a policy file"),
        ("other_arm", "joint j1 is missing from the joint states"),
        ("gravity", "is policy, so the policy's must be too"),
        ("order", "parameter command_joints must hold each of the policy's joints once"),
        ("silent", "no usable joint state arrived on /joint_states within 0.5 s"),
        ("no_velocity", "the robot's driver must fill it"),
        ("unknown", "parameter watchdog is unknown to node policy_node, did you mean watchdog_s?"),
        (
            "negative",
            "parameter soft_start_s must be a number at least 0 and at most 60 (s); got -1.0",
        ),
        ("limits", "parameter torque_limit must have one value for each of the policy's 3 joints"),
    ],
)
def test_what_cannot_run_exits_with_code_2_and_one_sentence(
    robot: Robot, model: Path, tmp_path: Path, setup: str, sentence: str
) -> None:
    parameters: tuple[str, ...] = ()
    path: Path | None = model
    if setup == "missing":
        path = tmp_path / "none.onnx"
    elif setup == "text":
        model.write_text("Dear robot,\nplease move.\n")
    elif setup == "empty":
        path = None
    elif setup == "other_arm":
        write_tiny_policy(model, ("j1", "j2"))
    elif setup == "silent":
        robot.driver.begin("silence")
        parameters = ("state_timeout_s:=0.5",)
    elif setup == "no_velocity":
        robot.driver.begin("no velocity")
    else:
        parameters = {
            "gravity": ("gravity_compensation:=policy",),
            "order": ("command_joints:=[shoulder, elbow]",),
            "unknown": ("watchdog:=0.1",),
            "negative": ("soft_start_s:=-1.0",),
            "limits": ("torque_limit:=[1.0]",),
        }[setup]
    robot.start_node(path, "autostart:=true", *parameters)
    assert sentence in robot.refused()
    assert robot.commands == []


# ---- swap, shadow, topics ------------------------------------------------------------------


def test_a_policy_is_swapped_while_active_without_a_jump(tracking: Robot, tmp_path: Path) -> None:
    stiffer = write_tiny_policy(tmp_path / "stiffer.onnx", gain=2.0)
    assert tracking.set_model(stiffer) == (True, "")
    tracking.commands_become(tracking.policy_torque(GOAL, gain=2.0))
    assert tracking.clear_fault() == ""
    tracking.assert_always_true()


def test_while_a_policy_is_swapped_every_state_is_answered_within_the_slew_limit(
    robot: Robot, tmp_path: Path
) -> None:
    models = [
        write_tiny_policy(tmp_path / f"{gain}.onnx", gain=gain, control_rate_hz=50.0)
        for gain in (1.0, -1.0)
    ]
    robot.driver.period_s = 0.02  # a queue of five states then bridges what a busy machine steals
    robot.start_active(models[0])
    robot.set_goal(GOAL)
    robot.commands_become(robot.policy_torque(GOAL))

    def in_step() -> tuple[int, int]:
        """Hold the states, shorter than the watchdog, until each has its answer."""
        robot.driver.begin("silence")
        threading.Event().wait(0.2 * WATCHDOG)
        return len(robot.driver.state_times), len(robot.commands)

    states, commands = in_step()
    robot.driver.end("silence")
    for model in (models[1], models[0], models[1]):
        assert robot.set_model(model) == (True, "")
        gain = 1.0 if model is models[0] else -1.0
        robot.commands_become(robot.policy_torque(GOAL, gain))
    more_states, more_commands = in_step()
    assert more_states - states > 10
    assert more_commands - commands == more_states - states
    robot.assert_always_true()


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ("text", "must be an ONNX model"),
        ("joints", "must drive the joints shoulder, elbow, wrist; got a, b, c"),
        ("gravity", "is robot, so the policy's must be too"),
    ],
)
def test_a_bad_policy_leaves_the_old_one_running(
    tracking: Robot, tmp_path: Path, wrong: str, reason: str
) -> None:
    path = tmp_path / "wrong.onnx"
    if wrong == "text":
        path.write_text("not a model")
    elif wrong == "joints":
        write_tiny_policy(path, ("a", "b", "c"))
    else:
        write_tiny_policy(path, gravity_compensation="policy")
    successful, why = tracking.set_model(path)
    assert not successful
    assert reason in why
    tracking.commands_become(tracking.policy_torque(GOAL))
    tracking.assert_always_true()


@contextlib.contextmanager
def eventually_read(fifo: Path, robot: Robot) -> Iterator[None]:
    """Wait until somebody reads ``fifo``, and let them read on without ever getting a byte."""
    opened: list[int] = []

    def reads() -> bool:
        try:  # refused as long as nobody has it open for reading
            opened.append(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK))
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
        return bool(opened)

    robot.eventually(reads, f"{fifo} is read")
    try:
        yield
    finally:
        os.close(opened[0])


def test_while_a_file_does_not_load_states_and_the_emergency_stop_are_answered(
    tracking: Robot, tmp_path: Path
) -> None:
    never = tmp_path / "never.onnx"
    os.mkfifo(never)  # as on a network drive that hangs: opening it waits for ever
    answers: list[tuple[bool, str]] = []
    swap = threading.Thread(target=lambda: answers.append(tracking.set_model(never)))
    swap.start()
    with eventually_read(never, tracking):
        tracking.set_goal(0.5)  # not read while the swap lasts
        tracking.commands_become(tracking.policy_torque(GOAL))
        tracking.emergency_stop(True)
        tracking.commands_become(tracking.damping_torque())
        assert answers == []
        swap.join()
    ((successful, why),) = answers
    assert not successful
    assert why == f"policy file {never} must load within 3 s; it did not"
    tracking.assert_always_true()
    assert tracking.end() == 0


def test_a_load_that_fails_in_an_unforeseen_way_is_told_as_that_and_the_old_policy_stays(
    robot: Robot, model: Path
) -> None:
    program = (
        "import sys\n"
        "from sac_ros.ros.policy import node as policy_node\n"
        "load = policy_node.Policy.load\n"
        "def fail(path):\n"
        "    if path.stem == 'unlucky':\n"
        "        raise RuntimeError('a bug')\n"
        "    return load(path)\n"
        "policy_node.Policy.load = fail\n"
        "sys.exit(policy_node.main())\n"
    )
    robot.start_active(model, program=program)
    robot.set_goal(GOAL)
    robot.commands_become(robot.policy_torque(GOAL))
    successful, why = robot.set_model(model.with_name("unlucky.onnx"))
    assert not successful
    assert why == (
        f"policy file {model.with_name('unlucky.onnx')} must load without an unexpected error; "
        "it ended with RuntimeError: a bug"
    )
    robot.eventually(lambda: "Traceback" in robot.log, "the bug's traceback")
    robot.commands_become(robot.policy_torque(GOAL))
    assert robot.clear_fault() == ""
    robot.assert_always_true()


def test_a_node_that_was_frozen_longer_than_the_watchdog_comes_back_in_a_stop(
    tracking: Robot,
) -> None:
    frozen_s = 2.0 * WATCHDOG
    tracking.signal(signal.SIGSTOP)
    threading.Event().wait(frozen_s)
    tracking.signal(signal.SIGCONT)
    tracking.commands_become(tracking.damping_torque())
    tracking.eventually(lambda: "no joint state" in tracking.log, "the watchdog's fault")
    times, torques = zip(*tracking.commands, strict=True)
    found = AUDIT.violations(times, torques, tracking.driver.state_times)
    # Nothing can be published while frozen.
    assert Rule.NEVER_QUIET in [violation.rule for violation in found]
    # A command that was decided before may leave only after it; all else keeps every rule.
    patient = dataclasses.replace(AUDIT, jitter_s=AUDIT.jitter_s + frozen_s)
    assert patient.violations(times, torques, tracking.driver.state_times) == []


def test_in_shadow_mode_everything_but_commands_is_published(robot: Robot, model: Path) -> None:
    asked: list[JointState] = []
    applied: list[JointState] = []
    robot.node.create_subscription(JointState, "policy_node/policy_torque", asked.append, 10)
    robot.node.create_subscription(JointState, "policy_node/applied_torque", applied.append, 10)
    robot.start_node(model, "autostart:=true", "shadow:=true")
    robot.eventually(lambda: applied, "an applied torque")
    robot.set_goal(GOAL)
    wanted = robot.policy_torque(GOAL)
    robot.eventually(
        lambda: asked and np.allclose(asked[-1].effort, wanted), "the policy's torque"
    )
    robot.eventually(lambda: np.allclose(applied[-1].effort, wanted), "the applied torque")
    assert asked[-1].name == list(SPEC.joint_names)
    assert asked[-1].header.stamp.sec > 0
    assert robot.node.count_publishers("commands") == 0
    assert robot.commands == []


def test_shadow_set_while_active_brings_the_arm_to_rest_before_the_node_falls_silent(
    tracking: Robot,
) -> None:
    tracking.stand()
    assert tracking.set_parameter("shadow", True) == ""
    tracking.eventually(lambda: not tracking.commands[-1].torque.any(), "the last command")
    tracking.assert_always_true(ended=True)
    tracking.eventually(lambda: tracking.node.count_publishers("commands") == 0, "no publisher")
    applied: list[JointState] = []
    tracking.node.create_subscription(JointState, "policy_node/applied_torque", applied.append, 10)
    sent = len(tracking.commands)
    tracking.set_goal(GOAL)
    wanted = tracking.policy_torque(GOAL)
    tracking.eventually(
        lambda: applied and np.allclose(applied[-1].effort, wanted), "the policy's torque"
    )
    assert len(tracking.commands) == sent


def test_out_of_shadow_is_an_activation_with_its_checks_and_needs_a_goal(
    robot: Robot, model: Path
) -> None:
    robot.start_node(model, "autostart:=true", "shadow:=true")
    robot.eventually(lambda: "active in shadow mode" in robot.log, "active in shadow mode")
    robot.set_goal(GOAL)
    rival = robot.node.create_publisher(Float64MultiArray, "commands", 1)
    assert "another node publishes on /commands" in robot.set_parameter("shadow", False)
    assert robot.commands == []
    robot.node.destroy_publisher(rival)
    robot.eventually(lambda: robot.node.count_publishers("commands") == 0, "no rival")
    robot.eventually(lambda: robot.set_parameter("shadow", False) == "", "commands at last")
    robot.commands_become(robot.damping_torque())
    robot.set_goal(GOAL)
    robot.commands_become(robot.policy_torque(GOAL))
    robot.assert_always_true()


def test_torques_have_the_stamp_of_the_state_they_answer_and_none_where_they_answer_none(
    tracking: Robot,
) -> None:
    applied: list[JointState] = []
    tracking.node.create_subscription(JointState, "policy_node/applied_torque", applied.append, 99)

    def stamps(since: int = 0) -> list[int]:
        return [s.header.stamp.sec * 10**9 + s.header.stamp.nanosec for s in applied[since:]]

    tracking.eventually(lambda: len(applied) > 20, "applied torques")
    found = stamps()
    assert found == sorted(set(found))
    oldest, newest = tracking.driver.state_times[0], tracking.driver.state_times[-1]
    assert oldest * 1e9 - 1e6 < found[0] <= found[-1] <= newest * 1e9
    tracking.driver.begin("nan position")
    tracking.commands_become(tracking.damping_torque())
    seen = len(applied)
    tracking.eventually(lambda: len(applied) > seen + 20, "more applied torques")
    assert set(stamps(seen)) == {0}


def test_commands_are_reliable_and_never_late_news(robot: Robot, model: Path) -> None:
    robot.start_active(model)
    (found,) = robot.node.get_publishers_info_by_topic("commands")
    assert found.qos_profile.reliability == ReliabilityPolicy.RELIABLE
    assert found.qos_profile.durability == DurabilityPolicy.VOLATILE


def test_the_spec_is_latched_and_diagnostics_say_what_happens(
    robot: Robot, model: Path, eventually: Callable[..., None]
) -> None:
    robot.start_active(model, "diagnostics_period_s:=0.1")
    specs: list[String] = []
    reports: list[DiagnosticArray] = []
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    robot.node.create_subscription(String, "policy_node/policy_spec", specs.append, latched)
    robot.node.create_subscription(DiagnosticArray, "/diagnostics", reports.append, 10)
    eventually(lambda: specs, "the latched spec")
    assert PolicySpec.from_json(specs[0].data, "topic") == SPEC

    def values() -> dict[str, str]:
        status = reports[-1].status[0]
        return {"message": status.message, **{pair.key: pair.value for pair in status.values}}

    eventually(lambda: reports and "latency_p99_ms" in values(), "diagnostics")
    assert values()["message"] == "waiting for a goal"
    assert int(values()["interventions.no_goal"]) > 0
    robot.set_goal(5.0)
    eventually(lambda: "within -1 to 1 m" in values()["last_refused_goal"], "the refused goal")
    robot.emergency_stop(True)
    eventually(lambda: values()["mode"] == "damping", "the fault in the diagnostics")
    assert "emergency_stop" in values()["last_fault"]


def test_a_running_node_holds_numpy_and_onnxruntime_and_nothing_heavier(
    robot: Robot, model: Path, tmp_path: Path
) -> None:
    dump = tmp_path / "modules.txt"
    program = (
        "import atexit, pathlib, sys\n"
        "from sac_ros.ros.policy import node as policy_node\n"
        f"path = pathlib.Path({str(dump)!r})\n"
        "atexit.register(lambda: path.write_text(' '.join(sys.modules)))\n"
        "sys.exit(policy_node.main())\n"
    )
    robot.start_active(model, program=program)
    robot.set_goal(GOAL)
    robot.commands_become(robot.policy_torque(GOAL))
    assert robot.end() == 0
    modules = {name.split(".")[0] for name in dump.read_text().split()}
    assert {"onnxruntime", "numpy", "rclpy"} <= modules
    assert not modules & {"torch", "pybullet", "gymnasium", "onnx", "ray", "matplotlib"}
