# SPDX-License-Identifier: Apache-2.0
"""Tip and gravity torque in torch, in single precision, are those of Bullet."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sac_ros.robots.arm import ArmModel, arm_names, load_arm
from sac_ros.robots.dynamics import GRAVITY, gravity_of
from sac_ros.robots.kinematics import KinematicChain, chain_of
from sac_ros.sim.sim_arm import SimArm
from sac_ros.training.chain_graph import ChainFrames, Frames, GravityTorque, TipPosition


def postures(arm: ArmModel) -> np.ndarray:
    """[500, n] rad all over the joint range, numbers that single precision has."""
    low, high = arm.position_limit.T
    drawn = np.random.default_rng(0).uniform(low, high, (500, arm.joints))
    return drawn.astype(np.float32).astype(np.float64)


def frames(chain: KinematicChain, q: np.ndarray) -> Frames:
    rows = torch.tensor(q, dtype=torch.float32)
    found: Frames = ChainFrames(chain)(torch.sin(rows), torch.cos(rows))
    return found


@pytest.mark.parametrize("name", arm_names())
def test_the_tip_is_that_of_the_chain(name: str) -> None:
    arm = load_arm(name)
    chain, q = chain_of(arm), postures(arm)
    tip = TipPosition(chain)(frames(chain, q))
    np.testing.assert_allclose(tip.numpy(), chain.forward(q), atol=2e-6)


@pytest.mark.parametrize("name", arm_names())
def test_the_gravity_torque_is_bullets_inverse_dynamics_to_a_millionth_of_the_largest(
    name: str,
) -> None:
    arm = load_arm(name)
    model, q = gravity_of(arm), postures(arm)
    torque = GravityTorque(model, GRAVITY)(frames(model.chain, q)).numpy()
    sim = SimArm(arm)
    expected = np.array([sim.gravity_torque(posture) for posture in q])
    sim.close()
    assert torque.shape == expected.shape
    assert np.abs(torque - expected).max() <= 1e-6 * np.abs(expected).max()
    assert np.all(np.abs(torque - expected) <= 1e-6 * arm.torque_limit)
