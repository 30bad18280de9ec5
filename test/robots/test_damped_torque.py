# SPDX-License-Identifier: Apache-2.0
"""The envelope lets slow joints alone, gives fast ones no push, and too fast ones a brake."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sac_ros.robots.arm import arm_names
from sac_ros.robots.dynamics import BRAKE, WIDTH, ZERO_AT, damped_torque, torque_speed_envelope
from sac_ros.sim.vector_env import ArmVectorEnv

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


def test_an_action_is_damped_then_bounded_then_scaled() -> None:
    rng = np.random.default_rng(1)
    action, velocity = rng.uniform(-1.0, 1.0, (2, 100, 3))
    scale, damping, limit = np.array([[8.0, 2.0, 0.1], [3.0, 0.5, 0.0], [2.0, 1.0, 3.0]])
    keys = {"scale": scale, "damping": damping, "velocity_limit": limit}
    found = damped_torque(action, velocity, **keys)
    free = np.abs(velocity / limit) < FREE
    plain = scale * action - damping * velocity
    inside = free & (np.abs(plain) < scale)
    np.testing.assert_allclose(found[inside], plain[inside], rtol=1e-12)
    assert np.all(np.abs(found) <= scale)
    bounded = scale * torque_speed_envelope(plain / scale, velocity / limit)
    np.testing.assert_allclose(found, bounded, atol=1e-12)
    tensors = damped_torque(torch.as_tensor(action), torch.as_tensor(velocity), **keys)
    np.testing.assert_allclose(tensors.numpy(), found, atol=1e-14)


@pytest.mark.parametrize("name", arm_names())
def test_zero_action_brings_an_arm_to_rest_and_shakes_no_joint(name: str) -> None:
    env = ArmVectorEnv(4, arm=name)
    env.reset(seed=0)
    n = env.arm.joints
    rng = np.random.default_rng(0)
    for plant in env.plants:
        plant.backend.reset(env.arm.home, rng.uniform(-0.3, 0.3, n) * env.arm.velocity_limit)
        plant.true_state = plant.backend.read()
    env._observe(None)
    arm, energies = env.arm, []
    for _ in range(250):
        velocity = env._true[:, n : 2 * n]
        matrix = arm.bodies.mass_matrix(arm.chain, arm.chain.frames_at(env._true[:, :n]))
        energies.append(0.5 * np.einsum("ki,kij,kj->k", velocity, matrix, velocity))
        env.step(np.zeros((4, n), dtype=np.float32))
    env.close()
    kinetic = np.array(energies)
    assert np.all(kinetic[-1] < 0.01 * kinetic[0])
    assert np.all(np.diff(kinetic, axis=0) < 1e-6 + 0.01 * kinetic[:-1])
