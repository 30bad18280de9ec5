# SPDX-License-Identifier: Apache-2.0
"""The warm-up controller leads any arm to its goal, and its noise comes from the given source."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from sac_ros.controllers import warm_up
from sac_ros.controllers.warm_up import WarmUpController
from sac_ros.robots.arm import Arm, arm_names, load_arm
from sac_ros.sim.vector_env import ArmVectorEnv


def with_friction(arm: Arm) -> Arm:
    """The arm with a Coulomb friction of a quarter of its torque at action 1."""
    friction = 0.3 * arm.action_scale
    return dataclasses.replace(arm, friction=friction, action_scale=arm.action_scale + friction)


@pytest.fixture(scope="module", params=arm_names())
def arm(request: pytest.FixtureRequest) -> Arm:
    return load_arm(request.param)


def states(arm: Arm, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points [k, 3] in the goal box, positions and velocities [k, n] anywhere."""
    rng = np.random.default_rng(1)
    points = rng.uniform(arm.goal_low, arm.goal_high, (number, 3))
    position = rng.uniform(*arm.position_limit.T, (number, arm.joints))
    velocity = rng.uniform(-2.0, 2.0, position.shape) * arm.velocity_limit
    return points, position, velocity


@pytest.mark.parametrize("changed", [lambda arm: arm, with_friction], ids=["plain", "friction"])
def test_without_noise_it_brings_every_arm_near_its_goal(
    arm: Arm, changed: Callable[[Arm], Arm], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warm_up, "NOISE", 0.0)
    env = ArmVectorEnv(4, arm=changed(arm), backend="mujoco", episode_seconds=5.0)
    _, info = env.reset(seed=0)
    start, rng = info["distance"], np.random.default_rng(0)
    for _ in range(env.episode_steps):
        *_, info = env.step(env.warm_up_actions(rng))
    env.close()
    assert start.max() > 0.2
    assert info["distance"].max() < 0.1
    assert np.median(info["distance"]) < 0.5 * np.median(start)


def test_with_noise_it_still_comes_nearer_and_mostly_keeps_to_the_velocity_limits(
    arm: Arm,
) -> None:
    env = ArmVectorEnv(4, arm=arm, backend="mujoco", episode_seconds=4.0)
    _, info = env.reset(seed=0)
    start, rng, nearest = info["distance"], np.random.default_rng(0), np.inf
    speeds = []
    for _ in range(env.episode_steps):
        *_, info = env.step(env.warm_up_actions(rng))
        nearest = np.minimum(nearest, info["distance"])
        speeds.append(np.abs(info["joint_velocity"] / arm.velocity_limit))
    env.close()
    assert np.median(nearest) < 0.5 * np.median(start)
    assert np.percentile(speeds, 95.0) < 1.0


def test_its_actions_are_within_one_and_single_precision(arm: Arm) -> None:
    controller = WarmUpController(arm, arm.action_scale)
    actions = controller.actions(*states(arm, 200), np.random.default_rng(0))
    assert actions.shape == (200, arm.joints)
    assert actions.dtype == np.float32
    assert np.abs(actions).max() == 1.0  # so fast, some are bounded
    assert np.all(np.isfinite(actions))


def test_the_same_source_of_noise_gives_the_same_actions_and_another_others(arm: Arm) -> None:
    controller, given = WarmUpController(arm, arm.action_scale), states(arm, 5)
    first, again, other = (
        controller.actions(*given, np.random.default_rng(seed)) for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_at_rest_at_home_and_at_the_goal_it_asks_for_nothing_but_noise(
    arm: Arm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warm_up, "NOISE", 0.0)
    controller = WarmUpController(arm, arm.action_scale)
    home = arm.home[None]
    actions = controller.actions(
        arm.chain.forward(home), home, np.zeros_like(home), np.random.default_rng(0)
    )
    np.testing.assert_allclose(actions, 0.0, atol=1e-6)


def test_half_the_scale_asks_for_the_same_torque_by_twice_the_action(arm: Arm) -> None:
    points, position, _ = states(arm, 50)
    given = (points, position, np.zeros_like(position))
    whole, half = (
        WarmUpController(arm, factor * arm.action_scale).actions(*given, np.random.default_rng(0))
        for factor in (10.0, 20.0)
    )
    free = np.abs(whole) < 1.0
    np.testing.assert_allclose(whole[free], 2.0 * half[free], rtol=1e-5)
