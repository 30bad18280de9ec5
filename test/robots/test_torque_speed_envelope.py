# SPDX-License-Identifier: Apache-2.0
"""The envelope lets slow joints alone, gives fast ones no push, and too fast ones a brake."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sac_ros.robots.dynamics import BRAKE, WIDTH, ZERO_AT, torque_speed_envelope

FREE = ZERO_AT - WIDTH  # of the limit, up to which nothing is bounded


@pytest.mark.parametrize("fraction", [0.0, 0.5 * FREE, -0.99 * FREE, 0.99 * FREE])
def test_a_joint_well_below_its_limit_gets_its_whole_action(fraction: float) -> None:
    for action in (1.0, 0.2, 0.0):
        found = torque_speed_envelope(np.array([action, -action]), np.full(2, fraction))
        np.testing.assert_allclose(found, [action, -action], rtol=1e-12)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_at_its_zero_nothing_accelerates_and_anything_may_brake(sign: float) -> None:
    fraction = np.array([sign * ZERO_AT])
    push = torque_speed_envelope(np.array([sign]), fraction)
    np.testing.assert_allclose(push, 0.0, atol=1e-12)
    np.testing.assert_allclose(torque_speed_envelope(np.array([-sign]), fraction), -sign)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_beyond_it_the_joint_brakes_gently_and_never_with_more_than_a_quarter(
    sign: float,
) -> None:
    for fraction in (0.9, 1.0, 1.5, 50.0):
        found = sign * torque_speed_envelope(np.array([sign]), np.array([sign * fraction]))
        expected = -min(BRAKE * (fraction - ZERO_AT), BRAKE)
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert BRAKE == 0.25


def test_the_bound_falls_without_a_jump() -> None:
    fractions = np.linspace(-2.0, 2.0, 4001)
    steps = np.diff(torque_speed_envelope(np.ones(4001), fractions))
    assert np.abs(steps).max() < 0.01
    assert np.all(steps <= 1e-12)


def test_every_joint_is_bounded_by_its_own_velocity() -> None:
    found = torque_speed_envelope(np.ones(2), np.array([0.0, ZERO_AT]))
    np.testing.assert_allclose(found, [1.0, 0.0], atol=1e-12)


def test_any_action_is_bounded_as_the_formula_says_row_by_row() -> None:
    rng = np.random.default_rng(0)
    v = rng.uniform(-2.5, 2.5, (50, 40, 2))
    action = rng.uniform(-3.0, 3.0, v.shape)  # beyond 1 as well

    def sat(x: np.ndarray) -> np.ndarray:
        return np.clip(np.where(x > 0.0, x / WIDTH, x / 4.0), -0.25, 1.0)

    expected = np.clip(action, -sat(ZERO_AT + v), sat(ZERO_AT - v))
    found = torque_speed_envelope(action, v)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(torque_speed_envelope(action[3, 7], v[3, 7]), found[3, 7])


def test_numpy_and_torch_give_the_same() -> None:
    rng = np.random.default_rng(0)
    action, v = rng.uniform(-2.0, 2.0, (2, 100, 7))
    found = torque_speed_envelope(torch.as_tensor(action), torch.as_tensor(v))
    np.testing.assert_allclose(found.numpy(), torque_speed_envelope(action, v), atol=1e-15)
