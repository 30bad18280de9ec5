# SPDX-License-Identifier: Apache-2.0
"""The safety filter on the very edge of its rules: what is just allowed, and what is counted."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from tiny_policy import tiny_spec

from sac_ros.policy.safety import SafetyFilter
from sac_ros.policy.safety_config import JointLimits, SafetyConfig
from sac_ros.policy.safety_events import Command, Fault, Intervention, Mode
from sac_ros.utils.errors import ConfigurationError

SPEC = tiny_spec()  # torque limits 30, 20, 10 N·m; ±2.9 rad; 4 rad/s; 100 Hz
REST = np.zeros(3)


def make(**config: Any) -> SafetyFilter:
    """An active filter that has one state, of 10 s."""
    settings = SafetyConfig(**{"soft_start_s": 0.0, **config})
    made = SafetyFilter(JointLimits.of(SPEC, settings), settings, SPEC.control_rate_hz)
    made.accept(10.0, REST, REST)
    made.activate(10.0)
    return made


def play(safety: SafetyFilter, bad: Iterable[bool], start: float = 10.0) -> float:
    """One state every 10 ms, NaN where it is bad; returns when the last one came."""
    now = start
    for each in bad:
        now += 0.01
        safety.accept(now, np.full(3, math.nan) if each else REST, REST)
    return now


def answer(safety: SafetyFilter, now: float, torque: float | None) -> Command:
    safety.accept(now, REST, REST)
    return safety.command(now, None if torque is None else np.full(3, torque))


# ---- states --------------------------------------------------------------------------------


def test_a_state_is_fresh_for_exactly_the_watchdogs_time() -> None:
    safety = make(watchdog_s=0.5)
    assert safety.is_fresh(10.5)
    assert not safety.is_fresh(10.500001)
    assert safety.tick(10.5) is None
    assert safety.faults == {}
    assert safety.tick(10.500001) is not None
    assert safety.faults.keys() == {Fault.WATCHDOG}


def test_exactly_a_fifth_of_bad_states_is_no_fault_and_does_not_keep_one() -> None:
    safety, now = make(), 10.0
    for _ in range(2):
        now = play(safety, [False, False, False, False, True] * 10, now)
        assert safety.faults == {}
        safety.emergency_stop(True)
        safety.emergency_stop(False)
        assert safety.clear_fault(now) == ""
        safety.deactivate()
        safety.activate(now)  # begins to count anew


def test_a_share_is_judged_from_twenty_states_on() -> None:
    pattern = [False, False, False, True]
    safety = make()
    now = play(safety, pattern * 4)
    assert safety.faults == {}, "a quarter of 16"
    now = play(safety, pattern[:-1], now)
    assert safety.faults == {}, "19 states"
    play(safety, [True], now)
    assert safety.faults == {Fault.BAD_MESSAGES: "5 of the last 20 joint states were refused"}


def test_bad_states_of_more_than_a_second_ago_are_forgotten() -> None:
    safety = make()
    now = play(safety, [False, False, False, True] * 5)
    now = play(safety, [False] * 5, now)
    assert safety.clear_fault(now) == "", "a fifth of 25"
    now = play(safety, [False, False, False, True] * 2, now)
    assert Fault.BAD_MESSAGES in safety.faults
    now = play(safety, [False] * 150, now)
    assert safety.clear_fault(now) == ""
    now = play(safety, [True], now)
    assert safety.faults == {}, "one of a hundred"


def test_bad_states_that_go_on_for_more_than_a_second_stay_a_fault() -> None:
    safety = make()
    now = play(safety, [False, False, False, True] * 40)
    now = play(safety, [False], now)
    assert safety.clear_fault(now) == "25 of the last 101 joint states were refused"


def test_the_first_stamp_of_a_driver_excuses_no_jump() -> None:
    safety = make()
    now = play(safety, [False] * 5)
    assert not safety.accept(now + 0.01, np.full(3, 0.5), REST, 1_700_000_000_000_000_000)
    assert safety.problem == "joint shoulder jumps from 0 to 0.5 rad"


def test_every_refused_message_is_counted() -> None:
    safety = make()
    for count in range(1, 5):
        assert not safety.accept(10.0 + 0.01 * count, np.full(3, math.nan), REST)
        assert safety.refusals[Fault.NON_FINITE_STATE] == count
        assert (Fault.NON_FINITE_STATE in safety.faults) is (count >= 3)
    for count in range(1, 4):
        safety.refuse_state(10.1, "joint wrist is missing")
        assert safety.refusals[Fault.JOINT_STATE] == count
    assert safety.faults[Fault.JOINT_STATE] == "joint wrist is missing"
    safety.activate(10.2)
    assert not safety.refusals


def test_a_good_state_ends_what_was_wrong_with_the_one_before() -> None:
    safety = make()
    safety.refuse_state(10.01, "joint wrist is missing")
    assert safety.problem == "joint wrist is missing"
    assert safety.clear_fault(10.01).startswith("the last message was refused")
    safety.accept(10.02, REST, REST)
    assert safety.problem == ""
    assert safety.clear_fault(10.02) == ""


def test_unreadable_messages_count_among_the_bad_states() -> None:
    safety = make()
    now = play(safety, [False] * 20)
    for _ in range(6):
        safety.refuse_state(now, "joint wrist is missing")
    assert safety.faults[Fault.BAD_MESSAGES] == "6 of the last 26 joint states were refused"


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_stamps_tell_how_far_two_states_are_apart(sign: float) -> None:
    # 2 ms between two arrivals, 10 ms between two stamps, by which the arm moves 0.02 rad.
    safety = make()
    verdicts = [
        safety.accept(
            10.0 + 0.002 * i, np.full(3, 0.02 * i), np.full(3, sign * 2.0), 10_000_000 * (i + 1)
        )
        for i in range(10)
    ]
    assert all(verdicts) is (sign > 0.0)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_without_stamps_the_arrivals_tell_how_far_two_states_are_apart(sign: float) -> None:
    safety = make()
    verdicts = [
        safety.accept(10.0 + 0.01 * i, np.full(3, 0.02 * i), np.full(3, sign * 2.0))
        for i in range(10)
    ]
    assert all(verdicts) is (sign > 0.0)


def test_the_third_stamp_that_does_not_advance_is_followed() -> None:
    safety = make()
    stamps = (50, 20, 20, 20, 21)
    taken = [safety.accept(10.01 + 0.01 * i, REST, REST, stamp) for i, stamp in enumerate(stamps)]
    assert taken == [True, False, False, False, True]
    assert safety.faults.keys() == {Fault.STAMP}


def test_states_in_a_burst_after_a_gap_are_no_contradiction() -> None:
    safety = make(watchdog_s=0.5)
    times = [10.0 + 0.01 * i for i in range(20)] + [10.3 + 0.0001 * i for i in range(8)]
    for index, now in enumerate(times):
        assert safety.accept(now, np.full(3, 0.02 * index), np.full(3, 2.0)), index


def test_states_are_judged_by_the_limits_of_the_policy_that_was_swapped_in() -> None:
    safety = make()
    fast = np.array([0.0, 3.0, 0.0])
    assert safety.accept(10.01, REST, fast)
    slower = dataclasses.replace(SPEC, velocity_limit=(1.0, 1.0, 1.0))
    safety.replace_limits(JointLimits.of(slower, SafetyConfig()), 50.0)
    assert not safety.accept(10.02, REST, fast)
    assert safety.problem == "joint elbow has a velocity of 3 rad/s, its limit is 1 rad/s"


# ---- speed ---------------------------------------------------------------------------------


def test_an_arm_may_start_at_a_twentieth_of_its_velocity_limit() -> None:
    safety = make()
    safety.deactivate()
    safety.accept(10.01, REST, np.array([0.0, 0.2, -0.2]))
    assert safety.starting_problem() == ""
    safety.accept(10.02, REST, np.array([0.0, 0.3, -0.5]))
    assert safety.starting_problem() == (
        "joint wrist must be slower than 0.2 rad/s; it moves at -0.5 rad/s"
    )


def test_at_its_velocity_limit_a_joint_is_not_too_fast() -> None:
    safety = make(over_speed_s=0.1)
    for index in range(1, 31):
        now = 10.0 + 0.01 * index
        safety.accept(now, np.array([0.0, 0.04 * index, 0.0]), np.array([0.0, 4.0, 0.0]))
    assert safety.faults == {}


def test_over_speed_is_a_fault_from_over_speed_s_on() -> None:
    safety = make(over_speed_s=0.25, watchdog_s=0.5)
    fast = np.array([0.0, 5.0, 0.0])
    safety.accept(10.25, np.array([0.0, 0.1, 0.0]), fast)
    safety.accept(10.5, np.array([0.0, 0.2, 0.0]), REST)
    safety.accept(10.75, np.array([0.0, 0.3, 0.0]), fast)  # anew
    assert safety.faults == {}
    safety.accept(11.0, np.array([0.0, 0.4, 0.0]), fast)
    assert safety.faults.keys() == {Fault.OVER_SPEED}


def test_over_speed_is_a_fault_at_once_beyond_one_and_a_half_times_the_limit() -> None:
    safety = make()
    for index in range(1, 6):
        place = np.array([0.0, 0.06 * index, 0.0])
        assert safety.accept(10.0 + 0.01 * index, place, np.array([0.0, 6.0, 0.0]))
    assert safety.faults == {}
    assert safety.accept(10.06, np.array([0.0, 0.361, 0.0]), np.array([0.0, 6.1, 0.0]))
    assert safety.faults.keys() == {Fault.OVER_SPEED}


# ---- activation ----------------------------------------------------------------------------


def test_the_end_of_an_activation_leaves_nothing_for_the_next_one() -> None:
    safety = make()
    assert (safety.active, safety.stopping) == (True, False)
    answer(safety, 10.01, 1e6)
    safety.begin_stop()
    assert safety.stopping
    safety.fault(Fault.POLICY_OUTPUT, "once")
    safety.deactivate()
    assert (safety.active, safety.stopping, safety.faults) == (False, False, {})
    safety.fault(Fault.POLICY_OUTPUT, "while inactive")
    assert safety.faults == {}
    safety.activate(10.02)
    assert (safety.active, safety.stopping) == (True, False)
    assert not safety.interventions
    assert answer(safety, 10.03, 1.0).mode is Mode.TRACKING


def test_a_new_filter_is_inactive_and_has_no_problem() -> None:
    config = SafetyConfig(soft_start_s=0.0)
    safety = SafetyFilter(JointLimits.of(SPEC, config), config, 100.0)
    assert (safety.active, safety.stopping, safety.problem) == (False, False, "")
    assert not safety.is_fresh(0.0)
    assert safety.clear_fault(0.0) == "no joint state arrived within 0.05 s"
    assert safety.accept(0.0, REST, REST, stamp_ns=1)
    safety.activate(0.0)
    assert safety.faults == {}
    assert answer(safety, 0.01, 3.0).torque[0] == 3.0


def test_the_first_sentence_of_a_fault_stays() -> None:
    safety = make()
    safety.fault(Fault.POLICY_OUTPUT, "first")
    safety.fault(Fault.POLICY_OUTPUT, "second")
    assert safety.faults == {Fault.POLICY_OUTPUT: "first"}


def test_a_soft_start_ends_with_its_time() -> None:
    safety = make(soft_start_s=0.5, watchdog_s=0.5, slew_limit=1e5)
    safety.accept(10.0, REST, REST)
    shares = []
    for seconds in (0.0, 0.25, 0.5):
        command = answer(safety, 10.0 + seconds, 8.0)
        shares.append((command.torque[0], Intervention.SOFT_START in command.interventions))
    assert shares == [(0.0, True), (4.0, True), (8.0, False)]


# ---- the torque that stands ----------------------------------------------------------------


def test_stopped_with_good_states_an_arm_gets_gravity_and_the_safe_torque_within_its_limits() -> (
    None
):
    safety = make(safe_torque=(2.0, -3.0, 1.0), slew_limit=1e5)
    safety.set_gravity_torque(np.array([5.0, 5.0, 9.5]))
    safety.emergency_stop(True)
    now = play(safety, [False] * 15)
    assert safety.mode is Mode.STOPPED
    command = safety.command(now, np.full(3, 1.0))
    np.testing.assert_array_equal(command.torque, [7.0, 2.0, 10.0])
    assert command.interventions == {Intervention.STOPPED: ()}


def test_the_final_command_is_the_safe_torque_and_time_counts_from_it() -> None:
    safety = make(safe_torque=(2.0, 0.0, 0.0), slew_limit=300.0)
    answer(safety, 10.01, 3.0)
    final = safety.final_command(10.02)
    np.testing.assert_array_equal(final.torque, [2.0, 0.0, 0.0])
    assert final.mode is Mode.TRACKING
    assert final.interventions == {Intervention.STOPPED: ()}
    assert safety.at_rest
    # In 10 ms a tenth of the way to the limits [30, 20, 10]: 2 of 20 N·m at the second joint.
    np.testing.assert_allclose(answer(safety, 10.03, 30.0).torque, [4.8, 2.0, 1.0])


def test_the_ramp_to_the_safe_torque_is_a_stop() -> None:
    safety = make(slew_limit=300.0)
    np.testing.assert_allclose(answer(safety, 10.01, 3.0).torque, [1.0, 1.0, 1.0])
    command = safety.rest(10.015)
    np.testing.assert_allclose(command.torque, [0.5, 0.5, 0.5])
    assert Intervention.STOPPED in command.interventions
    assert safety.rest(10.02).torque.tolist() == [0.0, 0.0, 0.0]


def test_a_time_before_the_last_command_buys_no_slew() -> None:
    safety = make(slew_limit=300.0)
    answer(safety, 10.01, 30.0)
    first = answer(safety, 10.03, 30.0).torque
    np.testing.assert_array_equal(safety.command(10.02, np.full(3, 30.0)).torque, first)
    later = safety.command(10.04, np.full(3, 30.0)).torque
    np.testing.assert_allclose(later - first, [3.0, 2.0, 1.0])
    final = safety.final_command(10.02).torque
    np.testing.assert_array_equal(final, 0.0)
    np.testing.assert_allclose(safety.command(10.05, np.full(3, 30.0)).torque, [3.0, 2.0, 1.0])


def test_what_acts_on_the_whole_arm_names_no_joints() -> None:
    safety = make(soft_start_s=0.5)
    assert answer(safety, 10.01, None).interventions == {Intervention.NO_GOAL: ()}
    assert answer(safety, 10.02, 0.0).interventions == {Intervention.SOFT_START: ()}
    safety.fault(Fault.POLICY_OUTPUT, "once")
    assert answer(safety, 10.03, 0.0).interventions == {Intervention.DAMPING: ()}
    now = play(safety, [False] * 12, 10.03)
    assert answer(safety, now, 0.0).interventions == {Intervention.STOPPED: ()}


def test_a_soft_start_gives_up_as_much_damping_as_it_takes_on_of_the_policy() -> None:
    safety = make(soft_start_s=0.4, slew_limit=1e5)
    damping = -np.array(SPEC.stop_damping)  # at 1 rad/s
    for index, share in enumerate((0.0, 0.025, 0.05, 0.075, 0.1)):
        now = 10.0 + 0.01 * (index + 1)
        safety.accept(now, np.full(3, 0.01 * (index + 1)), np.ones(3))
        torque = safety.command(now, np.full(3, 8.0)).torque
        np.testing.assert_allclose(torque, (1.0 - share) * damping + share * 8.0, atol=1e-9)


def test_a_joint_whose_gravity_and_damping_are_beyond_its_limit_is_named() -> None:
    safety = make(slew_limit=1e5)
    safety.accept(10.01, np.full(3, -0.01), np.full(3, -1.0))
    safety.set_gravity_torque(np.array([0.0, 0.0, 9.5]))
    command = safety.command(10.01, None)  # the damping adds 0.625 N·m
    assert command.torque[2] == 10.0
    assert command.interventions == {Intervention.NO_GOAL: (), Intervention.CLAMP: (2,)}


def test_a_safe_torque_may_be_as_large_as_the_torque_limit() -> None:
    config = SafetyConfig(safe_torque=(30.0, -20.0, 10.0))
    assert JointLimits.of(SPEC, config).safe_torque.tolist() == [30.0, -20.0, 10.0]


@pytest.mark.parametrize("name", ["torque_limit", "brake_limit", "safe_torque"])
def test_a_list_of_another_length_is_refused_by_its_name(name: str) -> None:
    config = SafetyConfig(**{name: (1.0, 2.0)})
    with pytest.raises(ConfigurationError, match=f"^parameter {name} must have one value for"):
        JointLimits.of(SPEC, config)
