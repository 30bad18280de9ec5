# SPDX-License-Identifier: Apache-2.0
"""The track task: paths whose velocity is their derivative, and hindsight that moves a path."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sac_ros.robots.arm import load_arm
from sac_ros.sim.vector_env import ArmVectorEnv
from sac_ros.tasks.task import State
from sac_ros.tasks.track import FASTEST, PATH_NAMES, TrackTask
from sac_ros.utils.errors import ConfigurationError

ARM = load_arm("iiwa")
HOME = np.append(ARM.chain.forward(ARM.home), [0.0, 0.0, 0.0, 1.0])


@pytest.mark.parametrize("name", PATH_NAMES)
def test_a_goals_velocity_is_the_derivative_of_its_path_and_it_stays_in_the_box(name: str) -> None:
    task, speed = TrackTask(ARM), 0.25
    task.follow(name, speed)
    low, high = task.goal_bounds()
    for seed in range(5):
        path = task.path(HOME[:3], HOME, np.random.default_rng(seed))
        times = np.linspace(0.1, 12.0, 200)
        places, velocities = (np.array(each) for each in zip(*map(path, times), strict=True))
        ahead = np.array([path(t + 1e-3)[0] - path(t - 1e-3)[0] for t in times]) / 2e-3
        np.testing.assert_allclose(velocities, ahead, atol=0.03 * speed)
        assert np.all((places >= low - 1e-9) & (places <= high + 1e-9))
        fastest = np.linalg.norm(velocities, axis=1).max()
        assert fastest <= (FASTEST if name == "random" else 1.01 * speed)


@pytest.mark.parametrize("name", ["circle", "figure_eight", "way_points"])
def test_a_path_begins_at_rest_where_the_arm_is(name: str) -> None:
    task = TrackTask(ARM)
    task.follow(name, 0.3)
    place, velocity = task.path(HOME[:3], HOME, np.random.default_rng(1))(0.0)
    np.testing.assert_allclose(place, HOME[:3], atol=1e-3)
    np.testing.assert_allclose(velocity, 0.0, atol=1e-12)


def test_a_path_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(ConfigurationError, match=r"path must be one of random, .*; got 'square'"):
        TrackTask(ARM).follow("square", 0.1)


def test_the_observed_velocity_is_that_of_the_end_effector() -> None:
    env = ArmVectorEnv(2, task="track")
    env.reset(seed=0)
    for _ in range(5):
        *_, before = env.step(np.full((2, 7), 0.2, dtype=np.float32))
        observation, *_, after = env.step(np.full((2, 7), 0.2, dtype=np.float32))
    seen = env.task.goal(observation) - observation[:, env.task.columns("goal_offset")]
    velocity = (
        observation[:, env.task.columns("goal_velocity")]
        - observation[:, env.task.columns("velocity_offset")]
    )
    moved = (after["true_state"] - before["true_state"])[:, 14:17] * env.control_rate_hz
    np.testing.assert_allclose(seen, after["true_state"][:, 14:17], atol=1e-6)
    np.testing.assert_allclose(velocity, moved, atol=0.02)
    env.close()


def test_in_hindsight_a_path_is_moved_and_its_velocity_stays() -> None:
    env = ArmVectorEnv(3, task="track")
    observation, _ = env.reset(seed=3)
    moved, shift = observation.copy(), np.array([0.1, -0.2, 0.05], dtype=np.float32)
    env.task.set_goal(moved, env.task.goal(observation) + shift)
    columns = env.task.columns
    np.testing.assert_allclose(
        moved[:, columns("goal_offset")] - observation[:, columns("goal_offset")],
        np.tile(shift, (3, 1)),
        atol=1e-6,
    )
    for name in ("goal_velocity", "velocity_offset"):
        np.testing.assert_array_equal(moved[:, columns(name)], observation[:, columns(name)])
    env.close()


def test_numpy_and_torch_give_the_same_observation() -> None:
    rng, task = np.random.default_rng(0), TrackTask(ARM)
    position = rng.uniform(-2, 2, (4, 7))
    raw = State(
        np.sin(position), np.cos(position), *rng.uniform(-1, 1, (1, 4, 7)),
        *rng.uniform(-1, 1, (2, 4, 3)), *rng.uniform(-1, 1, (1, 4, 7)), rng.uniform(-1, 1, (4, 3)),
    )  # fmt: skip
    found = task.observe(State(*(torch.as_tensor(each) for each in raw[:7])))
    np.testing.assert_allclose(found.numpy(), task.observe(raw), atol=1e-12)
