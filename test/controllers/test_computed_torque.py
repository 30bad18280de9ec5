# SPDX-License-Identifier: Apache-2.0
"""The textbook controller reaches what a textbook says, in an engine that it does not know."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from sac_ros.controllers.inverse_kinematics import solve, twist
from sac_ros.robots.arm import load_arm
from sac_ros.sim.mujoco import MujocoBackend
from sac_ros.sim.vector_env import ArmVectorEnv
from sac_ros.training.evaluation import Evaluation, evaluate
from sac_ros.training.policy_in_loop import computed_torque_controller
from sac_ros.utils.errors import ConfigurationError


def evaluated(authority: str = "policy", **arguments: object) -> Evaluation:
    env = ArmVectorEnv(10, episode_seconds=3.0, backend="mujoco", **arguments)  # type: ignore[arg-type]
    found = evaluate(env, computed_torque_controller(env, authority), episodes=10, seed=1000)
    env.close()
    assert found is not None
    return found


@pytest.mark.parametrize("name", ["iiwa", "ur5e"])
def test_inverse_dynamics_are_mujocos(name: str) -> None:
    arm = load_arm(name)
    backend, rng = MujocoBackend(arm, gravity=False), np.random.default_rng(0)
    model, data = backend.model, backend.data
    model.dof_damping[:] = model.dof_frictionloss[:] = 0.0
    disabled = mujoco.mjtDisableBit.mjDSBL_CONTACT, mujoco.mjtDisableBit.mjDSBL_LIMIT
    model.opt.disableflags |= sum(int(each) for each in disabled)
    for _ in range(10):
        q, v, a = rng.uniform(-2, 2, (3, arm.joints))
        backend.reset(q, v)
        mujoco.mj_forward(model, data)
        data.qacc[:] = a
        mujoco.mj_inverse(model, data)
        frames = arm.chain.frames_at(q)
        found = arm.bodies.inverse_dynamics(arm.chain, frames, v, a) + arm.armature * a
        np.testing.assert_allclose(found, data.qfrc_inverse, atol=1e-9)


def test_inverse_dynamics_of_an_arm_at_rest_are_its_mass_matrix() -> None:
    arm = load_arm("panda")
    rng = np.random.default_rng(1)
    q, a = rng.uniform(-1, 1, (2, 5, 7))
    frames = arm.chain.frames_at(q)
    expected = (arm.bodies.mass_matrix(arm.chain, frames) @ a[..., None])[..., 0]
    found = arm.bodies.inverse_dynamics(arm.chain, frames, np.zeros_like(q), a)
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("size", [3, 7])
@pytest.mark.parametrize("name", ["iiwa", "panda", "ur5e"])
def test_inverse_kinematics_find_a_configuration_within_the_limits(name: str, size: int) -> None:
    env = ArmVectorEnv(1, arm=name, task="pose")
    arm = env.arm
    low, high = arm.position_limit.T
    for goal in env.samplers[0].draw(np.random.default_rng(2), 10)[1]:
        found = solve(arm, goal[:size], arm.home)
        assert np.abs(twist(arm.chain.frames_at(found), goal[:size])).max() < 2e-3
        assert np.all((found >= low) & (found <= high))
    env.close()


@pytest.mark.parametrize("name", ["iiwa", "panda", "ur5e"])
@pytest.mark.parametrize("task", ["reach", "pose"])
def test_every_goal_is_reached_within_the_velocity_limits(name: str, task: str) -> None:
    found = evaluated(arm=name, task=task)
    assert found.success_rate(0.02) == 1.0
    assert found.median_error_m < 0.5e-3
    assert found.max_velocity_fraction < 1.0


def test_sixty_milliseconds_of_latency_do_not_shake_it() -> None:
    found = evaluated(randomization={"latency_ms": 60.0})
    assert found.success_rate(0.02) == 1.0
    assert found.torque_power_above_10hz < 0.01


def test_an_arm_that_must_be_carried_is_carried() -> None:
    assert evaluated(gravity_compensation="policy").success_rate(0.02) == 1.0


def test_with_the_robots_torque_it_is_sooner_than_with_the_policys() -> None:
    slow, fast = evaluated(), evaluated("robot")
    assert fast.time_to_goal_s.median is not None
    assert slow.time_to_goal_s.median is not None
    assert fast.time_to_goal_s.median < slow.time_to_goal_s.median


def test_a_moving_goal_is_followed() -> None:
    env = ArmVectorEnv(5, task="track", backend="mujoco", episode_seconds=5.0)
    env.task.follow("way_points", 0.25)  # type: ignore[attr-defined]
    found = evaluate(env, computed_torque_controller(env), episodes=5, seed=1000)
    env.close()
    assert found is not None
    assert found.tracking is not None
    assert found.tracking.tracking_rms_m < 0.005
    assert found.tracking.tracking_lag_s == pytest.approx(0.0, abs=0.02)


def test_another_authority_is_refused() -> None:
    env = ArmVectorEnv(1)
    with pytest.raises(ConfigurationError, match="authority must be one of policy, robot; got"):
        computed_torque_controller(env, "all")
    env.close()
