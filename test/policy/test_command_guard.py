# SPDX-License-Identifier: Apache-2.0
"""The command guard with a clock of its own: what it forwards, and what it does in silence."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from sac_ros.policy.command_guard import CommandGuard, CommandGuardConfig
from sac_ros.policy.controlled_stop import RAMP_PERIOD_S
from sac_ros.policy.safety_events import Command, Fault, Mode
from sac_ros.robots.arm import load_arm
from sac_ros.sim.backend import make_backend

ARM = load_arm("iiwa")
N = ARM.joints
PERIOD = 0.002  # s
SMALL = np.array([1.0, -2.0, 0.5, 0.5, 0.1, -0.1, 0.0])  # N·m


class Robot:
    """A simulated arm behind the guard: a state every 2 ms, a command every 4 ms."""

    def __init__(self, world: str = "bullet", gravity: str = "robot", **config: Any) -> None:
        self.backend = make_backend(world, ARM, gravity=gravity == "policy")
        self.guard = CommandGuard(ARM, CommandGuardConfig(**config), gravity)
        self.now, self.torque, self.published = 5.0, np.zeros(N), 0
        self.backend.reset(ARM.home)
        self.row = np.array(self.backend.read())

    def run(self, seconds: float, command: Any = None) -> list[Command]:
        """The commands that reach the arm while ``command`` [n] comes, or none."""
        found = []
        for step in range(round(seconds / PERIOD)):
            self.now += PERIOD
            given = [self.guard.state(self.now, self.row[:N], self.row[N : 2 * N])]
            if command is not None and step % 2 == 0:
                given.append(self.guard.command(self.now, np.array(command)))
            if step % 5 == 0:
                given.append(self.guard.tick(self.now))
            for each in given:
                if each is not None:
                    self.torque = each.torque
                    found.append(each)
            self.backend.step(self.torque.tolist(), 1)
            self.row = np.array(self.backend.read())
        return found

    @property
    def end_effector(self) -> np.ndarray:
        return self.row[2 * N : 2 * N + 3]


def test_what_is_within_the_limits_is_forwarded_as_it_is() -> None:
    found = Robot().run(0.1, SMALL)[-1]
    np.testing.assert_array_equal(found.torque, SMALL)
    assert found.interventions == {}


def test_without_a_joint_state_nothing_is_forwarded() -> None:
    guard = CommandGuard(ARM, CommandGuardConfig(), "robot")
    assert guard.command(5.0, SMALL) is None


def test_a_torque_beyond_the_limits_is_clamped_and_slewed() -> None:
    robot = Robot(torque_limit=(5.0,) * N)
    wanted = np.array([1e6, -1e6, 0.0, 0.0, 0.0, 0.0, 0.0])
    first = robot.run(PERIOD, wanted)[-1].torque
    assert np.all(np.abs(first) <= 2000.0 * PERIOD * ARM.torque_limit / ARM.torque_limit.max())
    found = robot.run(0.02, wanted)[-1].torque
    np.testing.assert_array_equal(found[:2], [5.0, -5.0])


@pytest.mark.parametrize("world", ["bullet", "mujoco"])
def test_when_commands_end_in_a_motion_the_arm_is_stopped(world: str) -> None:
    robot = Robot(world)
    robot.run(0.3, [12.0, 8.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    start, speed = robot.end_effector, np.abs(robot.row[N : 2 * N]).max()
    assert speed > 0.5
    found = robot.run(0.7)
    assert np.linalg.norm(robot.end_effector - start) < 0.2
    assert np.abs(robot.row[N : 2 * N]).max() < 0.01
    assert found[-1].mode is Mode.STOPPED
    np.testing.assert_array_equal(found[-1].torque, 0.0)
    braking = [each.torque for each in found if each.mode is Mode.DAMPING]
    assert np.all(np.abs(braking) <= robot.guard.safety.limits.stop)
    assert "no command arrived within 0.05 s" in robot.guard.safety.faults[Fault.COMMAND]


def test_the_end_of_an_activation_is_no_fault_and_the_next_one_is_forwarded() -> None:
    robot = Robot()
    robot.run(0.1, np.zeros(N))
    assert robot.run(0.3) == [] or robot.guard.safety.faults == {}
    assert not robot.guard.safety.active
    robot.run(0.1, SMALL)
    np.testing.assert_array_equal(robot.torque, SMALL)


def test_silence_over_a_moving_arm_is_a_fault_even_after_zero_torque() -> None:
    robot = Robot()
    robot.run(0.2, [8.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    robot.run(0.02, np.zeros(N))
    robot.run(0.5)
    assert Fault.COMMAND in robot.guard.safety.faults
    assert np.abs(robot.row[N : 2 * N]).max() < 0.01


def test_after_a_stop_commands_are_forwarded_only_once_it_is_cleared() -> None:
    robot = Robot()
    robot.run(0.2, SMALL)
    robot.run(0.6)
    robot.run(0.2, SMALL)
    np.testing.assert_array_equal(robot.torque, 0.0)
    assert robot.guard.clear_fault(robot.now) == ""
    robot.run(0.1, SMALL)
    np.testing.assert_array_equal(robot.torque, SMALL)


def test_a_cleared_stop_in_silence_waits_for_the_next_command() -> None:
    robot = Robot()
    robot.run(0.2, SMALL)
    robot.run(0.06)
    assert robot.guard.clear_fault(robot.now) == "the arm has not come to rest"
    robot.run(0.6)
    assert robot.guard.clear_fault(robot.now) == ""
    assert robot.run(0.2) == []
    robot.run(0.1, SMALL)
    np.testing.assert_array_equal(robot.torque, SMALL)


def test_a_command_that_is_not_finite_or_cannot_be_read_stops_the_arm() -> None:
    for wrong in ("nan", "unreadable"):
        robot = Robot()
        robot.run(0.2, SMALL)
        if wrong == "nan":
            found = robot.guard.command(robot.now, np.full(N, math.nan))
        else:
            found = robot.guard.refuse_command(robot.now, "a command must have 7 values; got 3")
        assert found is not None
        assert found.mode is Mode.DAMPING
        robot.run(0.6, SMALL)
        np.testing.assert_array_equal(robot.torque, 0.0)
        assert np.abs(robot.row[N : 2 * N]).max() < 0.01


def test_an_arm_that_the_commands_carry_is_held_when_they_end() -> None:
    robot = Robot(gravity="policy")
    held = ARM.gravity_torque(ARM.home)
    robot.guard.state(robot.now, ARM.home, np.zeros(N))
    for _ in range(100):  # behind brakes
        robot.now += PERIOD
        robot.guard.state(robot.now, ARM.home, np.zeros(N))
        command = robot.guard.command(robot.now, held)
    assert command is not None
    robot.torque = command.torque
    robot.run(0.1, held)
    robot.run(1.0)
    assert np.abs(robot.row[:N] - ARM.home).max() < 0.05


def test_a_stop_begins_in_the_moment_that_a_command_is_missed() -> None:
    robot = Robot()
    robot.run(0.1, SMALL)
    guard, state_came = robot.guard, robot.now
    command_came = robot.now - PERIOD
    now = robot.now + 0.0013  # of a tick
    for _ in range(1000):
        if guard.safety.faults:
            break
        now = guard.next_tick(now)
        while state_came + PERIOD < now:
            state_came += PERIOD
            guard.state(state_came, robot.row[:N], robot.row[N : 2 * N])
        guard.tick(now)
    assert list(guard.safety.faults) == [Fault.COMMAND]
    assert now - command_came == pytest.approx(0.05, abs=1e-5)


def test_the_stamps_of_the_joint_states_are_judged() -> None:
    robot = Robot()
    robot.run(0.1, SMALL)
    for _ in range(3):
        robot.now += PERIOD
        robot.guard.state(robot.now, robot.row[:N], robot.row[N : 2 * N], stamp_ns=10**18)
    robot.guard.state(robot.now, robot.row[:N], robot.row[N : 2 * N], stamp_ns=10**18)
    assert list(robot.guard.safety.faults) == [Fault.STAMP]


def test_a_refused_state_is_answered_in_a_stop_and_only_there() -> None:
    robot, wrong = Robot(), np.full(N, math.nan)
    assert robot.guard.state(robot.now, wrong, wrong) is None
    robot.run(0.1, SMALL)
    assert robot.guard.state(robot.now, wrong, wrong) is None  # the last command may stand
    robot.guard.refuse_command(robot.now, "a command must have 7 values; got 3")
    found = robot.guard.state(robot.now, wrong, wrong)
    assert found is not None
    assert found.mode is Mode.DAMPING


def test_a_command_may_be_as_old_as_the_timeout() -> None:
    robot = Robot(command_timeout_s=0.0625, watchdog_s=0.25)  # numbers without rounding
    guard, state = robot.guard, (robot.row[:N], robot.row[N : 2 * N])
    guard.state(64.0, *state)
    guard.command(64.0, SMALL)
    guard.command(64.03125, SMALL)  # the slew limit lets the first one do nothing
    assert guard.tick(64.09375) is None
    assert guard.clear_fault(64.09375) == ""
    assert not guard.safety.faults
    found = guard.tick(64.09376)
    assert found is not None
    assert found.mode is Mode.DAMPING


def test_a_fault_whose_cause_stands_is_not_cleared_while_commands_come() -> None:
    robot = Robot()
    robot.run(0.1, SMALL)
    robot.guard.safety.emergency_stop(True)
    robot.run(0.3, SMALL)
    assert robot.guard.clear_fault(robot.now) == "the emergency stop is engaged"
    robot.guard.safety.emergency_stop(False)
    assert robot.guard.clear_fault(robot.now) == ""
    robot.run(0.1, SMALL)
    np.testing.assert_array_equal(robot.torque, SMALL)


def test_a_guard_that_is_not_active_has_nothing_to_clear_and_nothing_to_stop() -> None:
    robot = Robot()
    assert robot.guard.clear_fault(robot.now) == ""
    robot.guard.begin_stop(robot.now)
    robot.run(0.1, SMALL)
    np.testing.assert_array_equal(robot.torque, SMALL)


def test_a_stop_that_was_asked_for_is_not_begun_anew() -> None:
    robot = Robot()
    robot.run(0.3, [12.0, 8.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    for _ in range(100):
        robot.guard.begin_stop(robot.now)
        found = robot.run(0.01, SMALL)
    assert found == []
    assert not robot.guard.safety.active


def test_the_guard_looks_at_the_time_often_and_in_a_stop_as_often_as_its_ramp_needs() -> None:
    robot = Robot(command_timeout_s=0.4, watchdog_s=0.5)
    robot.run(0.1, SMALL)
    assert robot.guard.next_tick(robot.now) == pytest.approx(robot.now + 0.04)
    robot.guard.begin_stop(robot.now)
    assert robot.guard.next_tick(robot.now) == pytest.approx(robot.now + RAMP_PERIOD_S)


def test_a_robot_that_falls_silent_is_seen_in_that_moment() -> None:
    robot = Robot(command_timeout_s=0.5, watchdog_s=0.06)
    robot.run(0.1, SMALL)
    due = robot.guard.next_tick(robot.now + 0.02)
    assert due == pytest.approx(robot.now + 0.06, abs=1e-5)


def test_in_a_stop_each_state_is_answered_and_ends_the_activation_without_ticks() -> None:
    robot = Robot()
    robot.run(0.1, SMALL)
    moving, still = np.zeros(N), np.zeros(N)
    moving[0] = 0.2
    robot.guard.refuse_command(robot.now, "a command must have 7 values; got 3")
    robot.now += PERIOD
    found = robot.guard.state(robot.now, robot.row[:N], moving)
    robot.now += PERIOD
    found = robot.guard.state(robot.now, robot.row[:N] + PERIOD * moving, moving)
    assert found is not None
    assert found.torque[0] < 0.0  # against the motion
    robot.guard.begin_stop(robot.now)
    for _ in range(500):
        robot.now += PERIOD
        last = robot.guard.state(robot.now, robot.row[:N] + PERIOD * moving, still)
        if not robot.guard.safety.active:
            break
    assert not robot.guard.safety.active
    assert last is not None
    np.testing.assert_array_equal(last.torque, 0.0)


def test_a_silence_that_nobody_has_noticed_yet_needs_no_clearing() -> None:
    robot = Robot(command_timeout_s=0.05, watchdog_s=0.5)
    robot.run(0.1, SMALL)
    assert robot.guard.clear_fault(robot.now + 0.1) == ""
    assert robot.guard.safety.active
