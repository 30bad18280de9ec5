# SPDX-License-Identifier: Apache-2.0
"""What bounds change of a motion: the nearest point within them, and what holds it there."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sac_ros.policy.least_constraint import reaction_within
from sac_ros.policy.safety_config import Array

N = 4


@st.composite
def problems(draw: st.DrawFn) -> tuple[Array, Array, Array, Array]:
    """A wanted point, bounds on both sides of zero, and a matrix with a condition up to 1e4."""
    numbers = st.floats(-1.0, 1.0)
    root = draw(arrays(float, (N, N), elements=numbers)) + np.diag(
        draw(arrays(float, N, elements=st.floats(0.001, 1.0)))
    )
    matrix = root @ root.T + 1e-3 * np.eye(N)
    wanted = 10.0 * draw(arrays(float, N, elements=numbers))
    low = -draw(arrays(float, N, elements=st.floats(0.0, 5.0)))
    high = draw(arrays(float, N, elements=st.floats(0.0, 5.0)))
    return wanted, low, high, matrix


def distance(point: Array, wanted: Array, matrix: Array) -> float:
    difference = point - wanted
    return float(difference @ np.linalg.solve(matrix, difference))


def nearest_by_enumeration(wanted: Array, low: Array, high: Array, matrix: Array) -> float:
    """The least distance over all choices of joints at a bound, as a textbook defines it."""
    best = np.inf
    for sides in itertools.product((-1, 0, 1), repeat=N):
        at = np.array(sides)
        bound = np.flatnonzero(at)
        point = wanted.copy()
        if len(bound):
            there = np.where(at > 0, high, low)[bound]
            rows = matrix[:, bound]
            point = wanted + rows @ np.linalg.solve(
                matrix[np.ix_(bound, bound)], there - wanted[bound]
            )
        if np.all(point >= low - 1e-6) and np.all(point <= high + 1e-6):
            best = min(best, distance(point, wanted, matrix))
    return best


@given(problems())
def test_no_point_within_the_bounds_is_nearer(problem: tuple[Array, Array, Array, Array]) -> None:
    wanted, low, high, matrix = problem
    reaction = reaction_within(wanted, low, high, matrix)
    found = wanted + matrix @ reaction
    slack = 1e-6 * (1.0 + np.abs(wanted))
    assert np.all(found >= low - slack)
    assert np.all(found <= high + slack)
    least = nearest_by_enumeration(wanted, low, high, matrix)
    assert distance(found, wanted, matrix) <= least * (1.0 + 1e-4) + 1e-6


@given(problems())
def test_only_what_is_at_a_bound_is_held_and_held_inwards(
    problem: tuple[Array, Array, Array, Array],
) -> None:
    wanted, low, high, matrix = problem
    reaction = reaction_within(wanted, low, high, matrix)
    found = wanted + matrix @ reaction
    slack = 1e-6 * (1.0 + np.abs(wanted))
    assert np.all(np.abs(found - low)[reaction > 0.0] <= slack[reaction > 0.0])
    assert np.all(np.abs(found - high)[reaction < 0.0] <= slack[reaction < 0.0])


@given(problems(), arrays(float, (3, N), elements=st.floats(-1.0, 1.0)))
def test_many_points_are_held_as_one_after_the_other(
    problem: tuple[Array, Array, Array, Array], shares: Array
) -> None:
    wanted, low, high, matrix = problem
    many = shares * wanted
    each = [reaction_within(one, low, high, matrix) for one in many]
    np.testing.assert_array_equal(reaction_within(many, low, high, matrix), each)


def test_a_point_within_the_bounds_is_left_alone() -> None:
    ones = np.ones(N)
    assert not reaction_within(0.5 * ones, -ones, ones, np.eye(N)).any()


def test_where_changing_all_at_once_goes_round_in_circles_the_nearest_point_is_found() -> None:
    matrix = np.array(
        [[1.42875, -1.50644, 0.98592], [-1.50644, 2.08305, -0.91241], [0, 0, 0.74661]]
    )
    matrix[2, :2] = matrix[:2, 2]
    wanted, limit = np.array([-1.92037, -6.77521, -3.81005]), np.array([1.86568, 1.84603, 0.0145])
    reaction = reaction_within(wanted, -limit, limit, matrix)
    found = wanted + matrix @ reaction
    assert np.all(np.abs(found) <= limit * (1.0 + 1e-9))
    np.testing.assert_array_less(0.0, (reaction * -np.sign(found))[reaction != 0.0])


@given(problems(), arrays(float, N, elements=st.floats(-3.0, 3.0)))
def test_a_stop_within_any_limits_takes_energy_out_of_the_arm(
    problem: tuple[Array, Array, Array, Array], velocity: Array
) -> None:
    """τ = −M q̇ / T, and what is nearest to it: q̇ᵀx ≤ −T xᵀM⁻¹x ≤ 0."""
    _, _, limit, mass = problem
    wanted = -(mass @ velocity) / 0.08
    torque = wanted + mass @ reaction_within(wanted, -limit, limit, mass)
    spent = 0.08 * torque @ np.linalg.solve(mass, torque)
    assert velocity @ torque <= -spent + 1e-6 * (1.0 + np.abs(wanted).max())
