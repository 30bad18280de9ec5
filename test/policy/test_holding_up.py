# SPDX-License-Identifier: Apache-2.0
"""The safety filter where the robot does not carry itself: g(q) does, and the rest is on top."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tiny_policy import tiny_spec

from sac_ros.policy.safety import SafetyFilter
from sac_ros.policy.safety_config import JointLimits, SafetyConfig
from sac_ros.policy.safety_events import Command, Fault, Intervention, Mode

SPEC = tiny_spec()  # torque limits 30, 20, 10 N·m; scale 15, 10, 5; ±2.9 rad; 4 rad/s; 100 Hz
N = SPEC.joints
GRAVITY = np.array([10.0, -6.0, 3.0])
ON_TOP = np.array([4.0, -2.0, 1.0])
DRAG = 0.5 * np.array(SPEC.action_scale) / np.array(SPEC.velocity_limit)  # N·m·s/rad
NAN = np.full(N, math.nan)


class Robot:
    """A filter with a clock of its own, fed with one state every 2 ms."""

    def __init__(self, gravity: Any = GRAVITY, **config: Any) -> None:
        settings = SafetyConfig(**{"soft_start_s": 0.0, "slew_limit": 1e5, **config})
        self.filter = SafetyFilter(JointLimits.of(SPEC, settings), settings, SPEC.control_rate_hz)
        self.gravity = gravity
        self.now, self.position = 10.0, np.zeros(N)
        self.filter.accept(self.now, np.zeros(N), np.zeros(N))
        self.filter.activate(self.now)

    def state(self, torque: Any = None, position: Any = None, velocity: Any = 0.0) -> Command:
        self.now += 0.002
        speed = np.broadcast_to(velocity, N).astype(float)
        self.position = self.position + 0.002 * speed
        if position is not None:
            self.position = np.broadcast_to(position, N).astype(float)
        assert self.filter.accept(self.now, self.position, speed)
        if self.gravity is not None:
            self.filter.set_gravity_torque(np.array(self.gravity))
        asked = None if torque is None else np.broadcast_to(torque, N).astype(float)
        return self.filter.command(self.now, asked)


# Sums of eighths are exact: a guard acts on the same joints on either robot.
torques = st.tuples(*[st.integers(-36, 36).map(lambda eighths: eighths / 8.0)] * N)
states = st.tuples(
    st.one_of(st.none(), torques),
    st.tuples(*[st.floats(-5.0, 5.0)] * N),
    torques,
    st.sampled_from(["", "", "", "over_speed", "emergency_stop", "clear"]),
)


@given(
    st.tuples(*[st.floats(-2.5, 2.5)] * N).map(np.array),
    st.lists(states, max_size=30),
    st.sampled_from([0.1, 1.0]),
    st.sampled_from([0.0, 0.03]),
)
def test_on_top_of_gravity_a_policy_gets_what_it_gets_on_a_robot_that_carries_itself(
    start: np.ndarray, sequence: list[Any], scale: float, soft_start_s: float
) -> None:
    config = {"torque_scale": scale, "soft_start_s": soft_start_s}
    robot, carried = Robot(**config), Robot(None, **config)
    for each in (robot, carried):
        each.position = start
    for torque, velocity, gravity, event in sequence:
        for each in (robot, carried):
            if event == "clear":
                each.filter.emergency_stop(False)
                each.filter.clear_fault(each.now)
            elif event:
                each.filter.fault(Fault(event), "on purpose")
        robot.gravity = np.array(gravity)
        expected = carried.state(torque, velocity=velocity)
        on_top = None if torque is None else np.add(torque, gravity)
        found = robot.state(on_top, velocity=velocity)
        np.testing.assert_allclose(found.torque, expected.torque + gravity, atol=1e-9)
        assert (found.mode, set(found.interventions)) == (
            expected.mode,
            set(expected.interventions),
        )


def test_before_the_first_goal_the_arm_is_held_and_damped() -> None:
    command = Robot().state(velocity=[2.0, -1.0, 0.5])
    np.testing.assert_allclose(command.torque, GRAVITY - DRAG * [2.0, -1.0, 0.5])
    assert Intervention.NO_GOAL in command.interventions


def test_in_damping_the_arm_is_held_with_every_state_and_with_every_tick() -> None:
    robot = Robot()
    robot.filter.fault(Fault.OTHER_PUBLISHER, "once")
    expected = GRAVITY - DRAG * [2.0, -1.0, 0.5]
    np.testing.assert_allclose(robot.state(5.0, velocity=[2.0, -1.0, 0.5]).torque, expected)
    command = robot.filter.tick(robot.now + 0.01)
    assert command is not None
    np.testing.assert_allclose(command.torque, expected)


def test_torque_scale_leaves_gravity_whole() -> None:
    command = Robot(torque_scale=0.1).state(GRAVITY + ON_TOP)
    np.testing.assert_allclose(command.torque, GRAVITY + 0.1 * ON_TOP)


def test_soft_start_begins_at_what_holds_the_arm() -> None:
    command = Robot(soft_start_s=10.0).state(GRAVITY + ON_TOP)
    np.testing.assert_allclose(command.torque, GRAVITY, atol=1e-3)


def test_a_push_into_a_position_limit_fades_even_where_gravity_pulls_there_too() -> None:
    # What holds the arm points away from the limit, and so does the sum: but the arm is pushed.
    command = Robot(gravity=[-20.0, 0.0, 0.0]).state([-16.0, 0.0, 0.0], position=2.9)
    np.testing.assert_allclose(command.torque, [-20.0, 0.0, 0.0])


def test_a_joint_that_falls_too_fast_is_braked_on_top_of_what_holds_it() -> None:
    # The sum opposes the motion, but less than gravity drives it.
    robot = Robot(gravity=[-12.0, 0.0, 0.0])
    command = robot.state([-5.0, 0.0, 0.0], velocity=[4.01, 0.0, 0.0])
    np.testing.assert_allclose(command.torque, [-12.0 - SPEC.action_scale[0], 0.0, 0.0])


def test_gravity_beyond_the_torque_limit_leaves_room_for_damping() -> None:
    command = Robot(gravity=[1e6, -1e6, 0.0]).state(velocity=[2.0, -2.0, 0.0])
    np.testing.assert_allclose(command.torque, [30.0 - 2.0 * DRAG[0], -20.0 + 2.0 * DRAG[1], 0.0])


def test_a_gravity_that_is_not_finite_is_a_fault_and_holds_nothing() -> None:
    robot = Robot()
    robot.state(5.0)
    robot.gravity = [10.0, math.nan, 3.0]
    command = robot.state(5.0, velocity=1.0)
    assert command.mode is Mode.DAMPING
    assert robot.filter.faults == {
        Fault.POLICY_OUTPUT: "the policy's gravity torque is not finite"
    }
    np.testing.assert_allclose(command.torque, -DRAG)


def test_a_gravity_that_is_not_finite_goes_no_further_where_nothing_latches() -> None:
    robot = Robot(gravity=NAN)
    robot.filter.deactivate()
    np.testing.assert_array_equal(robot.state(5.0).torque, 5.0)


def test_a_policy_that_gave_a_torque_that_is_not_finite_holds_nothing_until_it_is_cleared() -> (
    None
):
    robot = Robot()
    np.testing.assert_allclose(robot.state(NAN, velocity=1.0).torque, -DRAG)
    np.testing.assert_allclose(robot.state(5.0, velocity=1.0).torque, -DRAG)
    assert robot.filter.clear_fault(robot.now) == ""
    np.testing.assert_allclose(robot.state(velocity=1.0).torque, GRAVITY - DRAG)


def test_an_emergency_stop_holds_the_arm_as_long_as_states_are_fresh() -> None:
    robot = Robot()
    robot.state(velocity=1.0)
    robot.filter.emergency_stop(True)
    np.testing.assert_allclose(robot.state(velocity=1.0).torque, GRAVITY - DRAG)
    for _ in range(60):
        command = robot.state()
    assert command.mode is Mode.STOPPED
    np.testing.assert_allclose(command.torque, GRAVITY)


def test_silence_ramps_to_the_safe_torque_and_a_cleared_stop_holds_the_arm_again() -> None:
    robot = Robot(safe_torque=(1.0, -2.0, 0.5), slew_limit=1000.0)
    for _ in range(20):
        robot.state()
    robot.now += 0.06
    first = robot.filter.tick(robot.now)
    for _ in range(10):
        robot.now += 0.01
        last = robot.filter.tick(robot.now)
    assert first is not None
    assert last is not None
    assert first.mode is last.mode is Mode.STOPPED
    np.testing.assert_array_equal(last.torque, [1.0, -2.0, 0.5])
    robot.state()
    assert robot.filter.clear_fault(robot.now) == ""
    for _ in range(20):
        command = robot.state()
    np.testing.assert_allclose(command.torque, GRAVITY)


def test_an_activation_does_not_hold_the_arm_where_it_was_in_the_one_before() -> None:
    robot = Robot()
    robot.state()
    robot.filter.deactivate()
    robot.filter.activate(robot.now)
    robot.gravity = None
    np.testing.assert_array_equal(robot.state().torque, 0.0)
