# SPDX-License-Identifier: Apache-2.0
"""What each guard makes of a torque, in numbers worked out by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from sac_ros.policy import guards
from sac_ros.policy.safety_config import Array, JointLimits

LIMITS = JointLimits(
    joint_names=("shoulder", "elbow"),
    torque=np.array([10.0, 5.0]),
    slew=np.array([1000.0, 500.0]),
    position=np.array([[-1.0, 1.0], [-2.0, 0.5]]),
    velocity=np.array([2.0, 3.0]),
    stop_damping=np.array([1.0, 0.5]),
    brake=np.array([4.0, 2.0]),
    stop=np.array([4.0, 2.0]),
    safe_torque=np.zeros(2),
    mass_matrix=lambda q: np.array([[2.0, 0.5], [0.5, 1.0]]),
)
HOME = np.array([0.0, -1.0])  # far from every limit
REST = np.zeros(2)


def vector(*values: float) -> Array:
    return np.array(values)


@pytest.mark.parametrize(
    ("velocity", "torque"),
    [
        (
            (0.1, -0.05),
            (-2.1875, 0.0),
        ),  # -(2 · 0.1 - 0.5 · 0.05) / 0.08, -(0.5 · 0.1 - 0.05) / 0.08
        ((0.1, 0.1), (-3.125, -1.875)),
        ((1.0, 1.0), (-4.0, -2.0)),
        ((-1.0, -1.0), (4.0, 2.0)),
    ],
)
def test_the_controlled_stop_is_the_momentum_over_80_ms_within_the_brake_limit(
    velocity: tuple[float, ...], torque: tuple[float, ...]
) -> None:
    found = guards.braking_torque(HOME, vector(*velocity), LIMITS)
    np.testing.assert_allclose(found, torque, atol=1e-12)


@pytest.mark.parametrize(("left", "rate"), [(0.2, 12.5), (0.02, 25.0), (0.0, 40.0), (-0.1, 40.0)])
def test_a_joint_that_cannot_stop_in_time_is_braked_harder_but_not_without_bound(
    left: float, rate: float
) -> None:
    """v² / 2d, from 0.03 rad before the limit; else and at most v times 12.5 and 40 / s."""
    strong = dataclasses.replace(LIMITS, stop=np.array([1e3, 1e3]))
    for side in (-1.0, 1.0):
        position = vector(side * (1.0 - 0.03 - left), -1.0)
        found = guards.braking_torque(position, vector(side * 1.0, 0.0), strong)
        np.testing.assert_allclose(found, -side * rate * vector(2.0, 0.5))
        away = guards.braking_torque(position, vector(side * -0.2, 0.0), strong)
        np.testing.assert_allclose(away, side * 12.5 * 0.2 * vector(2.0, 0.5))


@pytest.mark.parametrize(
    ("velocity", "torque"), [((1.0, -1.0), (-1.0, 0.5)), ((10.0, -10.0), (-4.0, 2.0))]
)
def test_without_a_mass_matrix_the_controlled_stop_is_a_damping(
    velocity: tuple[float, ...], torque: tuple[float, ...]
) -> None:
    limits = dataclasses.replace(LIMITS, mass_matrix=None)
    np.testing.assert_array_equal(guards.braking_torque(HOME, vector(*velocity), limits), torque)


def test_a_torque_up_to_its_limit_passes_the_clamp_untouched() -> None:
    torque = vector(10.0, -5.0)
    assert guards.clamp(torque, LIMITS) is torque
    np.testing.assert_array_equal(guards.clamp(vector(10.5, 1.0), LIMITS), (10.0, 1.0))
    np.testing.assert_array_equal(guards.clamp(vector(-3.0, -7.0), LIMITS), (-3.0, -5.0))


@pytest.mark.parametrize(
    ("position", "torque", "faded"),
    [
        (0.9, 5.0, 2.0),  # 0.1 rad of the margin of 0.25 rad are left
        (0.9, 0.5, 0.2),
        (0.9, -5.0, -5.0),  # away from the limit
        (-0.85, -5.0, -3.0),
        (-0.85, 5.0, 5.0),
        (1.1, 5.0, 0.0),  # beyond the limit
        (1.1, -5.0, -5.0),
        (-1.1, -5.0, 0.0),
        (-1.1, 5.0, 5.0),
    ],
)
def test_torque_towards_a_position_limit_is_scaled_by_the_room_that_is_left(
    position: float, torque: float, faded: float
) -> None:
    found = guards.fade_at_position_limits(
        vector(torque, 1.5), vector(position, -1.0), LIMITS, 0.25
    )
    np.testing.assert_allclose(found, (faded, 1.5))


def test_from_the_margin_on_torque_is_not_faded() -> None:
    torque = vector(5.0, -5.0)
    at_margin = vector(0.75, -1.75)
    assert guards.fade_at_position_limits(torque, at_margin, LIMITS, 0.25) is torque


@pytest.mark.parametrize(
    ("velocity", "torque", "braked"),
    [
        (2.5, 1.0, -4.0),
        (2.5, -3.0, -4.0),
        (2.5, -5.0, -5.0),  # brakes harder
        (-2.5, -1.0, 4.0),
        (-2.5, 3.0, 4.0),
        (-2.5, 5.0, 5.0),
    ],
)
def test_over_its_velocity_limit_a_joint_gets_its_brake_limit_and_no_other_joint_does(
    velocity: float, torque: float, braked: float
) -> None:
    found = guards.brake_at_velocity_limits(vector(torque, 3.0), vector(velocity, 2.9), LIMITS)
    np.testing.assert_array_equal(found, (braked, 3.0))


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_a_slow_joint_over_a_low_limit_is_braked_against_its_motion(side: float) -> None:
    slow = dataclasses.replace(LIMITS, velocity=np.array([0.5, 0.5]))
    found = guards.brake_at_velocity_limits(vector(side, 3.0), vector(side * 0.9, 0.4), slow)
    np.testing.assert_array_equal(found, (-side * 4.0, 3.0))


def test_up_to_its_velocity_limit_a_joint_is_not_braked() -> None:
    torque = vector(10.0, -5.0)
    assert guards.brake_at_velocity_limits(torque, vector(2.0, -3.0), LIMITS) is torque


def stopped(position: tuple[float, ...], velocity: tuple[float, ...]) -> float:
    (fraction,) = guards.stop_fraction(vector(*position), vector(*velocity), LIMITS)
    return float(fraction)


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_the_speed_that_a_joint_may_have_follows_from_its_distance_to_the_limit(
    side: float,
) -> None:
    def shoulder(position: float, velocity: float) -> float:
        return stopped((side * position, -0.75), (side * velocity, 0.0))

    # Far away: the velocity limit of 2 rad/s.
    assert shoulder(-0.9, 2.3) == pytest.approx(((2.3 - 0.02) / 2.0 - 1.0) / 0.3)
    # 0.3 rad before the standoff and the way of the lag: √(2 a d) with a = 2 rad/s / 0.4 s.
    allowed = np.sqrt(2.0 * 5.0 * 0.3)
    position = 1.0 - 0.3 - 0.03 - 0.03 * 1.9
    assert shoulder(position, 1.9) == pytest.approx(((1.9 - 0.02) / allowed - 1.0) / 0.3)
    # 0.1 rad: d / 2T.
    allowed = 0.1 / 0.16
    position = 1.0 - 0.1 - 0.03 - 0.03 * 0.7
    assert shoulder(position, 0.7) == pytest.approx(((0.7 - 0.02) / allowed - 1.0) / 0.3)
    # At the limit, as if a thousandth were left.
    assert shoulder(1.0, 0.027) == pytest.approx(((0.027 - 0.02) / (0.001 / 0.16) - 1.0) / 0.3)
    assert shoulder(1.0, 0.02) == 0.0
    assert shoulder(1.0, -1.9) == 0.0


def test_the_whole_arm_is_stopped_for_the_joint_that_is_most_too_fast() -> None:
    shoulder = ((2.3 - 0.02) / 2.0 - 1.0) / 0.3
    elbow = ((3.5 - 0.02) / 3.0 - 1.0) / 0.3
    assert stopped((-0.5, -1.9), (2.3, 0.0)) == pytest.approx(shoulder)
    assert stopped((-0.5, -1.9), (2.3, 3.5)) == pytest.approx(elbow)
    assert stopped((-0.5, -1.9), (2.7, 0.0)) == 1.0
    assert stopped((-0.5, -1.9), (2.0, 3.0)) == 0.0


def test_an_arm_that_is_too_fast_gets_the_blend_of_its_torque_and_the_stop() -> None:
    position, velocity, torque = vector(-0.5, -1.9), vector(2.3, 0.0), vector(8.0, 5.0)
    share = ((2.3 - 0.02) / 2.0 - 1.0) / 0.3
    found = guards.stop_where_too_fast(torque, position, velocity, LIMITS)
    # -(2 · 2.3) / 0.08 = -57.5 is cut to -4, by 53.5; so much less of the elbow's, times 0.5 / 2:
    stop = vector(-4.0, -0.5 * 2.3 / 0.08 + 53.5 / 4.0)
    np.testing.assert_allclose(found, (1.0 - share) * torque + share * stop)
    np.testing.assert_array_equal(torque, (8.0, 5.0))


def test_an_arm_that_is_slow_enough_keeps_its_torque() -> None:
    torque = vector(8.0, 5.0)
    for position, velocity in (
        (HOME, vector(2.0, -3.0)),
        (vector(0.9, -1.0), REST),  # near a limit, at rest
        (vector(0.9, -1.0), vector(-2.0, 0.0)),  # away from it
    ):
        assert guards.stop_where_too_fast(torque, position, velocity, LIMITS) is torque


MOVED = dataclasses.replace(LIMITS, inverse_mass=lambda _: np.array([[0.6, -0.2], [-0.2, 1.0]]))


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_only_so_much_torque_is_used_as_can_be_taken_back_before_a_joint_is_too_fast(
    side: float,
) -> None:
    torque, velocity = side * vector(8.0, -5.0), side * vector(2.4, 0.0)
    # |M⁻¹ τ| is 0.6 · 8 + 0.2 · 5 = 5.8 rad/s² at the shoulder; the slew limit takes 10 ms for
    # all of it. Up to 1.25 · 2 + 0.02 rad/s there are 0.12 rad/s, and 5.8 · 9 ms are enough.
    assert guards.use_what_can_be_taken_back(torque, HOME, velocity, MOVED) is torque
    # 0.03 rad/s are left: 5.8 (s · 4 ms + s² · 5 ms) = 0.03.
    velocity = side * vector(2.49, 0.0)
    share = (-0.004 + np.sqrt(0.004**2 + 4.0 * 0.005 * 0.03 / 5.8)) / 0.01
    found = guards.use_what_can_be_taken_back(torque, HOME, velocity, MOVED)
    stop = side * vector(
        -4.0, -1.0
    )  # the shoulder's cut from -62.25, the elbow's from -15.5625 by a fourth of that
    np.testing.assert_allclose(found, share * torque + (1.0 - share) * stop)
    # Of what the two take from each other's effect four tenths are believed: 0.6 · 8 - 0.2 · 5 is
    # 3.8, and 0.4 · 3.8 + 0.6 · 5.8 = 5 (s · 4 ms + s² · 5 ms) = 0.03.
    against = side * vector(8.0, 5.0)
    share = (-0.004 + np.sqrt(0.004**2 + 4.0 * 0.005 * 0.03 / 5.0)) / 0.01
    found = guards.use_what_can_be_taken_back(against, HOME, velocity, MOVED)
    np.testing.assert_allclose(found, share * against + (1.0 - share) * side * vector(-4.0, -1.0))
    # At that speed nothing is left.
    velocity = side * vector(2.52, 0.0)
    found = guards.use_what_can_be_taken_back(torque, HOME, velocity, MOVED)
    np.testing.assert_allclose(found, stop, atol=1e-6)


@pytest.mark.parametrize("side", [0, 1])
def test_near_a_position_limit_torque_is_used_for_the_speed_that_can_be_braked_there(
    side: int,
) -> None:
    sign = (-1.0, 1.0)[side]
    position = vector(sign * (1.0 - 0.1 - 0.03), -0.75)
    torque = vector(8.0, 5.0)  # whichever way: another joint's torque may drive this one
    allowed = 0.1 / 0.16 + 0.02  # d / 2T; 5.8 · 9 ms = 0.0522 rad/s
    slow = vector(sign * 0.0, 0.0)
    assert guards.use_what_can_be_taken_back(torque, position, slow, MOVED) is torque
    # With the way of the lag: d = 0.1 − 0.03 · v.
    v = (allowed - 0.0522) / (1.0 + 0.03 / 0.16)
    assert (
        guards.use_what_can_be_taken_back(torque, position, vector(sign * 0.999 * v, 0.0), MOVED)
        is torque
    )
    fast = vector(sign * 1.01 * v, 0.0)
    assert (guards.use_what_can_be_taken_back(torque, position, fast, MOVED) != torque).all()
    away = vector(sign * -1.0, 0.0)
    assert guards.use_what_can_be_taken_back(torque, position, away, MOVED) is torque


def test_a_torque_that_moves_little_may_act_for_long() -> None:
    """0.6 · 0.5 = 0.3 rad/s² at the shoulder, and 0.5 ms for all of it."""
    torque, left = vector(0.5, 0.0), 0.0009
    velocity = vector(2.52 - left, 0.0)
    share = (-0.004 + np.sqrt(0.004**2 + 4.0 * 0.00025 * left / 0.3)) / 0.0005
    found = guards.use_what_can_be_taken_back(torque, HOME, velocity, MOVED)
    np.testing.assert_allclose(found[1], (1.0 - share) * -1.0)
    assert 0.5 < share < 0.9


def test_a_joint_at_its_velocity_limit_is_held_there_and_the_other_keeps_its_torque() -> None:
    torque, velocity = vector(8.0, 5.0), vector(2.0, 0.0)
    # 0.6 · 8 - 0.2 · 5 = 3.8 rad/s² at the shoulder for 4 ms and half of the 10 ms in which the
    # slew limit takes the torque back: only 0.02 rad/s are left, 0.02 / 9 ms.
    wide = dataclasses.replace(MOVED, position=np.array([[-9.0, 9.0]] * 2))
    found = guards.hold_at_limits(torque, HOME, velocity, wide)
    np.testing.assert_allclose(found, (8.0 + (0.02 / 0.009 - 3.8) / 0.6, 5.0))
    assert guards.hold_at_limits(torque, HOME, vector(1.98, 0.0), wide) is torque


@pytest.mark.parametrize("side", [0, 1])
def test_a_joint_is_held_before_its_position_limit_at_six_tenths_of_what_can_be_stopped(
    side: int,
) -> None:
    sign = (-1.0, 1.0)[side]
    position = vector(sign * (1.0 - 0.1 - 0.03), -0.75)
    torque = sign * vector(8.0, -5.0)  # 5.8 rad/s² towards the limit, 9 ms
    v = (0.6 * 0.1 / 0.16 + 0.02 - 0.0522) / (1.0 + 0.6 * 0.03 / 0.16)
    slow, fast = sign * vector(0.999 * v, 0.0), sign * vector(1.01 * v, 0.0)
    assert guards.hold_at_limits(torque, position, slow, MOVED) is torque
    held = guards.hold_at_limits(torque, position, fast, MOVED)
    assert sign * held[0] < 8.0
    assert held[1] == torque[1]
    away = sign * vector(-1.0, 0.0)
    assert guards.hold_at_limits(torque, position, away, MOVED) is torque


def test_what_holds_a_joint_stays_within_the_torque_limits() -> None:
    coupled = dataclasses.replace(
        MOVED, inverse_mass=lambda _: np.array([[0.6, 0.2], [0.2, 0.08]])
    )
    torque, velocity = vector(9.0, 0.0), vector(0.0, 3.02)
    # The shoulder drives the elbow at 1.8 rad/s², which 22.5 N·m would hold; there are 5.
    found = guards.hold_at_limits(torque, HOME, velocity, coupled)
    np.testing.assert_allclose(found, (2.0, -5.0))
    assert guards.hold_at_limits(torque, HOME, velocity, LIMITS) is torque  # no model, no hold


def test_without_a_model_of_the_arm_no_torque_is_foreseen() -> None:
    torque, velocity = vector(8.0, -5.0), vector(2.4, 0.0)
    assert guards.use_what_can_be_taken_back(torque, HOME, velocity, LIMITS) is torque


@pytest.mark.parametrize("joint", [0, 1])
@pytest.mark.parametrize("side", [0, 1])
def test_no_speed_within_its_limit_is_too_fast_from_the_stopping_distance_on(
    joint: int, side: int
) -> None:
    sign = (-1.0, 1.0)[side]

    def fraction(nearer: float) -> float:
        position, velocity = HOME.copy(), np.zeros(2)
        speed = LIMITS.velocity[joint]  # 0.03 rad, 0.03 s, and the greater of 2T v and v² / 2a
        way = max(0.16 * speed, 0.5 * speed**2 / LIMITS.deceleration[joint])
        distance = 0.03 + 0.03 * speed + way - nearer
        position[joint] = LIMITS.position[joint, side] - sign * distance
        velocity[joint] = sign * LIMITS.velocity[joint]
        return float(guards.stop_fraction(position, velocity, LIMITS)[0])

    assert fraction(0.0) == 0.0
    assert fraction(0.02) > 0.0


def test_a_torque_may_change_by_slew_limit_times_time_and_all_joints_arrive_together() -> None:
    last = vector(1.0, 1.0)
    torque = vector(3.0, 0.0)  # by 2 and 1 N·m in 2 ms
    assert guards.limit_slew(torque, last, 0.002, LIMITS) is torque
    found = guards.limit_slew(vector(4.0, 1.0), last, 0.002, LIMITS)
    np.testing.assert_array_equal(found, (3.0, 1.0))
    found = guards.limit_slew(vector(0.0, -3.0), last, 0.002, LIMITS)
    np.testing.assert_array_equal(found, (0.75, 0.0))  # a quarter of the way, as the elbow
    np.testing.assert_array_equal(guards.limit_slew(torque, last, 0.0, LIMITS), last)


def test_great_values_whose_sum_overflows_are_finite() -> None:
    assert guards.all_finite(vector(1e308, 1e308))
    assert not guards.all_finite(vector(1e308, np.inf))
    assert not guards.all_finite(vector(np.inf, -np.inf))


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_an_arm_is_stopped_before_a_limit_on_whichever_side_of_zero_its_range_lies(
    side: float,
) -> None:
    low, high = sorted((side * 0.5, side * 3.0))
    limits = dataclasses.replace(LIMITS, position=np.array([[low, high]] * 2))
    near, towards = side * vector(0.6, 1.75), side * vector(-1.9, 0.0)
    torque = vector(8.0, 5.0)
    assert guards.stop_fraction(near, towards, limits) == 1.0
    found = guards.stop_where_too_fast(torque, near, towards, limits)
    np.testing.assert_array_equal(found, guards.braking_torque(near, towards, limits))
