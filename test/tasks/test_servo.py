# SPDX-License-Identifier: Apache-2.0
"""The servo beneath a policy, and the way to the goal that a policy starts from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sac_ros.sim.vector_env import ArmVectorEnv
from sac_ros.tasks.servo import PEAK_SPEED
from sac_ros.tasks.track import TrackTask
from sac_ros.utils.errors import ConfigurationError

ARMS = 6


def world(**arguments: Any) -> ArmVectorEnv:
    keys = {"backend": "mujoco", "prior": "computed_torque", "observer_rate": 3.0, **arguments}
    return ArmVectorEnv(ARMS, **keys)


def aimed(env: ArmVectorEnv, observations: Any) -> Any:
    """The action of a policy that has learned nothing."""
    return np.tanh(observations[:, slice(*env.task.aim_columns)])


def doubt(env: ArmVectorEnv) -> Any:
    return env._memory[:, -env.arm.joints :]


@pytest.mark.parametrize("arm", ["iiwa", "ur5e"])
def test_an_action_is_a_velocity_whatever_a_joint_has_to_move(arm: str) -> None:
    env = world(arm=arm)
    env.reset(seed=0)
    rng, n = np.random.default_rng(0), env.arm.joints
    actions = rng.uniform(-0.2, 0.2, (ARMS, n)).astype(np.float32)
    for _ in range(60):
        env.step(actions)
    found = env._true[:, n : 2 * n] / env.arm.velocity_limit
    # All but the last, whose own inertia is a thousandth of what its damping would call for.
    np.testing.assert_allclose(found[:, :-1], PEAK_SPEED * actions[:, :-1], atol=0.03)
    assert (np.abs(found[:, -1]) <= PEAK_SPEED * np.abs(actions[:, -1]) + 0.03).all()
    for _ in range(100):
        env.step(np.zeros_like(actions))
    assert np.abs(env._true[:, n : 2 * n]).max() < 0.01


@pytest.mark.parametrize("backend", ["bullet", "mujoco"])
@pytest.mark.parametrize(
    "differs",
    [
        {},
        {"payload_kg": (2.0, 2.0)},
        {"latency_ms": (60.0, 60.0)},
        {"torque_bias_fraction": (-0.01, 0.01)},
        {"torque_gain": (0.9, 1.1), "mass_scale": (0.8, 1.2), "gravity_scale": (0.9, 1.1)},
        {"joint_damping_scale": (0.0, 0.0)},
        {"joint_damping_scale": (5.0, 5.0)},
        {"armature": (0.1, 0.1)},
    ],
    ids=["as described", "load", "late", "bias", "scaled", "no damping", "damping", "rotors"],
)
def test_the_way_it_aims_leads_to_the_goal_and_to_rest(backend: str, differs: Any) -> None:
    env = world(backend=backend, randomization=differs)
    observations, infos = env.reset(seed=5)
    for _ in range(250):
        observations, _, _, _, infos = env.step(aimed(env, observations))
    assert (infos["distance"] < 0.003).all()
    assert infos["is_success"].all()


@pytest.mark.parametrize("backend", ["bullet", "mujoco"])
@pytest.mark.parametrize("arm", ["iiwa", "panda"])
def test_a_goal_on_a_circle_is_followed_within_millimetres(arm: str, backend: str) -> None:
    env = world(arm=arm, backend=backend, task="track")
    assert isinstance(env.task, TrackTask)
    env.task.follow("circle", 0.47)  # half a turn a second, of 15 cm of radius
    observations, _ = env.reset(seed=5)
    distances = []
    for _ in range(200):
        observations, _, _, _, infos = env.step(aimed(env, observations))
        distances.append(infos["distance"])
    errors = np.sqrt(np.mean(np.square(distances[50:]), axis=0))
    assert np.median(errors) < 0.005
    assert (errors < 0.015).all()


def test_a_joint_that_lacks_its_damping_is_found_out_and_noise_hardly_passes_for_it() -> None:
    undamped, noisy = (
        world(randomization=differs)
        for differs in (
            {"joint_damping_scale": (0.0, 0.0)},
            {"velocity_noise": (0.05, 0.05), "position_noise": (1e-3, 1e-3)},
        )
    )
    for env in (undamped, noisy):
        observations, _ = env.reset(seed=5)
        for _ in range(200):
            observations = env.step(aimed(env, observations))[0]
    assert (doubt(undamped)[:, -1] > 0.6).all()  # the lightest
    assert (doubt(undamped)[:, :4] == 0.0).all()
    assert (doubt(noisy) > 0.0).mean() < 0.05


def test_no_joint_gets_faster_than_its_limit_from_wherever_it_starts() -> None:
    env = world(randomization={"start_spread": (10.0, 10.0)})
    observations, infos = env.reset(seed=20)
    n = env.arm.joints
    for _ in range(300):
        observations, _, _, _, infos = env.step(aimed(env, observations))
        assert (np.abs(env._true[:, n : 2 * n]) < 1.05 * env.arm.velocity_limit).all()
    assert infos["is_success"].all()


@pytest.mark.parametrize("task", ["reach", "pose", "track"])
def test_in_hindsight_it_aims_at_the_other_goal(task: str) -> None:
    env = world(task=task)
    observations, _ = env.reset(seed=1)
    for _ in range(5):
        observations = env.step(aimed(env, observations))[0]
    given = env.task.goal(observations)
    others = np.roll(given, 1, axis=0)
    changed = observations.copy()
    env.task.set_goal(changed, others)
    if env.task.moving:  # goals are moved, their velocities stay
        velocity = env.task.columns("goal_velocity")
        np.testing.assert_array_equal(changed[:, velocity], observations[:, velocity])
    columns = slice(*env.task.aim_columns)
    assert np.abs(changed[:, columns] - observations[:, columns]).max() > 0.1
    rows = changed.copy()
    env.task.update_aim(rows)
    np.testing.assert_allclose(rows, changed, atol=1e-5)
    env.task.set_goal(changed, given.copy())
    np.testing.assert_allclose(changed, observations, atol=1e-4)
    same = observations.copy()
    env.task.set_goal(same, env.task.goal(same).copy())
    np.testing.assert_array_equal(same, observations)


def test_a_prior_that_does_not_exist_is_refused_in_a_sentence() -> None:
    with pytest.raises(ConfigurationError, match="none, computed_torque; got 'pid'"):
        world(prior="pid")
