# SPDX-License-Identifier: Apache-2.0
"""Goals: which ones are taken, and where one is that moves, between its messages and after."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sac_ros.policy.control_loop import ControlLoop
from sac_ros.policy.goals import FASTEST, STREAM_TIMEOUT, MovingGoal, check_goal
from sac_ros.policy.runtime import Policy
from sac_ros.policy.safety_config import SafetyConfig
from sac_ros.policy.spec import GoalSpec, OrientationSpec
from sac_ros.utils.errors import GoalError

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


# ---- orientations -------------------------------------------------------------------------------


def quaternion(axis: np.ndarray, angle: float) -> np.ndarray:
    return np.append(np.sin(0.5 * angle) * axis / np.linalg.norm(axis), np.cos(0.5 * angle))


FIELDS = ("x", "y", "z", "qx", "qy", "qz", "qw")
POSE = GoalSpec(
    FIELDS, "m", "base", (-1.0,) * 7, (1.0,) * 7, 0.02, OrientationSpec((0, 0, 0, 1.0), 1.0, 0.1)
)


def goal(angle: float, length: float = 1.0) -> np.ndarray:
    turned = length * quaternion(np.array([0.0, 0.0, 1.0]), angle)
    return np.concatenate((np.zeros(3), turned))


def test_a_quaternion_is_brought_to_length_one() -> None:
    found = check_goal(POSE, "base", goal(0.9, length=1.005))
    np.testing.assert_allclose(found, goal(0.9))
    np.testing.assert_allclose(check_goal(POSE, "base", -goal(0.5)), -goal(0.5))


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (goal(1.1), "goal orientation must be within 57° of the quaternion"),
        (goal(3.0), "172° from it"),
        (goal(0.1, length=0.5), "must be a unit quaternion x y z w"),
        (goal(0.1, length=0.0), "of length 0"),
        (goal(0.1, length=1e300), "must be a unit quaternion"),
    ],
)
def test_an_orientation_that_was_never_trained_is_refused(
    values: np.ndarray, sentence: str
) -> None:
    with pytest.raises(GoalError, match=sentence):
        check_goal(POSE, "base", values)


def test_a_swap_to_a_policy_with_another_kind_of_goal_drops_the_one_that_stands() -> None:
    models = Path(__file__).parents[2] / "models"
    reach, pose = (Policy.load(models / f"iiwa_{task}.onnx") for task in ("reach", "pose"))
    loop = ControlLoop(reach, SafetyConfig())
    loop.set_goal(0.0, reach.spec.goal.frame, np.array([0.5, 0.1, 0.5]))
    loop.swap(1.0, pose)
    assert loop.goal is None
    turned = np.array(pose.spec.goal.orientation.reference)  # type: ignore[union-attr]
    loop.set_goal(2.0, pose.spec.goal.frame, np.concatenate(([0.5, 0.1, 0.5], turned)))
    assert loop.goal is not None
    loop.swap(3.0, reach)
    assert loop.goal is None


def test_the_bounds_themselves_are_goals_and_what_is_beyond_is_refused_by_name() -> None:
    for bound in (-1.0, 1.0):
        np.testing.assert_array_equal(check_goal(SPEC, "base", np.full(3, bound)), bound)
        low_or_high = np.array([0.0, bound * 1.001, 0.0])
        with pytest.raises(GoalError, match="goal y must be within -1 to 1 m"):
            check_goal(SPEC, "base", low_or_high)
        with pytest.raises(GoalError, match="goal y must be within -1 to 1 m"):
            check_goal(POSE, "base", np.append(low_or_high, [0.0, 0.0, 0.0, 1.0]))
    with pytest.raises(GoalError, match="goal must be x, y, z; got 2 numbers"):
        check_goal(SPEC, "base", np.zeros(2))


def test_a_quaternion_of_a_hundredth_more_is_taken_and_one_of_more_is_not() -> None:
    check_goal(POSE, "base", goal(0.2, length=1.0099))
    with pytest.raises(GoalError, match=r"of length 1.02"):
        check_goal(POSE, "base", goal(0.2, length=1.02))
    check_goal(POSE, "base", goal(1.0))  # the whole range
    with pytest.raises(GoalError, match="goal orientation must be within"):
        check_goal(POSE, "base", goal(1.001))


def test_what_was_forgotten_gives_no_velocity() -> None:
    moving = streamed()
    moving.forget()
    assert not moving.streams(1.01)
    moving.take(1.05, np.zeros(3), round(1e9 * 6.05))
    np.testing.assert_array_equal(moving.at(1.06)[1], 0.0)
    assert moving.streams(1.05 + STREAM_TIMEOUT)
    assert not moving.streams(1.05 + STREAM_TIMEOUT + 1e-6)
