# SPDX-License-Identifier: Apache-2.0
"""A goal that moves: its velocity from its stamps, its way between two of them, its rest."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sac_ros.policy.goals import FASTEST, STREAM_TIMEOUT, MovingGoal
from sac_ros.policy.spec import GoalSpec

SPEC = GoalSpec(("x", "y", "z"), "m", "base", (-1.0,) * 3, (1.0,) * 3, 0.02)
VELOCITY = np.array([0.3, -0.2, 0.1])


def streamed(rate_hz: float = 20.0, jitter: float = 0.0, stamped: bool = True) -> MovingGoal:
    """Told for a second, each message late by up to `jitter` s; the last one came at 1 s."""
    moving, rng = MovingGoal(SPEC), np.random.default_rng(0)
    for number in range(int(rate_hz) + 1):
        time = number / rate_hz
        late = jitter * rng.random() if number < rate_hz else 0.0
        stamp = round(1e9 * (5.0 + time)) if stamped else 0
        moving.take(time + late, time * VELOCITY, stamp)
    return moving


def test_the_first_goal_stands() -> None:
    moving = MovingGoal(SPEC)
    moving.take(3.0, VELOCITY, 0)
    place, velocity = moving.at(3.2)
    np.testing.assert_array_equal(place, VELOCITY)
    np.testing.assert_array_equal(velocity, 0.0)


@pytest.mark.parametrize("stamped", [True, False])
def test_between_two_messages_it_moves_on_with_the_velocity_of_the_last_two(stamped: bool) -> None:
    place, velocity = streamed(stamped=stamped).at(1.03)
    np.testing.assert_allclose(velocity, VELOCITY, rtol=1e-9)
    np.testing.assert_allclose(place, 1.03 * VELOCITY, rtol=1e-9)


def test_stamps_make_the_velocity_exact_where_messages_come_late() -> None:
    np.testing.assert_allclose(streamed(jitter=0.02).at(1.0)[1], VELOCITY, rtol=1e-6)


def test_after_the_last_message_it_rests_where_it_was_told() -> None:
    place, velocity = streamed().at(1.0 + STREAM_TIMEOUT + 1e-6)
    np.testing.assert_allclose(place, VELOCITY, rtol=1e-9)
    np.testing.assert_array_equal(velocity, 0.0)


def test_a_jump_is_another_goal_and_no_velocity() -> None:
    moving = streamed()
    moving.take(1.05, np.array([0.9, 0.9, 0.9]), round(1e9 * 6.05))
    place, velocity = moving.at(1.06)
    np.testing.assert_array_equal(place, 0.9)
    np.testing.assert_array_equal(velocity, 0.0)


@pytest.mark.parametrize("stamp", [round(1e9 * 6.0), round(1e9 * 5.5), 1])
def test_a_stamp_that_does_not_go_on_gives_no_velocity(stamp: int) -> None:
    moving = streamed()
    moving.take(1.05, 1.05 * VELOCITY, stamp)
    np.testing.assert_array_equal(moving.at(1.05)[1], 0.0)


@given(
    st.lists(
        st.tuples(
            st.floats(0.0, 0.3), st.floats(-1.0, 1.0), st.integers(0, 10**10), st.floats(0.0, 0.5)
        ),
        min_size=1,
    )
)
def test_whatever_is_told_it_stays_in_the_box_and_below_the_fastest(
    told: list[tuple[float, float, int, float]],
) -> None:
    moving, now = MovingGoal(SPEC), 0.0
    for wait, value, stamp, later in told:
        now += wait
        moving.take(now, np.full(3, value), stamp)
        place, velocity = moving.at(now + later)
        assert np.all(np.abs(place) <= 1.0)
        assert np.linalg.norm(velocity) <= FASTEST * (1 + 1e-9)
