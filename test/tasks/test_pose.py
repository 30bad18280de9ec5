# SPDX-License-Identifier: Apache-2.0
"""The pose task against scipy-free closed forms: angles, rotations, goals changed in hindsight."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sac_ros.robots.arm import load_arm
from sac_ros.robots.kinematics import quaternion_of, rotation_from_quaternion, rotation_of
from sac_ros.sim.vector_env import ArmVectorEnv
from sac_ros.tasks.pose import LARGEST_TURN, NEAR_ANGLE, PoseTask
from sac_ros.tasks.task import State

ARM = load_arm("iiwa")
TASK = PoseTask(ARM)
ANGLE = st.floats(-3.1, 3.1)


def quaternion(axis: np.ndarray, angle: float) -> np.ndarray:
    return np.append(np.sin(0.5 * angle) * axis / np.linalg.norm(axis), np.cos(0.5 * angle))


def state(rows: int, seed: int = 0) -> State:
    rng = np.random.default_rng(seed)
    position = rng.uniform(-2, 2, (rows, 7))
    goal = rng.uniform(-1, 1, (rows, 7))
    goal[:, 3:] /= np.linalg.norm(goal[:, 3:], axis=1, keepdims=True)
    return State(
        np.sin(position),
        np.cos(position),
        rng.uniform(-1, 1, (rows, 7)),
        goal,
        ARM.chain.forward(position),
        rng.uniform(-1, 1, (rows, 7)),
    )


@given(roll=ANGLE, pitch=ANGLE, yaw=ANGLE)
def test_a_rotation_becomes_a_quaternion_and_back(roll: float, pitch: float, yaw: float) -> None:
    rotation = rotation_of((roll, pitch, yaw))
    found = rotation_from_quaternion(quaternion_of(rotation))
    np.testing.assert_allclose(found, rotation, atol=1e-9)
    np.testing.assert_allclose(rotation_from_quaternion(-quaternion_of(rotation)), found)


@given(angle=st.floats(0.0, 3.14), seed=st.integers(0, 1000))
def test_the_error_of_an_orientation_is_the_angle_between_both(angle: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    axis, base = rng.standard_normal(3), quaternion(rng.standard_normal(3), rng.uniform(-3, 3))
    x, y, z, w = quaternion(axis, angle)
    bx, by, bz, bw = base
    turned = np.array(
        [
            w * bx + x * bw + y * bz - z * by,
            w * by - x * bz + y * bw + z * bx,
            w * bz + x * by - y * bx + z * bw,
            w * bw - x * bx - y * by - z * bz,
        ]
    )
    place = np.zeros(3)
    found = TASK.angle_error(np.append(place, turned), np.append(place, base))
    assert found == pytest.approx(angle, abs=1e-5)


def test_numpy_and_torch_give_the_same_observation() -> None:
    raw = state(4)
    found = TASK.observe(State(*(torch.as_tensor(each) for each in raw[:6])))
    np.testing.assert_allclose(found.numpy(), TASK.observe(raw), atol=1e-12)


def test_another_goal_gives_the_observation_under_that_goal() -> None:
    raw, other = state(5), state(5, seed=1)
    observation = TASK.observe(raw).astype(np.float32)
    TASK.set_goal(observation, TASK.observed(other.goal).astype(np.float32))
    np.testing.assert_allclose(observation, TASK.observe(raw._replace(goal=other.goal)), atol=2e-3)


def test_a_goal_that_stays_keeps_every_number() -> None:
    observation = TASK.observe(state(5)).astype(np.float32)
    again = observation.copy()
    TASK.set_goal(again, TASK.goal(observation).copy())
    np.testing.assert_array_equal(again, observation)


def test_at_the_achieved_goal_nothing_is_missing() -> None:
    observation = TASK.observe(state(5)).astype(np.float32)
    TASK.set_goal(observation, TASK.achieved(observation))
    np.testing.assert_allclose(TASK.distance(observation), 0.0, atol=1e-6)
    missing = observation[:, TASK.columns("rotation_error")]
    np.testing.assert_allclose(missing, 0.0, atol=1e-6)


def test_a_goal_is_recognised_from_its_observation() -> None:
    goal = state(1).goal[0]
    found = TASK.recognised(TASK.observed(goal))
    found[3:] *= np.sign(found[3:] @ goal[3:])  # both signs are the same orientation
    np.testing.assert_allclose(found, goal, atol=1e-9)


def test_goals_near_are_turned_by_up_to_their_angle_and_stay_rotations() -> None:
    rng = np.random.default_rng(0)
    achieved = np.tile(TASK.observed(state(1).goal), (2000, 1)).astype(np.float32)
    near = TASK.near(achieved, rng)
    x, y = near[:, 3:6], near[:, 6:9]
    np.testing.assert_allclose(np.linalg.norm(x, axis=1), 1.0, atol=1e-5)
    np.testing.assert_allclose((x * y).sum(axis=1), 0.0, atol=1e-5)
    turned = np.arccos(np.clip((x * achieved[:, 3:6]).sum(axis=1), -1, 1))
    assert turned.max() <= NEAR_ANGLE + 1e-3
    assert turned.max() > 0.9 * NEAR_ANGLE


def test_goals_are_drawn_in_the_box_and_turned_from_home_by_up_to_60_degrees() -> None:
    env = ArmVectorEnv(1, task="pose")
    _, end_effectors = env.samplers[0].draw(np.random.default_rng(0), 200)
    home = ARM.chain.frames_at(ARM.home).end_effector_rotation
    at_home = np.append(np.zeros(3), quaternion_of(home))
    turned = env.task.angle_error(end_effectors, np.tile(at_home, (200, 1)))
    assert 0.8 * LARGEST_TURN < turned.max() <= LARGEST_TURN + 1e-9
    low, high = env.task.goal_bounds()
    assert np.all((end_effectors >= low) & (end_effectors <= high))
    env.close()
