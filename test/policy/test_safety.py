# SPDX-License-Identifier: Apache-2.0
"""The safety filter, row by row of its table; test_always_true.py plays arbitrary sequences."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_policy import tiny_spec

from sac_ros.policy import guards
from sac_ros.policy.safety import SafetyFilter
from sac_ros.policy.safety_config import JointLimits, SafetyConfig
from sac_ros.policy.safety_events import Command, Fault, Intervention, Mode
from sac_ros.utils.errors import ConfigurationError

SPEC = tiny_spec()  # torque limits 30, 20, 10 N·m; scale 15, 10, 5; ±2.9 rad; 4 rad/s; 100 Hz
N = SPEC.joints
DT = 0.002


def make(**config: Any) -> SafetyFilter:
    settings = SafetyConfig(**{"soft_start_s": 0.0, **config})
    return SafetyFilter(JointLimits.of(SPEC, settings), settings, SPEC.control_rate_hz)


class Robot:
    """A filter with a clock of its own, fed with one state every 2 ms."""

    def __init__(self, **config: Any) -> None:
        self.filter = make(**config)
        self.now, self.position = 10.0, np.zeros(N)
        self.filter.accept(self.now, np.zeros(N), np.zeros(N))
        self.filter.activate(self.now)

    def state(
        self, position: Any = None, velocity: Any = 0.0, torque: Any = 0.0, stamp_ns: int = 0
    ) -> Command | None:
        """One state 2 ms later, at ``position`` or where ``velocity`` leads to.

        Returns the command that answers it, or None when it was refused.
        """
        self.now += DT
        speed = np.broadcast_to(velocity, N).astype(float)
        if position is None:
            place = self.position + DT * np.where(np.abs(speed) < 10.0, speed, 0.0)
        else:
            place = np.broadcast_to(position, N).astype(float)
        self.position = np.where(np.isfinite(place), place, self.position)
        if not self.filter.accept(self.now, place, speed, stamp_ns):
            return self.filter.tick(self.now)
        asked = None if torque is None else np.broadcast_to(torque, N).astype(float)
        return self.filter.command(self.now, asked)

    def states(self, count: int, **state: Any) -> Command:
        for _ in range(count):
            command = self.state(**state)
        assert command is not None
        return command

    def silence(self, seconds: float) -> list[Command]:
        """Let time pass with only the timer ticking, every 10 ms."""
        commands = []
        for _ in range(round(seconds / 0.01)):
            self.now += 0.01
            commands.append(self.filter.tick(self.now))
        return [command for command in commands if command is not None]


@given(st.lists(st.one_of(st.none(), st.sampled_from([0.0, 1.0, math.nan])), max_size=40))
def test_a_fault_latches_until_it_is_cleared(torques: list[float | None]) -> None:
    robot = Robot()
    robot.filter.fault(Fault.POLICY_OUTPUT, "once")
    for torque in torques:
        command = robot.state(torque=torque)
        assert command is not None
        assert command.mode is Mode.DAMPING


# ---- tracking ------------------------------------------------------------------------------


def test_the_policys_torque_passes_where_nothing_is_wrong() -> None:
    command = Robot().states(50, torque=[3.0, -2.0, 1.0])
    np.testing.assert_array_equal(command.torque, [3.0, -2.0, 1.0])
    assert command.interventions == {}


def test_a_torque_beyond_the_limit_is_clamped() -> None:
    command = Robot().states(100, torque=[1e6, -1e6, 9.0])
    np.testing.assert_array_equal(command.torque, [30.0, -20.0, 9.0])
    assert command.interventions == {Intervention.CLAMP: (0, 1)}


def test_the_smaller_of_policys_and_parameters_limit_holds() -> None:
    command = Robot(torque_limit=(5.0, 100.0, 1.0)).states(100, torque=1e6)
    np.testing.assert_array_equal(command.torque, [5.0, 20.0, 1.0])


def test_torque_scale_scales_the_policys_torque() -> None:
    command = Robot(torque_scale=0.1).states(50, torque=[3.0, -2.0, 1.0])
    np.testing.assert_allclose(command.torque, [0.3, -0.2, 0.1])


def test_the_torque_scale_falls_at_once_and_rises_softly() -> None:
    robot = Robot(soft_start_s=0.2)
    robot.states(150, torque=10.0)
    robot.filter.set_torque_scale(0.1, robot.now)
    assert robot.states(20, torque=10.0).torque[0] == pytest.approx(1.0)  # but for the slew limit
    robot.filter.set_torque_scale(0.9, robot.now)
    risen = [robot.states(25, torque=10.0).torque[0] for _ in range(6)]
    np.testing.assert_allclose(risen, [3.0, 5.0, 7.0, 9.0, 9.0, 9.0], atol=1e-6)
    robot.filter.set_torque_scale(1.0, robot.now)
    robot.states(50, torque=10.0)
    robot.filter.set_torque_scale(0.5, robot.now)  # in the middle of a rise
    assert robot.states(10, torque=10.0).torque[0] == pytest.approx(5.0)


def test_the_slew_limit_goes_with_each_joints_own_torque_limit() -> None:
    command = Robot().state(torque=1e6)
    assert command is not None
    np.testing.assert_allclose(command.torque, np.array([1000.0, 2000 / 3, 1000 / 3]) * DT)
    assert Intervention.SLEW in command.interventions


def test_a_pause_buys_no_jump() -> None:
    robot = Robot(watchdog_s=0.05, slew_limit=100.0)
    robot.states(200, torque=30.0)
    before = robot.states(1, torque=30.0).torque[0]
    robot.now += 10.0  # as after a machine that slept
    command = robot.filter.tick(robot.now)
    assert command is not None
    assert before - command.torque[0] == pytest.approx(100.0 * 0.05)


def test_the_last_clamp_trusts_no_guard_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guards, "braking_torque", lambda *_: np.array([1e6, -1e6, 0.0]))
    command = Robot().states(100, torque=None)
    np.testing.assert_array_equal(command.torque, [30.0, -20.0, 0.0])


def test_without_a_goal_there_is_damping_only() -> None:
    command = Robot().states(50, velocity=[2.0, -2.0, 0.0], torque=None)
    np.testing.assert_allclose(command.torque, [-15 * 0.25, 10 * 0.25, 0.0])
    assert Intervention.NO_GOAL in command.interventions
    assert command.mode is Mode.TRACKING


def test_soft_start_blends_from_damping_to_the_policy() -> None:
    robot = Robot(soft_start_s=1.0)
    torque = [robot.states(50, torque=10.0).torque[0] for _ in range(12)]
    np.testing.assert_allclose(torque[4], 5.0, atol=0.2)
    assert torque == sorted(torque)
    assert torque[-1] == 10.0


def test_soft_start_begins_with_the_first_goal() -> None:
    robot = Robot(soft_start_s=1.0)
    robot.states(1000, torque=None)
    assert robot.states(1, torque=10.0).torque[0] < 0.1


def test_soft_start_begins_again_after_a_fault() -> None:
    robot = Robot(soft_start_s=1.0)
    robot.states(1000, torque=10.0)
    robot.filter.fault(Fault.POLICY_OUTPUT, "once")
    robot.states(100, torque=10.0)
    assert robot.filter.clear_fault(robot.now) == ""
    assert robot.states(50, torque=10.0).torque[0] < 2.0


def test_an_absurd_torque_does_not_shorten_the_soft_start() -> None:
    robot = Robot(soft_start_s=1.0)
    command = robot.states(100, torque=1e6)
    np.testing.assert_allclose(command.torque, 0.2 * np.array(SPEC.torque_limit), rtol=0.05)


# ---- guards --------------------------------------------------------------------------------


def test_torque_towards_a_position_limit_fades_to_zero_across_the_margin() -> None:
    margin = 0.05
    for room, share in ((0.1, 1.0), (0.05, 1.0), (0.025, 0.5), (0.0, 0.0), (-0.01, 0.0)):
        command = Robot(position_margin=margin).states(50, position=2.9 - room, torque=4.0)
        np.testing.assert_allclose(command.torque, 4.0 * share, atol=1e-9)
        command = Robot(position_margin=margin).states(50, position=room - 2.9, torque=-4.0)
        np.testing.assert_allclose(command.torque, -4.0 * share, atol=1e-9)


def test_torque_away_from_a_position_limit_stays() -> None:
    command = Robot().states(50, position=2.91, torque=-4.0)
    np.testing.assert_array_equal(command.torque, -4.0)


def test_over_the_velocity_limit_a_joint_is_braked_and_harder_braking_stays() -> None:
    brake = np.array(SPEC.action_scale)
    assert brake[2] < 9.0
    robot = Robot(over_speed_s=2.0)
    command = robot.states(50, velocity=[4.01, 3.9, -4.01], torque=9.0)
    np.testing.assert_allclose(command.torque, [-brake[0], 9.0, 9.0])
    assert command.interventions == {Intervention.VELOCITY_LIMIT: (0,)}


def test_far_over_its_limit_a_joint_has_the_whole_arm_stopped() -> None:
    robot = Robot(over_speed_s=2.0)
    command = robot.states(50, velocity=[5.3, 0.0, -1.0], torque=9.0)
    np.testing.assert_allclose(command.torque, -np.array(SPEC.stop_damping) * [5.3, 0.0, -1.0])
    assert Intervention.TOO_FAST in command.interventions
    assert command.mode is Mode.TRACKING


def test_a_speed_that_no_arm_is_built_for_is_a_fault_at_once() -> None:
    robot = Robot()
    robot.states(50, velocity=3.0)
    command = robot.states(1, velocity=6.1)
    assert command.mode is Mode.DAMPING
    assert Fault.OVER_SPEED in robot.filter.faults


def test_persistent_over_speed_is_a_fault() -> None:
    robot = Robot(over_speed_s=0.1)
    assert robot.states(49, velocity=5.0).mode is Mode.TRACKING
    assert robot.states(3, velocity=5.0).mode is Mode.DAMPING
    assert "velocity limit" in robot.filter.clear_fault(robot.now)
    robot.state(velocity=0.0)
    assert robot.filter.clear_fault(robot.now) == ""


def test_over_speed_that_ends_in_time_is_no_fault() -> None:
    robot = Robot(over_speed_s=0.1)
    for _ in range(5):
        robot.states(40, velocity=5.0)
        assert robot.states(1, velocity=0.0).mode is Mode.TRACKING


# ---- faults --------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("where", ["position", "velocity"])
def test_a_state_that_is_not_finite_is_refused_and_the_third_in_a_row_is_a_fault(
    where: str, wrong: float
) -> None:
    robot = Robot()
    robot.states(50, torque=5.0)
    for _ in range(3):
        assert robot.state(**{where: [0.0, wrong, 0.0]}) is None
        assert robot.state(**{where: [0.0, wrong, 0.0]}) is None
        assert robot.states(1, torque=5.0).mode is Mode.TRACKING
    assert robot.state(**{where: wrong}) is None
    assert robot.state(**{where: wrong}) is None
    third = robot.state(**{where: wrong})
    assert third is not None
    assert third.mode is Mode.DAMPING
    assert "not finite" in robot.filter.clear_fault(robot.now)


def test_a_controlled_stop_brakes_against_the_motion_within_the_brake_limit() -> None:
    robot = Robot(brake_limit=(3.0, 100.0, 100.0))
    robot.filter.fault(Fault.POLICY_OUTPUT, "once")
    command = robot.states(200, velocity=[2.0, -4.0, 3.0], torque=9.0)
    np.testing.assert_allclose(command.torque, [-3.0, 5.0, -1.875])
    assert Intervention.DAMPING in command.interventions


def test_a_policy_output_that_is_not_finite_is_a_fault_at_once() -> None:
    robot = Robot()
    robot.states(50, torque=5.0)
    assert robot.states(1, torque=[1.0, math.nan, 1.0]).mode is Mode.DAMPING
    assert robot.states(1, torque=1.0).mode is Mode.DAMPING


def test_an_unreadable_state_is_a_fault_at_once() -> None:
    robot = Robot()
    robot.filter.refuse_state(robot.now, "joint wrist is missing")
    assert robot.filter.mode is Mode.DAMPING
    assert "joint wrist is missing" in robot.filter.clear_fault(robot.now)
    robot.state()
    assert robot.filter.clear_fault(robot.now) == ""


def test_silence_ramps_to_the_safe_torque_and_keeps_publishing_it() -> None:
    robot = Robot()
    robot.states(100, torque=[30.0, 20.0, 10.0])
    commands = robot.silence(0.2)
    assert robot.filter.mode is Mode.STOPPED
    assert commands[0].torque[0] < 30.0
    np.testing.assert_array_equal(commands[-1].torque, 0.0)
    resting = [command for command in commands if not command.torque.any()]
    assert len(resting) > 5
    assert robot.filter.at_rest
    # 50 ms of watchdog, one tick of the timer, 30 N·m at 1000 N·m/s
    assert len(commands) - len(resting) <= 4


def test_after_silence_new_states_change_nothing_until_the_fault_is_cleared() -> None:
    robot = Robot()
    robot.states(100, torque=5.0)
    robot.silence(0.1)
    assert "no joint state" in robot.filter.clear_fault(robot.now)
    assert robot.states(100, torque=5.0).mode is Mode.STOPPED
    assert robot.filter.clear_fault(robot.now) == ""
    assert robot.states(100, torque=5.0).torque[0] == 5.0


def test_a_state_that_comes_too_late_is_a_fault_even_if_no_timer_ticked() -> None:
    robot = Robot()
    robot.states(10, torque=5.0)
    robot.now += 0.06
    assert robot.states(1, torque=5.0).mode is Mode.DAMPING
    assert Fault.WATCHDOG in robot.filter.faults


def test_the_safe_torque_need_not_be_zero() -> None:
    robot = Robot(safe_torque=(1.0, -2.0, 0.5))
    robot.states(100, torque=5.0)
    np.testing.assert_array_equal(robot.silence(0.3)[-1].torque, [1.0, -2.0, 0.5])


def test_an_emergency_stop_brakes_until_the_arm_stands_and_holds_until_released_and_cleared() -> (
    None
):
    robot = Robot(safe_torque=(1.0, 0.0, 0.0))
    robot.states(100, velocity=1.0, torque=10.0)
    robot.filter.emergency_stop(True)
    command = robot.states(60, velocity=1.0, torque=10.0)
    assert command.mode is Mode.DAMPING
    np.testing.assert_allclose(command.torque, -np.array(SPEC.stop_damping))
    command = robot.states(60, torque=10.0)
    assert command.mode is Mode.STOPPED
    np.testing.assert_array_equal(command.torque, [1.0, 0.0, 0.0])
    assert robot.filter.clear_fault(robot.now) == "the emergency stop is engaged"
    robot.filter.emergency_stop(False)
    assert robot.states(50, torque=10.0).mode is Mode.STOPPED
    assert robot.filter.clear_fault(robot.now) == ""
    assert robot.states(100, torque=10.0).torque[0] == 10.0


def test_an_emergency_stop_survives_a_new_activation() -> None:
    robot = Robot()
    robot.filter.emergency_stop(True)
    robot.filter.deactivate()
    robot.filter.activate(robot.now)
    np.testing.assert_array_equal(robot.states(1, torque=10.0).torque, 0.0)
    assert robot.states(60, torque=10.0).mode is Mode.STOPPED


def test_an_emergency_stop_while_inactive_holds_at_activation() -> None:
    robot = Robot()
    robot.filter.deactivate()
    robot.filter.emergency_stop(True)
    robot.filter.activate(robot.now)
    np.testing.assert_array_equal(robot.states(1, torque=10.0).torque, 0.0)
    assert robot.states(60, torque=10.0).mode is Mode.STOPPED


def test_the_stop_before_the_end_of_an_activation_brakes_and_ends_at_rest() -> None:
    robot = Robot()
    robot.states(10, velocity=1.0, torque=10.0)
    robot.filter.begin_stop()
    command = robot.states(60, velocity=1.0, torque=10.0)
    np.testing.assert_allclose(command.torque, -np.array(SPEC.stop_damping))
    assert robot.states(60, torque=10.0).mode is Mode.STOPPED
    assert robot.filter.faults == {}


def test_an_arm_that_moves_again_in_a_stop_is_braked_again() -> None:
    robot = Robot()
    robot.filter.emergency_stop(True)
    assert robot.states(60).mode is Mode.STOPPED
    assert robot.states(1, velocity=0.5).mode is Mode.DAMPING


@pytest.mark.parametrize("bad", [{"velocity": math.nan}, {"velocity": 100.0}])
def test_more_than_a_fifth_of_bad_states_in_a_second_is_a_fault(bad: dict[str, float]) -> None:
    robot = Robot()
    for _ in range(30):
        robot.states(4, torque=1.0)
        assert robot.state(**bad) is None
    assert robot.filter.mode is Mode.TRACKING
    robot.state(torque=1.0)
    robot.state(**bad)
    assert Fault.BAD_MESSAGES in robot.filter.faults
    robot.state()
    assert "were refused" in robot.filter.clear_fault(robot.now)
    robot.states(20)
    assert robot.filter.clear_fault(robot.now) == ""


def test_a_message_that_comes_twice_is_no_bad_one() -> None:
    robot = Robot()
    for stamp in range(1, 200):
        robot.state(stamp_ns=stamp * 2_000_000)
        robot.state(stamp_ns=stamp * 2_000_000)
    assert robot.filter.mode is Mode.TRACKING


def test_states_that_cannot_be_true_are_no_states_to_brake_by() -> None:
    robot = Robot(slew_limit=1e5)
    robot.states(50, velocity=1.0, torque=5.0)
    assert robot.state(velocity=100.0) is None
    assert robot.state(velocity=100.0) is None
    third = robot.state(velocity=100.0)
    assert third is not None
    assert third.mode is Mode.STOPPED
    np.testing.assert_array_equal(third.torque, 0.0)
    assert "100 rad/s" in robot.filter.clear_fault(robot.now)
    assert robot.states(1, velocity=1.0).mode is Mode.DAMPING
    assert robot.filter.clear_fault(robot.now) == ""


def test_an_arm_in_motion_is_not_activated() -> None:
    robot = Robot()
    robot.states(5, velocity=[0.0, -0.3, 0.0])
    problem = "joint elbow must be slower than 0.2 rad/s; it moves at -0.3 rad/s"
    assert robot.filter.starting_problem() == problem
    robot.states(5, velocity=0.1)
    assert robot.filter.starting_problem() == ""


def test_activation_forgets_other_faults() -> None:
    robot = Robot()
    robot.filter.fault(Fault.POLICY_OUTPUT, "once")
    robot.filter.deactivate()
    robot.filter.activate(robot.now)
    assert robot.states(1, torque=1.0).mode is Mode.TRACKING


def test_nothing_is_a_fault_while_inactive() -> None:
    robot = Robot()
    robot.filter.deactivate()
    robot.filter.refuse_state(robot.now, "joint wrist is missing")
    robot.silence(1.0)
    assert robot.filter.faults == {}


def test_stamps_that_do_not_advance_are_dropped_and_persistent_ones_are_a_fault() -> None:
    robot = Robot()
    assert robot.state(stamp_ns=100, torque=1.0) is not None
    assert robot.state(stamp_ns=100, torque=1.0) is None
    assert robot.state(stamp_ns=90, torque=1.0) is None
    assert robot.states(1, stamp_ns=101).mode is Mode.TRACKING
    for stamp in (50, 50, 50):
        robot.state(stamp_ns=stamp)
    assert robot.filter.mode is Mode.DAMPING
    assert robot.filter.refusals[Fault.STAMP] == 5


@pytest.mark.parametrize("step_ns", [1, 300_000, 11_000_000, 1_000_000_000])
def test_stamps_at_another_rate_than_the_clock_are_a_fault(step_ns: int) -> None:
    robot, stamp = Robot(), 10**18
    for _ in range(505):
        stamp += step_ns
        robot.state(stamp_ns=stamp, torque=1.0)
    assert Fault.STAMP in robot.filter.faults
    assert robot.filter.refusals[Fault.STAMP] == 2
    assert "joint state stamps advance by" in robot.filter.clear_fault(robot.now)
    for _ in range(500):
        stamp += 2_000_000
        robot.state(stamp_ns=stamp)
    assert robot.filter.clear_fault(robot.now) == ""


def test_simulated_time_gaps_and_bursts_are_no_fault_of_the_stamps() -> None:
    for rate in (0.25, 1.0, 4.0):
        robot, stamp = Robot(), 10**18
        for count in range(1500):
            stamp += round(rate * 2_000_000)
            if count % 400 == 399:
                robot.now += 0.04  # a gap, and the states of that time at once
                for _ in range(20):
                    robot.now -= 0.002
                    stamp += round(rate * 2_000_000)
                    robot.state(stamp_ns=stamp)
            robot.state(stamp_ns=stamp)
        stamp += 10 * 10**9  # a clock that is set
        for _ in range(600):
            stamp += round(rate * 2_000_000)
            robot.state(stamp_ns=stamp)
        assert robot.filter.faults == {}


def test_a_clock_that_stepped_back_for_good_can_be_cleared() -> None:
    robot = Robot()
    robot.state(stamp_ns=1000)
    for stamp in range(1, 6):
        robot.state(stamp_ns=stamp)
    assert robot.filter.mode is Mode.DAMPING
    assert robot.filter.clear_fault(robot.now) == ""
    assert robot.states(1, stamp_ns=7).mode is Mode.TRACKING


def test_states_without_stamps_are_taken() -> None:
    assert Robot().states(50, stamp_ns=0, torque=1.0).mode is Mode.TRACKING


def test_a_state_without_a_stamp_does_not_let_an_old_one_pass() -> None:
    robot = Robot()
    assert robot.state(stamp_ns=1000) is not None
    assert robot.state(stamp_ns=0) is not None
    assert robot.state(stamp_ns=500) is None


def test_another_commander_is_a_fault_while_it_is_there_and_until_it_is_cleared() -> None:
    robot = Robot()
    robot.filter.other_publishers(["/joystick", "/teach_pendant"])
    assert robot.states(1, torque=5.0).mode is Mode.DAMPING
    standing = "another node commands the robot: /joystick, /teach_pendant"
    assert robot.filter.clear_fault(robot.now) == standing
    robot.filter.activate(robot.now)
    assert robot.states(1, torque=5.0).mode is Mode.DAMPING
    robot.filter.other_publishers([])
    assert robot.states(1, torque=5.0).mode is Mode.DAMPING
    assert robot.filter.clear_fault(robot.now) == ""
    assert robot.states(1, torque=5.0).mode is Mode.TRACKING


def test_states_slower_than_half_the_policys_rate_are_a_fault() -> None:
    robot = Robot()
    for _ in range(25):
        robot.now += 0.023  # 40 Hz for a policy of 100 Hz
        command = robot.state()
    assert command is not None
    assert command.mode is not Mode.TRACKING
    assert "Hz" in robot.filter.clear_fault(robot.now)


@pytest.mark.parametrize("before", [5, 50])
def test_a_pause_does_not_make_the_states_after_it_slow(before: int) -> None:
    robot = Robot()
    robot.states(before)
    robot.silence(1.0)
    robot.state()
    assert robot.filter.clear_fault(robot.now) == ""
    assert robot.states(50).mode is Mode.TRACKING


def test_states_at_more_than_half_the_policys_rate_are_no_fault() -> None:
    robot = Robot()
    for _ in range(50):
        robot.now += 0.013
        assert robot.states(1).mode is Mode.TRACKING


def test_goals_that_are_not_finite_are_a_fault_at_the_third_in_a_row() -> None:
    robot = Robot()
    for _ in range(2):
        robot.filter.refuse(Fault.NON_FINITE_GOAL, "goals are not finite")
    robot.filter.goal_accepted(robot.now)
    for _ in range(2):
        robot.filter.refuse(Fault.NON_FINITE_GOAL, "goals are not finite")
    assert robot.filter.mode is Mode.TRACKING
    robot.filter.refuse(Fault.NON_FINITE_GOAL, "goals are not finite")
    assert robot.filter.mode is Mode.DAMPING
    assert "goals" in robot.filter.clear_fault(robot.now)


def test_a_goal_that_nobody_renews_is_a_fault_where_a_timeout_is_set() -> None:
    robot = Robot(goal_timeout_s=0.5)
    robot.states(300, torque=None)  # nothing to be renewed
    robot.filter.goal_accepted(robot.now)
    assert robot.states(200, torque=1.0).mode is Mode.TRACKING
    robot.filter.goal_accepted(robot.now)
    assert robot.states(249, torque=1.0).mode is Mode.TRACKING
    assert robot.states(5, torque=1.0).mode is Mode.DAMPING
    assert robot.filter.clear_fault(robot.now) == "no goal arrived within 0.5 s"
    robot.filter.goal_accepted(robot.now)
    assert robot.filter.clear_fault(robot.now) == ""
    assert robot.states(200, torque=1.0).mode is Mode.TRACKING
    robot = Robot()
    robot.filter.goal_accepted(robot.now)
    assert robot.states(1000, torque=1.0).mode is Mode.TRACKING


def test_a_goal_that_grew_old_in_an_emergency_stop_does_not_keep_that_from_being_cleared() -> None:
    robot = Robot(goal_timeout_s=0.1)
    robot.filter.goal_accepted(robot.now)
    robot.states(10, torque=1.0)
    robot.filter.emergency_stop(True)
    robot.states(300, torque=None)
    robot.filter.emergency_stop(False)
    assert robot.filter.clear_fault(robot.now) == ""
    robot.states(1, torque=1.0)
    assert set(robot.filter.faults) == {Fault.GOAL_TIMEOUT}


def test_another_policys_lower_limits_are_reached_within_the_slew_limit() -> None:
    robot = Robot()
    robot.states(100, torque=30.0)
    lower = dataclasses.replace(SPEC, torque_limit=(3.0, 2.0, 1.0))
    before = robot.states(1, torque=30.0).torque
    robot.filter.replace_limits(JointLimits.of(lower, SafetyConfig()), 100.0)
    after = robot.states(1, torque=30.0).torque
    assert (np.abs(after - before) <= 1000.0 * DT + 1e-9).all()
    np.testing.assert_array_equal(robot.states(100, torque=30.0).torque, [3.0, 2.0, 1.0])


def test_interventions_are_counted() -> None:
    robot = Robot()
    robot.states(5, torque=None)
    assert robot.filter.interventions[Intervention.NO_GOAL] == 5


# ---- configuration -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["torque_limit", "safe_torque"])
def test_a_per_joint_parameter_of_another_length_is_refused(name: str) -> None:
    with pytest.raises(
        ConfigurationError, match=rf"parameter {name} must have one value for each"
    ):
        JointLimits.of(SPEC, SafetyConfig(**{name: (1.0, 2.0)}))


def test_a_safe_torque_beyond_the_limit_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="parameter safe_torque must stay within"):
        JointLimits.of(SPEC, SafetyConfig(safe_torque=(0.0, 0.0, 11.0)))
