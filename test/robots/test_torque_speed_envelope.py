# SPDX-License-Identifier: Apache-2.0
"""The barrier lets slow joints alone, gives fast ones no push, and too fast ones a brake."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import ArrayLike

from sac_ros.robots.torque_speed_envelope import WIDTH, ZERO_AT, within_velocity

SCALE = np.array([10.0, 1.0])  # N·m


def bounded(torque: ArrayLike, share: ArrayLike) -> np.ndarray:
    """The bound at `share` of the velocity limits."""
    return SCALE * within_velocity(np.divide(torque, SCALE), np.asarray(share))


FREE = ZERO_AT - WIDTH  # share of the limit up to which nothing is bounded


@pytest.mark.parametrize("share", [0.0, 0.5 * FREE, -0.99 * FREE, 0.99 * FREE])
def test_a_joint_well_below_its_limit_gets_the_whole_torque(share: float) -> None:
    for torque in (SCALE, -SCALE, 0.2 * SCALE, np.zeros(2)):
        np.testing.assert_allclose(bounded(torque, [share] * 2), torque, rtol=1e-12)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_at_its_zero_no_torque_accelerates_and_any_may_brake(sign: float) -> None:
    share = [sign * ZERO_AT] * 2
    np.testing.assert_allclose(bounded(sign * SCALE, share), 0.0, atol=1e-12)
    np.testing.assert_allclose(bounded(-sign * SCALE, share), -sign * SCALE)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_beyond_it_the_torque_brakes_and_never_with_more_than_its_scale(sign: float) -> None:
    for share in (1.0, 1.5, 50.0):
        torque = bounded(sign * SCALE, [sign * share] * 2)
        assert np.all(sign * torque < 0.0)
        assert np.all(np.abs(torque) <= SCALE)


def test_the_bound_falls_without_a_jump() -> None:
    shares = np.linspace(-2.0, 2.0, 4001)
    torque = bounded(SCALE, shares[:, None])
    steps = np.abs(np.diff(torque, axis=0)) / SCALE
    assert steps.max() < 0.01
    assert np.all(np.diff(torque, axis=0) <= 1e-12)


def test_every_joint_is_bounded_by_its_own_velocity() -> None:
    np.testing.assert_allclose(bounded(SCALE, [0.0, ZERO_AT]), [10.0, 0.0], atol=1e-12)


def test_any_torque_is_bounded_as_the_formula_says_row_by_row() -> None:
    rng = np.random.default_rng(0)
    shares = rng.uniform(-2.0, 2.0, (50, 40, 2))
    torque = 3.0 * SCALE * rng.uniform(-1.0, 1.0, shares.shape)  # beyond the scale as well

    def sat(x: np.ndarray) -> np.ndarray:
        return np.clip(np.maximum(x / WIDTH, x), -1.0, 1.0)

    highest, lowest = SCALE * sat(ZERO_AT - shares), -SCALE * sat(ZERO_AT + shares)
    expected = np.minimum(np.maximum(torque, lowest), highest)
    np.testing.assert_allclose(bounded(torque, shares), expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(
        bounded(torque[3, 7], shares[3, 7]), bounded(torque, shares)[3, 7]
    )
