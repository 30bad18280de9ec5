# SPDX-License-Identifier: Apache-2.0
"""The policy runs at the rate it was trained at, whatever the rate of the states."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sac_ros.policy.schedule import ArrivalRate, Decimator, SoftSetting, next_tick


@pytest.mark.parametrize("state_hz", [60, 75, 100, 125, 500, 1000])
@pytest.mark.parametrize("jitter", [0.0, 0.3])
def test_the_mean_rate_is_the_policys(state_hz: float, jitter: float) -> None:
    decimator, rate = Decimator(60.0), ArrivalRate()
    noise = np.random.default_rng(0).uniform(-jitter, jitter, 10 * state_hz) / state_hz
    times = np.arange(10 * state_hz) / state_hz + noise
    count = 0
    for time in times:
        rate.arrived(time)
        count += decimator.due(time, rate.interval_s)
    assert count == pytest.approx(600, rel=0.01)


def test_slower_states_are_all_answered() -> None:
    decimator = Decimator(100.0)
    assert all(decimator.due(i / 70.0, 1 / 70.0) for i in range(200))


def test_a_gap_is_not_caught_up_with_a_burst() -> None:
    decimator = Decimator(100.0)
    answered = [decimator.due(t, 0.002) for t in (0.0, 5.0, 5.002, 5.004, 5.006, 5.008, 5.01)]
    assert answered == [True, True, False, False, False, False, True]


def test_a_clock_that_steps_back_makes_the_next_state_due() -> None:
    decimator = Decimator(100.0)
    decimator.due(1000.0, 0.002)
    assert decimator.due(1.0, 0.002)


def test_the_arrival_rate_follows_the_states() -> None:
    rate = ArrivalRate()
    for i in range(30):
        rate.arrived(i / 500)
    assert rate.settled
    assert rate.hz == pytest.approx(500)
    rate.reset()
    assert not rate.settled
    assert rate.hz == 0.0


@given(st.floats(0.0005, 0.0072), st.floats(-1.0, 1.0))
def test_what_is_due_next_is_known_one_state_ahead(interval: float, start: float) -> None:
    decimator = Decimator(100.0)
    times = [start + k * interval for k in range(100)]
    decimator.due(times[0], interval)
    ahead = []
    for time, after in zip(times[1:], times[2:], strict=False):
        decimator.due(time, interval)
        told = decimator.next_is_due(time, interval)
        due = copy.copy(decimator).due(after, interval)
        from_edge = (after - start + 0.5 * interval + 1e-9) % 0.01
        if from_edge > 2e-9:  # on the very edge the last bit decides
            ahead.append((told, due))
    assert all(told == due for told, due in ahead)


def test_where_every_state_is_due_nothing_is_told_ahead() -> None:
    decimator = Decimator(100.0)
    assert not decimator.next_is_due(0.0, 0.01), "nothing came yet"
    decimator.due(0.0, 0.01)
    assert not decimator.next_is_due(0.0, 0.01)


def test_the_arrival_rate_is_the_mean_of_the_first_intervals_then_a_running_one() -> None:
    rate = ArrivalRate()
    assert rate.hz == 0.0
    rate.arrived(0.0)
    assert rate.hz == 0.0, "one arrival is no interval"
    rate.arrived(1.0)
    rate.arrived(4.0)
    assert rate.interval_s == pytest.approx(2.0)
    rate.reset()
    for second in range(21):
        assert not rate.settled
        rate.arrived(float(second))
    assert rate.settled
    rate.arrived(20.0 + 21.0)
    assert rate.interval_s == pytest.approx(2.0), "an interval counts a twentieth"


def test_a_forgotten_rate_takes_as_long_to_settle_as_a_new_one() -> None:
    rate = ArrivalRate()
    for second in range(30):
        rate.arrived(float(second))
    rate.reset()
    for second in range(100, 120):
        rate.arrived(float(second))
        assert not rate.settled
    rate.arrived(120.0)
    assert rate.settled


@pytest.mark.parametrize(("late", "following"), [(2.0, 2.0), (2.5, 4.5)])
def test_only_a_state_more_than_two_periods_late_begins_a_new_grid(
    late: float, following: float
) -> None:
    decimator = Decimator(1.0)
    assert decimator.due(0.0, 0.5)
    assert decimator.due(1.0 + late, 0.5)
    assert not decimator.due(following - 0.26, 0.5)
    assert decimator.due(following - 0.25, 0.5)


def test_a_state_is_on_time_up_to_half_an_interval_early() -> None:
    decimator = Decimator(1.0)
    decimator.due(0.0, 0.5)
    assert not decimator.due(0.74, 0.5)
    assert decimator.due(0.75, 0.5)


def test_the_next_state_is_due_from_one_and_a_half_intervals_before_it() -> None:
    decimator = Decimator(1.0)
    decimator.due(0.0, 0.5)
    assert not decimator.next_is_due(0.24, 0.5)
    assert decimator.next_is_due(0.25, 0.5)
    assert decimator.next_is_due(0.0, 0.75), "three quarters of a period are not too slow"
    assert not decimator.next_is_due(0.0, 0.76)


def test_the_time_is_looked_at_when_a_deadline_passes_and_not_at_one_that_has_passed() -> None:
    assert next_tick(1.0, 0.1) == 1.1
    assert next_tick(1.0, 0.1, 1.05, 1.02) == pytest.approx(1.02, abs=1e-5)
    assert next_tick(1.0, 0.1, 0.99, 1.2) == 1.1


def test_a_deadline_that_passes_now_is_not_looked_at_again() -> None:
    just_past = next_tick(0.0, 1.0, 0.0)
    assert next_tick(just_past, 1.0, 0.0) == just_past + 1.0


def test_a_number_that_rises_does_so_until_it_is_there() -> None:
    number = SoftSetting(0.0)
    number.set(1.0, 0.0, 2.0)
    assert number.rising(1.0)
    assert not number.rising(2.0)
