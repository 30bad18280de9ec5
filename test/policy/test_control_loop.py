# SPDX-License-Identifier: Apache-2.0
"""The controller: the policy at its own rate, its last torque held in between."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_policy import tiny_action, tiny_gravity, tiny_mixing, write_tiny_policy

from sac_ros.policy.control_loop import ControlLoop
from sac_ros.policy.event_log import EventLog
from sac_ros.policy.runtime import Policy
from sac_ros.policy.safety_config import SafetyConfig
from sac_ros.policy.safety_events import Command, Fault, Mode
from sac_ros.policy.spec import RememberedTorque
from sac_ros.policy.worker import Worker
from sac_ros.robots.arm import load_arm
from sac_ros.utils.errors import ConfigurationError, GoalError, NonFiniteGoalError
from sac_ros.utils.package_share import share_path

GOAL = np.array([0.9, 0.0, 0.0])
NOW = 1.0
CONFIG = SafetyConfig(soft_start_s=0.0, slew_limit=1e5)


class Robot:
    """States every 2 ms for a policy of 100 Hz."""

    def __init__(
        self, policy: Policy, config: SafetyConfig = CONFIG, worker: Worker | None = None
    ) -> None:
        self.now, self.position, self.velocity = NOW, np.zeros(3), np.zeros(3)
        self.loop = ControlLoop(policy, config, worker=worker)
        self.loop.safety.accept(self.now, self.position, self.velocity)
        self.loop.activate(self.now)

    def states(self, count: int) -> Command:
        for _ in range(count):
            self.now += 0.002
            command = self.loop.state(self.now, self.position, self.velocity)
        assert command is not None
        return command


class Patient(Worker):
    def result(self, within_s: float) -> Any | None:
        return super().result(30.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_tiny_policy(tmp_path / "policy.onnx")


@pytest.fixture
def robot(path: Path) -> Robot:
    return Robot(Policy.load(path))


@pytest.fixture
def carrying(tmp_path: Path) -> Robot:
    """With a policy that must hold the arm up."""
    path = tmp_path / "carrying.onnx"
    return Robot(Policy.load(write_tiny_policy(path, gravity_compensation="policy", state_size=3)))


def test_the_policy_runs_at_its_own_rate(robot: Robot) -> None:
    robot.loop.set_goal(NOW, "base", GOAL)
    robot.states(500)
    assert robot.loop.inference.count == pytest.approx(100, abs=2)


def test_between_inferences_the_torque_is_held(robot: Robot) -> None:
    robot.loop.set_goal(NOW, "base", GOAL)
    before = robot.states(1).torque
    robot.position = np.array([0.02, 0.02, 0.02])
    np.testing.assert_array_equal(robot.states(1).torque, before)
    assert not np.array_equal(robot.states(5).torque, before)


@pytest.mark.parametrize("stamp_step_ns", [1, 2_000_000, 1_000_000_000])
def test_the_policy_runs_by_arrival_whatever_the_stamps_say(
    path: Path, stamp_step_ns: int
) -> None:
    loop = ControlLoop(Policy.load(path), CONFIG)
    loop.safety.accept(0.0, np.zeros(3), np.zeros(3))
    loop.activate(0.0)
    loop.set_goal(NOW, "base", GOAL)
    for i in range(1, 501):
        loop.state(i * 0.002, np.zeros(3), np.zeros(3), stamp_ns=i * stamp_step_ns)
    assert loop.inference.count == pytest.approx(100, abs=2)


@pytest.mark.parametrize("size", [1, 3, 5])
def test_the_state_starts_at_zeros_and_is_fed_back(tmp_path: Path, size: int) -> None:
    path = write_tiny_policy(tmp_path / "looking.onnx", state_size=size)
    robot = Robot(Policy.load(path))
    robot.loop.set_goal(NOW, "base", GOAL)
    state = (robot.position, robot.velocity, GOAL)
    first = tiny_action(*state, np.zeros(size))
    second = tiny_action(*state, first @ tiny_mixing(size, 3).T)
    scale = np.array(robot.loop.policy.spec.action_scale)
    np.testing.assert_allclose(robot.states(1).torque, first * scale, rtol=1e-5)
    np.testing.assert_allclose(robot.states(5).torque, second * scale, rtol=1e-5)


def test_a_policy_remembers_the_torque_that_was_published_and_not_the_one_it_asked_for(
    tmp_path: Path,
) -> None:
    """Of 5 states with one answer the first three get less than it asked for."""
    gain = (0.01, 0.02, 0.05)
    path = write_tiny_policy(
        tmp_path / "a.onnx", state_size=3, remembered_torque=RememberedTorque(0, gain)
    )
    config = SafetyConfig(soft_start_s=0.0, slew_limit=1200.0)
    robot = Robot(Policy.load(path), config)
    robot.loop.set_goal(NOW, "base", GOAL)
    state, scale = (robot.position, robot.velocity, GOAL), robot.loop.policy.spec.action_scale
    first = tiny_action(*state, np.zeros(3))
    asked = first * scale
    published = np.array([robot.states(1).torque for _ in range(5)])
    assert (np.abs(published[0]) < 0.9 * np.abs(asked)).all()
    remembered = first + gain * (published - asked).mean(axis=0)
    robot.states(1)
    expected = tiny_action(*state, remembered) * scale
    np.testing.assert_allclose(robot.loop.inference.torque, expected, rtol=1e-5)
    assert not np.allclose(tiny_action(*state, first) * scale, expected, rtol=1e-3)


def test_after_an_action_that_was_not_finite_the_policy_can_start_anew(tmp_path: Path) -> None:
    path = write_tiny_policy(tmp_path / "a.onnx", state_size=3, nan_below_z=-0.97)
    robot = Robot(Policy.load(path))
    robot.loop.set_goal(NOW, "base", np.array([0.9, 0.0, -1.0]))
    assert robot.states(1).mode is Mode.DAMPING
    robot.loop.set_goal(NOW, "base", GOAL)
    assert robot.states(20).mode is Mode.DAMPING  # the action it remembers is NaN still
    assert robot.loop.clear_fault(robot.now) == ""
    assert robot.states(20).mode is Mode.TRACKING


def test_without_a_goal_the_arm_is_held_at_the_policys_rate(carrying: Robot) -> None:
    carrying.position = np.array([0.4, -0.7, 1.1])
    before = carrying.states(1).torque
    np.testing.assert_allclose(before, tiny_gravity(carrying.position), rtol=1e-6)
    carrying.position = np.array([0.39, -0.72, 1.12])
    np.testing.assert_array_equal(carrying.states(1).torque, before)
    after = carrying.states(5).torque
    np.testing.assert_allclose(after, tiny_gravity(carrying.position), rtol=1e-6)
    assert carrying.loop.inference.torque is None
    assert carrying.loop.inference.count == 0


@pytest.mark.parametrize("before", range(1, 6))
def test_the_first_state_with_a_goal_is_answered_at_once_and_remembers_no_action(
    carrying: Robot, before: int
) -> None:
    carrying.position = np.array([0.4, -0.7, 1.1])
    carrying.states(before)
    carrying.loop.set_goal(NOW, "base", GOAL)
    action = tiny_action(carrying.position, carrying.velocity, GOAL, np.zeros(3))
    expected = action * [15.0, 10.0, 5.0] + tiny_gravity(carrying.position)
    np.testing.assert_allclose(carrying.states(1).torque, expected, rtol=1e-6)
    assert carrying.loop.inference.count == 1


def test_with_a_goal_the_arm_is_held_where_the_policy_saw_it_last(tmp_path: Path) -> None:
    path = write_tiny_policy(tmp_path / "carrying.onnx", gravity_compensation="policy")
    robot = Robot(
        Policy.load(path), SafetyConfig(soft_start_s=0.0, slew_limit=1e5, torque_scale=0.0)
    )
    robot.loop.set_goal(NOW, "base", GOAL)
    for position in ([0.4, -0.7, 1.1], [0.39, -0.72, 1.12]):
        robot.position = np.array(position)
        torque = robot.states(5).torque
        np.testing.assert_allclose(torque, tiny_gravity(robot.position), rtol=1e-6)


@pytest.mark.parametrize("running", ["robot", "policy"])
def test_a_policy_for_a_robot_that_is_carried_by_another_is_refused(
    tmp_path: Path, running: str
) -> None:
    files = {
        gravity: write_tiny_policy(tmp_path / f"{gravity}.onnx", gravity_compensation=gravity)
        for gravity in ("robot", "policy")
    }
    robot = Robot(Policy.load(files.pop(running)))
    ((other, path),) = files.items()
    with pytest.raises(
        ConfigurationError, match=f"must have gravity_compensation {running}, .* got {other}"
    ):
        robot.loop.swap(NOW, Policy.load(path))
    assert robot.loop.policy.spec.gravity_compensation == running


@pytest.mark.parametrize(
    ("frame", "values", "sentence"),
    [
        ("camera", [0.0, 0.0, 0.0], "goal must be in frame 'base'; got frame 'camera'"),
        ("base", [0.0, 1.01, 0.0], "goal y must be within -1 to 1 m"),
        ("base", [0.0, math.nan, 0.0], "goal must be finite"),
    ],
)
def test_a_refused_goal_leaves_the_old_one(
    robot: Robot, frame: str, values: list[float], sentence: str
) -> None:
    robot.loop.set_goal(NOW, "base", GOAL)
    with pytest.raises(GoalError, match=sentence):
        robot.loop.set_goal(NOW, frame, np.array(values))
    np.testing.assert_array_equal(robot.loop.goal, GOAL)


def test_the_third_goal_in_a_row_that_is_not_finite_is_a_fault(robot: Robot) -> None:
    for _ in range(3):
        with pytest.raises(NonFiniteGoalError):
            robot.loop.set_goal(NOW, "base", np.full(3, math.nan))
    assert robot.states(1).mode is Mode.DAMPING
    assert robot.loop.clear_fault(robot.now)
    robot.loop.set_goal(NOW, "base", GOAL)
    assert robot.loop.clear_fault(robot.now) == ""


def test_a_goal_is_forgotten_with_the_activation(robot: Robot) -> None:
    robot.loop.set_goal(NOW, "base", GOAL)
    robot.loop.begin_stop(robot.now, at_once=True)
    assert robot.loop.goal is None


def test_another_policy_answers_from_the_next_state_on(robot: Robot, tmp_path: Path) -> None:
    robot.loop.set_goal(NOW, "base", GOAL)
    robot.states(1)
    robot.loop.swap(NOW, Policy.load(write_tiny_policy(tmp_path / "b.onnx", gain=0.5)))
    expected = tiny_action(robot.position, robot.velocity, GOAL, gain=0.5) * [15.0, 10.0, 5.0]
    np.testing.assert_allclose(robot.states(1).torque, expected, rtol=1e-5)


@pytest.mark.parametrize("sizes", [(5, 3), (3, 0), (0, 5)])
def test_another_policy_gets_no_state_of_the_one_before(
    tmp_path: Path, sizes: tuple[int, int]
) -> None:
    before, after = (write_tiny_policy(tmp_path / f"{m}.onnx", state_size=m) for m in sizes)
    robot = Robot(Policy.load(before))
    robot.loop.set_goal(NOW, "base", GOAL)
    robot.states(20)
    robot.loop.swap(NOW, Policy.load(after))
    action = tiny_action(robot.position, robot.velocity, GOAL)
    np.testing.assert_allclose(robot.states(1).torque, action * [15.0, 10.0, 5.0], rtol=1e-5)


def test_a_goal_that_stands_has_no_velocity(tmp_path: Path) -> None:
    robot = Robot(Policy.load(write_tiny_policy(tmp_path / "moving.onnx", moving_goal=True)))
    robot.loop.set_goal(NOW, "base", GOAL)
    action = tiny_action(robot.position, robot.velocity, GOAL)
    np.testing.assert_allclose(robot.states(1).torque, action * [15.0, 10.0, 5.0], rtol=1e-5)


def test_another_policy_starts_softly(path: Path, tmp_path: Path) -> None:
    robot = Robot(Policy.load(path), SafetyConfig(soft_start_s=1.0, slew_limit=1e5))
    robot.loop.set_goal(NOW, "base", GOAL)
    before = robot.states(600).torque
    robot.loop.swap(NOW, Policy.load(write_tiny_policy(tmp_path / "b.onnx", gain=0.5)))
    assert (robot.states(50).torque < 0.15 * before).all()


def test_a_policy_for_other_joints_is_refused_and_the_old_one_stays(
    robot: Robot, tmp_path: Path
) -> None:
    other = Policy.load(write_tiny_policy(tmp_path / "b.onnx", ("a", "b", "c")))
    before = robot.loop.policy
    with pytest.raises(ConfigurationError, match="must drive the joints shoulder, elbow, wrist"):
        robot.loop.swap(NOW, other)
    assert robot.loop.policy is before


def test_a_swap_raises_no_limit_while_active(robot: Robot, tmp_path: Path) -> None:
    before = robot.loop.policy
    spec = before.spec
    stronger = {
        "torque_limit": (30.0, 20.0, 10.1),
        "velocity_limit": (4.0, 4.1, 4.0),
        "position_limit": ((-2.9, 2.9), (-2.9, 2.9), (-3.0, 2.9)),
        "brake_limit": (15.0, 10.0, 5.1),
    }
    for name, value in stronger.items():
        path = write_tiny_policy(tmp_path / f"{name}.onnx", **{name: value})
        with pytest.raises(ConfigurationError, match=f"its {name} of joint .* is beyond"):
            robot.loop.swap(NOW, Policy.load(path))
        assert robot.loop.policy is before
    weaker = dataclasses.replace(spec, torque_limit=(20.0, 15.0, 8.0)).torque_limit
    robot.loop.swap(
        NOW, Policy.load(write_tiny_policy(tmp_path / "weaker.onnx", torque_limit=weaker))
    )
    robot.loop.begin_stop(robot.now, at_once=True)
    robot.loop.swap(NOW, before)
    assert robot.loop.policy is before


def test_a_goal_outside_the_new_policys_range_is_dropped(robot: Robot, tmp_path: Path) -> None:
    robot.loop.set_goal(NOW, "base", GOAL)
    spec = robot.loop.policy.spec
    near = dataclasses.replace(spec.goal, low=(-0.5,) * 3, high=(0.5,) * 3)
    robot.loop.swap(NOW, Policy.load(write_tiny_policy(tmp_path / "b.onnx", goal=near)))
    assert robot.loop.goal is None


def test_to_run_the_policy_for_warm_caches_decides_nothing(path: Path, tmp_path: Path) -> None:
    looking = write_tiny_policy(tmp_path / "looking.onnx", state_size=3)
    for each in (path, looking):
        plain, warmed = Robot(Policy.load(each)), Robot(Policy.load(each), worker=Patient())
        warmed.loop.warm_up()  # without a goal, without a state
        for robot in (plain, warmed):
            robot.loop.set_goal(NOW, "base", GOAL)
        runs = 0
        for step in range(100):
            for robot in (plain, warmed):
                robot.position[0] = 0.0001 * step
            expected, given = plain.states(1), warmed.states(1)
            np.testing.assert_array_equal(given.torque, expected.torque)
            assert given.interventions == expected.interventions
            if warmed.loop.warm_up_time is not None:
                warmed.loop.warm_up()
                runs += 1
        assert warmed.loop.inference.count == plain.loop.inference.count
        assert runs == pytest.approx(plain.loop.inference.count, abs=2)


def test_the_goal_error_is_the_distance_of_the_end_effector() -> None:
    arm = load_arm("iiwa")
    loop = ControlLoop(Policy.load(share_path("models", "iiwa_reach.onnx")), CONFIG)
    assert loop.goal_error() is None
    home = np.array(arm.home)
    loop.state(NOW, home, np.zeros(7))
    place = arm.chain.frames_at(home).end_effector
    loop.set_goal(NOW, loop.policy.spec.goal.frame, place + np.array([0.01, 0.0, 0.0]))
    assert loop.goal_error() == pytest.approx(0.01, abs=1e-6)


def test_a_stop_begins_in_the_moment_that_a_state_is_missed(robot: Robot) -> None:
    robot.loop.set_goal(NOW, "base", GOAL)
    robot.states(20)
    now = robot.now + 0.0013  # of a tick
    for _ in range(1000):
        if robot.loop.safety.faults:
            break
        now = robot.loop.next_tick(now)
        robot.loop.tick(now)
    assert list(robot.loop.safety.faults) == [Fault.WATCHDOG]
    assert now - robot.now == pytest.approx(CONFIG.watchdog_s, abs=1e-5)


def test_the_stamps_of_the_joint_states_are_judged(robot: Robot) -> None:
    for _ in range(4):
        robot.now += 0.002
        robot.loop.state(robot.now, robot.position, robot.velocity, stamp_ns=10**18)
    assert list(robot.loop.safety.faults) == [Fault.STAMP]


def test_a_goal_may_be_at_the_edge_of_what_was_trained(robot: Robot) -> None:
    spec = robot.loop.policy.spec.goal
    for edge in (spec.low, spec.high):
        robot.loop.set_goal(NOW, "base", np.array(edge))
        np.testing.assert_array_equal(robot.loop.goal, edge)


def test_a_loop_that_is_not_active_has_nothing_to_stop(path: Path) -> None:
    told: list[str] = []
    loop = ControlLoop(Policy.load(path), CONFIG, log=EventLog(told.append))
    loop.begin_stop(NOW)
    assert not told
    loop.state(NOW, np.zeros(3), np.zeros(3))
    loop.activate(NOW)
    for _ in range(2):
        loop.begin_stop(NOW)
    assert [json.loads(each)["event"] for each in told].count("deactivate") == 1


def test_only_a_policy_that_tracks_a_goal_is_warmed_up(robot: Robot) -> None:
    robot.states(30)
    assert robot.loop.warm_up_time is None
    robot.loop.set_goal(robot.now, "base", GOAL)
    ahead = []
    for _ in range(20):
        robot.states(1)
        if robot.loop.warm_up_time is not None:
            ahead.append(robot.loop.warm_up_time - robot.now)
    assert ahead == pytest.approx([0.002] * 4)
    robot.loop.emergency_stop(robot.now, True)
    assert [robot.states(1) and robot.loop.warm_up_time for _ in range(20)] == [None] * 20


def test_a_message_that_cannot_be_read_stops_the_arm_and_is_logged(path: Path) -> None:
    told: list[str] = []
    published: list[tuple[Command, object, int]] = []
    loop = ControlLoop(
        Policy.load(path),
        CONFIG,
        publish=lambda *given: published.append(given),
        log=EventLog(told.append),
    )
    assert loop.refuse_state(NOW, "joint wrist is missing", 5) is None
    loop.state(NOW, np.zeros(3), np.zeros(3), 10)
    assert not published
    loop.activate(NOW)
    loop.set_goal(NOW, "base", GOAL)
    loop.state(NOW + 0.002, np.zeros(3), np.zeros(3), 20)
    command = loop.refuse_state(NOW + 0.004, "joint wrist is missing", 30)
    assert command is not None
    assert command.mode is Mode.DAMPING
    assert loop.safety.faults == {Fault.JOINT_STATE: "joint wrist is missing"}
    assert published[-1] == (command, None, 0)  # it answers no state
    first, *_, last = (json.loads(each) for each in told)
    assert (first["event"], first["stamp"], first["applied"]) == ("state", 5, False)
    assert (last["event"], last["stamp"], last["applied"]) == ("state", 30, True)
    assert (last["time"], last["has_policy_torque"]) == (NOW + 0.004, False)
    assert last["mode"] == "damping"


def test_a_stop_takes_its_time_where_it_is_not_asked_for_at_once(path: Path) -> None:
    for at_once in (False, True):
        told: list[str] = []
        loop = ControlLoop(Policy.load(path), CONFIG, log=EventLog(told.append))
        loop.state(NOW, np.zeros(3), np.zeros(3))
        loop.activate(NOW)
        loop.set_goal(NOW, "base", GOAL)
        loop.state(NOW + 0.002, np.zeros(3), np.zeros(3))
        loop.begin_stop(NOW + 0.003, at_once=at_once)
        assert loop.goal is None
        assert loop.inference.torque is None
        assert loop.safety.active is not at_once
        stops = [each for each in map(json.loads, told) if each["event"] == "deactivate"]
        assert [each["time"] for each in stops] == [NOW + 0.003]


class Published:
    """A loop, and what it has published: (command, the policy's torque, stamp)."""

    def __init__(self, policy: Policy, config: SafetyConfig = CONFIG) -> None:
        self.all: list[tuple[Command, Any, int]] = []
        self.loop = ControlLoop(policy, config, publish=lambda *given: self.all.append(given))
        self.loop.state(NOW, np.zeros(3), np.zeros(3), 10)
        self.loop.activate(NOW)
        self.loop.set_goal(NOW, "base", GOAL)


def test_a_torque_is_published_with_the_policys_own_and_the_stamp_of_its_state(
    path: Path,
) -> None:
    published = Published(Policy.load(path))
    loop = published.loop
    wanted = loop.policy.answer(np.zeros(3), np.zeros(3), GOAL).torque
    command = loop.state(NOW + 0.002, np.zeros(3), np.zeros(3), 20)
    assert published.all[-1][::2] == (command, 20)
    np.testing.assert_array_equal(published.all[-1][1], wanted)
    loop.emergency_stop(NOW + 0.002, True)
    command = loop.tick(NOW + 0.003)
    assert command is not None
    assert published.all[-1] == (command, None, 0)  # it answers no state
    command = loop.state(NOW + 0.004, np.full(3, math.nan), np.zeros(3), 30)
    assert published.all[-1] == (command, None, 0)  # nor does that of a refused one
    assert len(published.all) == 3


def test_the_torque_of_before_a_fault_is_not_told_as_the_policys_after_it(tmp_path: Path) -> None:
    path = write_tiny_policy(tmp_path / "carrying.onnx", gravity_compensation="policy")
    published = Published(Policy.load(path))
    published.loop.state(NOW + 0.002, np.zeros(3), np.zeros(3), 20)
    assert published.all[-1][1] is not None
    published.loop.emergency_stop(NOW + 0.002, True)
    published.loop.state(NOW + 0.004, np.zeros(3), np.zeros(3), 30)
    assert published.all[-1][1:] == (None, 30)


def test_for_a_refused_state_the_policy_is_not_asked_and_the_last_torque_may_stand(
    path: Path,
) -> None:
    published = Published(Policy.load(path))
    published.loop.state(NOW + 0.002, np.zeros(3), np.zeros(3))
    assert published.loop.state(NOW + 0.02, np.full(3, math.nan), np.zeros(3)) is None
    assert published.loop.inference.count == 1


def test_the_time_is_looked_at_often_and_in_a_stop_as_often_as_its_ramp_needs(path: Path) -> None:
    loop = Published(Policy.load(path)).loop
    assert loop.next_tick(NOW + 0.002) == pytest.approx(NOW + 0.012)
    assert loop.next_tick(NOW + 0.045) == pytest.approx(NOW + 0.05, abs=1e-5)
    loop.begin_stop(NOW + 0.002)
    assert loop.next_tick(NOW + 0.002) == pytest.approx(NOW + 0.004)


def test_the_time_for_the_next_goal_counts_from_the_goal(path: Path) -> None:
    config = dataclasses.replace(CONFIG, goal_timeout_s=0.1)
    robot = Robot(Policy.load(path), config)
    robot.loop.set_goal(robot.now, "base", GOAL)
    robot.states(40)
    robot.loop.set_goal(robot.now, "base", GOAL)
    assert robot.states(40).mode is Mode.TRACKING
    robot.states(12)
    assert list(robot.loop.safety.faults) == [Fault.GOAL_TIMEOUT]


def test_a_torque_scale_that_is_set_scales_the_torque_and_stands_in_the_next_record(
    path: Path,
) -> None:
    told: list[str] = []
    loop = ControlLoop(Policy.load(path), CONFIG, log=EventLog(told.append))
    loop.state(NOW, np.zeros(3), np.zeros(3))
    loop.activate(NOW)
    loop.set_goal(NOW, "base", GOAL)
    whole = loop.state(NOW + 0.002, np.zeros(3), np.zeros(3))
    loop.set_parameter(NOW + 0.003, "torque_scale", 0.25)
    assert json.loads(told[-1]) == {
        "n": 5, "event": "set_parameter", "time": NOW + 0.003, "name": "torque_scale",
        "value": 0.25,
    }  # fmt: skip
    quarter = loop.state(NOW + 0.004, np.zeros(3), np.zeros(3))
    assert whole is not None
    assert quarter is not None
    np.testing.assert_allclose(quarter.torque, 0.25 * whole.torque)
    loop.set_parameter(NOW + 0.004, "goal_timeout_s", 3.0)  # of a kind that only the record has
    loop.begin_stop(NOW + 0.005, at_once=True)
    loop.activate(NOW + 0.006)
    parameters = json.loads(told[-1])["parameters"]
    assert (parameters["torque_scale"], parameters["goal_timeout_s"]) == (0.25, 3.0)
    assert parameters["watchdog_s"] == CONFIG.watchdog_s


def test_a_torque_scale_that_rises_does_so_from_the_moment_that_it_is_set(path: Path) -> None:
    config = dataclasses.replace(CONFIG, soft_start_s=0.1, torque_scale=0.0)
    robot = Robot(Policy.load(path), config)
    robot.loop.set_goal(robot.now, "base", GOAL)
    robot.states(60)
    robot.loop.set_parameter(robot.now, "torque_scale", 1.0)
    half = robot.states(25).torque
    whole = robot.states(25).torque
    np.testing.assert_allclose(half, 0.5 * whole, rtol=1e-6)


def test_who_else_commands_is_a_fault_and_is_logged(path: Path) -> None:
    told: list[str] = []
    loop = ControlLoop(Policy.load(path), CONFIG, log=EventLog(told.append))
    loop.state(NOW, np.zeros(3), np.zeros(3))
    loop.activate(NOW)
    loop.other_publishers(NOW + 0.001, ["/rival"])
    assert json.loads(told[-1]) == {
        "n": 3, "event": "other_publishers", "time": NOW + 0.001, "names": ["/rival"],
    }  # fmt: skip
    assert loop.safety.faults == {Fault.OTHER_PUBLISHER: "another node commands the robot: /rival"}


def test_in_a_stop_states_brake_the_arm_then_ramp_the_torque_and_end_the_activation(
    path: Path,
) -> None:
    """By states alone, as when they come more often than the ticks."""
    published = Published(Policy.load(path), dataclasses.replace(CONFIG, slew_limit=500.0))
    loop, position, velocity = published.loop, np.zeros(3), np.full(3, 0.3)
    now = NOW
    for _ in range(5):
        now += 0.002
        position = position + 0.002 * velocity
        loop.state(now, position, velocity, round(now * 1e9))
    loop.begin_stop(now)
    seen = len(published.all)
    for _ in range(400):
        if not loop.safety.active:
            break
        now += 0.002
        velocity = 0.9 * velocity
        position = position + 0.002 * velocity
        loop.state(now, position, velocity, round(now * 1e9))
    commands = [command for command, *_ in published.all[seen:]]
    braking = [each.torque for each in commands if each.mode is Mode.DAMPING]
    assert len(braking) > 20
    assert (np.array(braking)[5:] < 0.0).all()  # against the motion
    assert commands[-1].mode is Mode.STOPPED
    np.testing.assert_array_equal(commands[-1].torque, 0.0)
    assert not loop.safety.active
    assert all(torque is None for _, torque, _ in published.all[seen:])
