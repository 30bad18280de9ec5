# SPDX-License-Identifier: Apache-2.0
"""The pacer keeps time without drifting, and gives up what it cannot catch up."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sac_ros.sim.robot_driver import FixedRateClock


def test_the_first_question_starts_the_clock_and_no_step_is_due() -> None:
    assert FixedRateClock(0.002).steps_due(1234.5) == 0


def test_steps_do_not_drift_over_an_hour_of_jittered_calls() -> None:
    pacer = FixedRateClock(0.002)
    pacer.steps_due(0.0)
    done = sum(pacer.steps_due(0.003 * call) for call in range(1, 1_200_001))
    assert done == 3600.0 / 0.002
    assert pacer.lost == 0.0


def test_a_call_on_the_very_tick_is_not_a_rounding_error_early() -> None:
    pacer = FixedRateClock(0.1)
    pacer.steps_due(0.0)
    assert [pacer.steps_due(tick * 0.1) for tick in range(1, 50)] == [1] * 49


def test_what_is_beyond_the_catch_up_is_lost_once_and_counted() -> None:
    pacer = FixedRateClock(0.01, max_catch_up=5)
    pacer.steps_due(0.0)
    assert pacer.steps_due(1.0) == 5
    assert abs(pacer.lost - 0.95) < 1e-9
    assert pacer.steps_due(1.0) == 0
    assert pacer.steps_due(1.01) == 1


def test_a_clock_that_stands_still_makes_nothing_due() -> None:
    pacer = FixedRateClock(0.01)
    pacer.steps_due(5.0)
    assert [pacer.steps_due(5.0) for _ in range(3)] == [0, 0, 0]


@given(st.lists(st.floats(0.0, 0.5), max_size=50))
def test_time_is_either_stepped_or_counted_as_lost(waits: list[float]) -> None:
    period = 0.01
    pacer = FixedRateClock(period, max_catch_up=7)
    pacer.steps_due(0.0)
    now, done = 0.0, 0
    for wait in waits:
        now += wait
        due = pacer.steps_due(now)
        assert 0 <= due <= 7
        done += due
    assert abs(now - done * period - pacer.lost) <= period * 1.001
