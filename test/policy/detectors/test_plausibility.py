# SPDX-License-Identifier: Apache-2.0
"""Which joint states are believed: each rule, and that no motion within the limits breaks one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_policy import tiny_spec

from sac_ros.policy.detectors.plausibility import PlausibleStates
from sac_ros.policy.safety_config import JointLimits, SafetyConfig

LIMITS = JointLimits.of(tiny_spec(), SafetyConfig())  # ±2.9 rad, 4 rad/s
STEP = 0.002  # s


class Encoder:
    """Joint states of a motion, judged one after the other."""

    def __init__(self) -> None:
        self.judge = PlausibleStates(LIMITS)
        self.now, self.position = 5.0, np.zeros(3)

    def state(self, position: np.ndarray, velocity: np.ndarray, step: float = STEP) -> str:
        self.now += step
        return self.judge.problem(self.now, step, STEP, position, velocity)

    def move(self, velocity: list[float], seconds: float, reported: float = 1.0) -> str:
        """The first problem of a motion, whose velocity is reported times a factor."""
        for _ in range(round(seconds / STEP)):
            self.position = self.position + STEP * np.array(velocity)
            if problem := self.state(self.position, reported * np.array(velocity)):
                return problem
        return ""


@settings(deadline=None)  # the machine may be busy
@given(
    amplitude=st.floats(0.0, 2.8),
    speed=st.floats(0.0, 5.5),
    phase=st.floats(0.0, 6.3),
    step=st.sampled_from([0.001, 0.002, 0.01]),
    lag=st.sampled_from([0.0, 0.002]),
    noise=st.sampled_from([0.0, 0.0005]),
)
def test_a_motion_within_the_limits_is_believed(
    amplitude: float, speed: float, phase: float, step: float, lag: float, noise: float
) -> None:
    encoder, rng = Encoder(), np.random.default_rng(0)
    rate = min(speed / max(amplitude, 0.1), 10.0)  # rad/s of the sine
    for index in range(300):
        angle = rate * step * index + phase
        position = amplitude * np.sin(angle) + noise * rng.normal(size=3)
        velocity = np.full(3, amplitude * rate * np.cos(angle - rate * lag))
        assert encoder.state(position, velocity, step) == ""


def test_a_position_beyond_its_limit_is_not_believed() -> None:
    assert Encoder().state(np.array([0.0, 2.91, 0.0]), np.zeros(3)) == ""
    problem = Encoder().state(np.array([0.0, 2.93, 0.0]), np.zeros(3))
    assert problem == "joint elbow is at 2.93 rad, beyond its limit"


def test_a_velocity_far_above_its_limit_is_not_believed() -> None:
    problem = Encoder().state(np.zeros(3), np.array([0.0, 0.0, -100.0]))
    assert problem == "joint wrist has a velocity of -100 rad/s, its limit is 4 rad/s"


def test_a_velocity_above_its_limit_is_believed_where_the_positions_confirm_it() -> None:
    encoder = Encoder()
    assert encoder.move([0.0, 3.0, 0.0], 0.1) == ""
    assert encoder.move([0.0, 7.0, 0.0], 0.1) == ""
    assert encoder.state(encoder.position, np.array([0.0, 7.0, 0.0])).startswith("joint elbow has")


def test_what_the_arm_moves_while_it_is_not_believed_confirms_no_velocity() -> None:
    encoder = Encoder()
    assert encoder.move([0.0, 0.02, 0.0], 0.1) == ""
    for _ in range(500):  # as far as 7 rad/s would move it in one step, in half a second
        encoder.position = encoder.position + np.array([0.0, 0.02 * STEP, 0.0])
        assert encoder.state(encoder.position, np.array([0.0, 7.0, 0.0])) != ""


def test_a_jump_is_not_believed_and_the_state_before_it_stays() -> None:
    encoder = Encoder()
    assert encoder.move([0.1, 0.0, 0.0], 0.1) == ""
    there = encoder.position + np.array([0.0, 0.5, 0.0])
    assert encoder.state(there, np.zeros(3)) == "joint elbow jumps from 0 to 0.5 rad"
    assert encoder.move([0.1, 0.0, 0.0], 0.1) == ""


def test_two_robots_on_one_topic_are_not_believed() -> None:
    encoder = Encoder()
    problems = [encoder.state(np.full(3, 0.3 * (i % 2)), np.zeros(3)) for i in range(10)]
    assert any("jumps" in problem for problem in problems)


@pytest.mark.parametrize("reported", [-1.0, 0.0, 2.0])
def test_velocities_that_contradict_the_positions_are_not_believed(reported: float) -> None:
    problem = Encoder().move([0.0, 2.0, 0.0], 0.2, reported)
    assert problem.startswith("joint elbow has a velocity of")
    assert problem.endswith("that its positions contradict")


def test_frozen_positions_at_speed_are_not_believed_and_a_resting_arm_is() -> None:
    encoder = Encoder()
    still = np.array([0.1, 0.2, 0.3])
    assert {encoder.state(still, np.zeros(3)) for _ in range(500)} == {""}
    problems = [encoder.state(still, np.array([0.0, 0.21, 0.0])) for _ in range(50)]
    assert problems[-1] == "joint elbow stands at 0.2 rad with a velocity of 0.21 rad/s"


def test_a_gap_and_a_clock_at_another_rate_are_no_contradiction() -> None:
    encoder = Encoder()
    assert encoder.move([3.0, 0.0, 0.0], 0.2) == ""
    encoder.position = encoder.position + np.array([0.6, 0.0, 0.0])  # 0.2 s later
    assert encoder.state(encoder.position, np.array([3.0, 0.0, 0.0]), 0.2) == ""
    assert encoder.move([3.0, 0.0, 0.0], 0.2) == ""


def judged(*states: tuple[float, float, float], interval: float = STEP) -> list[str]:
    """The verdicts on (s since the state before, rad, rad/s) of the elbow, from time 0 on."""
    judge, now, verdicts = PlausibleStates(LIMITS), 0.0, []
    for step, position, velocity in states:
        now += step
        found = judge.problem(
            now, step, interval, np.array([0.0, position, 0.0]), np.array([0.0, velocity, 0.0])
        )
        verdicts.append(found.removeprefix("joint elbow "))
    return verdicts


@pytest.mark.parametrize(("position", "believed"), [(2.9 + 0.02, True), (2.9201, False)])
@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_a_position_may_be_two_hundredths_beyond_its_limit(
    position: float, believed: bool, side: float
) -> None:
    assert (judged((0.0, side * position, 0.0)) == [""]) is believed


@pytest.mark.parametrize(("velocity", "believed"), [(6.0, True), (6.01, False), (-6.01, False)])
def test_up_to_one_and_a_half_times_its_limit_a_velocity_needs_no_confirmation(
    velocity: float, believed: bool
) -> None:
    assert (judged((0.0, 0.0, velocity)) == [""]) is believed


@pytest.mark.parametrize(
    ("change", "believed"), [(0.0131, True), (0.0129, False), (0.0269, True), (0.0271, False)]
)
def test_positions_confirm_a_velocity_to_three_tenths_and_a_thousandth(
    change: float, believed: bool
) -> None:
    _, verdict = judged((0.0, 0.0, 0.0), (0.002, change, 10.0))  # 0.02 rad by the velocity
    assert (verdict == "") is believed
    assert believed or verdict == "has a velocity of 10 rad/s, its limit is 4 rad/s"


def test_positions_confirm_a_velocity_over_the_usual_interval_where_no_step_is_known() -> None:
    states = (0.0, 0.0, 0.0), (0.0, 0.02, 10.0)
    assert judged(*states, interval=0.002) == ["", ""]
    assert judged(*states, interval=0.0) != ["", ""]


@pytest.mark.parametrize(("velocity", "believed"), [(16.0, True), (16.1, False), (-16.1, False)])
def test_nothing_confirms_four_times_the_velocity_limit(velocity: float, believed: bool) -> None:
    _, verdict = judged((0.0, 0.0, 0.0), (0.002, 0.002 * velocity, velocity))
    assert (verdict == "") is believed


@pytest.mark.parametrize(
    ("step", "interval", "change", "believed"),
    [
        (0.002, 0.002, 0.0419, True),
        (0.002, 0.002, -0.0421, False),
        (0.0001, 0.002, 0.0419, True),  # two messages at once
        (0.0001, 0.002, 0.0421, False),
        (0.002, 0.0, 0.0419, True),  # no rate is known yet
        (0.002, 0.0, 0.0421, False),
    ],
)
def test_a_position_changes_by_four_times_the_velocity_limit_and_a_hundredth_at_most(
    step: float, interval: float, change: float, believed: bool
) -> None:
    _, verdict = judged((0.0, 0.0, 0.0), (step, change, 0.0), interval=interval)
    assert (verdict == "") is believed
    assert believed or verdict == f"jumps from 0 to {change:g} rad"


@pytest.mark.parametrize(("second", "believed"), [(0.0107, True), (0.0109, False)])
@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_positions_may_differ_from_the_velocities_by_a_tenth_of_the_limit_for_a_tenth_of_a_second(
    second: float, believed: bool, side: float
) -> None:
    # 0.04 rad · (1 - 0.002 s / 0.1 s) + the second change, against 0.05 rad
    *_, verdict = judged(
        (0.0, 0.0, 0.0), (0.002, side * 0.04, 0.0), (0.002, side * (0.04 + second), 0.0)
    )
    assert (verdict == "") is believed


@pytest.mark.parametrize(("second", "believed"), [(0.0250, True), (0.0265, False)])
def test_what_contradicted_once_is_forgotten_over_a_tenth_of_a_second(
    second: float, believed: bool
) -> None:
    pause = [(0.002, 0.04, 0.0)] * 25  # 0.04 rad · 0.98^25 = 0.0241 rad are left
    *_, verdict = judged((0.0, 0.0, 0.0), (0.002, 0.04, 0.0), *pause, (0.002, 0.04 + second, 0.0))
    assert (verdict == "") is believed


@pytest.mark.parametrize(("step", "believed"), [(0.05, False), (0.0501, True)])
def test_states_more_than_50_ms_apart_contradict_nothing(step: float, believed: bool) -> None:
    assert (judged((0.0, 0.0, 0.0), (step, 0.051, 0.0)) == ["", ""]) is believed


@pytest.mark.parametrize(("velocity", "believed"), [(0.2, False), (-0.2, False), (0.199, True)])
def test_positions_that_stand_are_believed_below_a_twentieth_of_the_velocity_limit(
    velocity: float, believed: bool
) -> None:
    verdicts = judged((0.0, 0.5, velocity), *[(1 / 64, 0.5, velocity)] * 5)
    assert verdicts[:4] == [""] * 4, "three steps are 47 ms"
    stands = f"stands at 0.5 rad with a velocity of {velocity:g} rad/s"
    assert verdicts[4:] == ([""] * 2 if believed else [stands] * 2)


def test_positions_may_stand_for_50_ms_each_time_they_have_changed() -> None:
    assert judged((0.0, 0.5, 0.3), (0.05, 0.5, 0.3)) == ["", ""]
    still = [(1 / 64, 0.5, 0.3)] * 3
    moved = [(1 / 64, 0.501, 0.3)] * 4
    verdicts = judged((0.0, 0.5, 0.3), *still, *moved, (1 / 64, 0.501, 0.3))
    assert verdicts[:-1] == [""] * 8
    assert verdicts[-1].startswith("stands at 0.501 rad")


def test_after_a_refused_state_a_velocity_is_judged_over_the_time_since_the_one_before() -> None:
    encoder = Encoder()
    assert encoder.move([0.0, 3.0, 0.0], 0.1) == ""
    assert encoder.move([0.0, 7.0, 0.0], 0.1) == ""
    assert encoder.state(np.array([0.0, 50.0, 0.0]), np.zeros(3)) != ""
    encoder.position = encoder.position + np.array([0.0, 2.0 * STEP * 7.0, 0.0])
    assert encoder.state(encoder.position, np.array([0.0, 7.0, 0.0])) == ""


@pytest.mark.parametrize(("change", "believed"), [(0.1, True), (0.18, False)])
def test_a_position_may_change_by_what_the_stamps_allow_where_messages_come_at_once(
    change: float, believed: bool
) -> None:
    judge = PlausibleStates(LIMITS)
    assert judge.problem(5.0, 0.0, STEP, np.zeros(3), np.zeros(3)) == ""
    moved = np.array([0.0, change, 0.0])
    assert (judge.problem(5.001, 0.01, STEP, moved, 100.0 * moved) == "") is believed
