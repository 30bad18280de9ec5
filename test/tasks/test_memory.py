# SPDX-License-Identifier: Apache-2.0
"""What a policy remembers: its actions, and the torque that its joints carry."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from sac_ros.robots.kinematics import like
from sac_ros.sim.vector_env import ArmVectorEnv
from sac_ros.tasks.memory import Motion

ARMS = 4


def world(backend: str = "mujoco", **arguments: Any) -> ArmVectorEnv:
    keys = {"action_history": 3, "observer_rate": 2.0, **arguments}
    env = ArmVectorEnv(ARMS, backend=backend, **keys)
    env.reset(seed=1)
    return env


def carried(env: ArmVectorEnv) -> Any:
    """[ARMS, n] in torques at action 1."""
    return env.memory.carried(env._memory, env._motion) / env.action_scale


def test_the_last_actions_are_remembered_newest_first() -> None:
    env = world(observer_rate=0.0)
    actions = np.random.default_rng(0).uniform(-1, 1, (5, ARMS, 7)).astype(np.float32)
    for each in actions:
        observations = env.step(each)[0]
    columns = env.task.columns("previous_action"), env.task.columns("earlier_actions")
    np.testing.assert_array_equal(observations[:, columns[0]], actions[4])
    np.testing.assert_array_equal(observations[:, columns[1]], np.hstack((actions[3], actions[2])))


@pytest.mark.parametrize("prior", ["none", "computed_torque"])
def test_what_a_state_remembers_of_a_torque_is_where_it_says_and_as_much(prior: str) -> None:
    env, rng = world(prior=prior), np.random.default_rng(0)
    for _ in range(20):
        env.step(env.warm_up_actions(rng))
    memory, motion, state, n = env.memory, env._motion, env._memory, env.arm.joints
    carried, action = memory.carried(state, motion), rng.uniform(-0.3, 0.3, (ARMS, n))
    torque = memory.torque(action, motion, state)
    more = 0.1 * rng.uniform(-1.0, 1.0, (ARMS, n)) * env.action_scale
    plain = memory.after(state, action, torque, motion, carried)
    other = memory.after(state, action, torque + more, motion, carried)
    assert memory.remembered_torque is not None
    offset, gain = memory.remembered_torque
    expected = plain.copy()
    expected[:, offset : offset + n] += gain * more
    np.testing.assert_allclose(other, expected, atol=1e-12)
    assert world(observer_rate=0.0).memory.remembered_torque is None


@pytest.mark.parametrize("backend", ["bullet", "mujoco"])
def test_an_arm_that_moves_as_its_model_says_carries_nothing(backend: str) -> None:
    env, rng = world(backend), np.random.default_rng(0)
    largest = np.zeros(7)
    for _ in range(150):
        env.step(env.warm_up_actions(rng))  # through its whole space, up to 80 % of its limits
        largest = np.maximum(largest, np.abs(carried(env)).max(axis=0))
    assert (largest < 0.25).all()


@pytest.mark.parametrize("backend", ["bullet", "mujoco"])
def test_an_unknown_load_is_held_without_an_action(backend: str) -> None:
    env = world(backend, randomization={"payload_kg": (2.0, 2.0)})
    before = env._true[:, 14:17].copy()
    for _ in range(250):
        env.step(np.zeros((ARMS, 7), np.float32))
    frames = env.arm.chain.frames_at(env._true[:, :7])
    tip = env.arm.chain.end_effector_translation
    loaded = env.arm.bodies.with_payload(2.0, tip).gravity_torque(env.arm.chain, frames)
    needed = (loaded - env.arm.gravity_torque(env._true[:, :7])) / env.action_scale
    np.testing.assert_allclose(carried(env), needed, atol=0.05)
    assert np.abs(env._true[:, 7:14]).max() < 0.05
    fallen = np.linalg.norm(env._true[:, 14:17] - before, axis=1)
    alone = world(backend, randomization={"payload_kg": (2.0, 2.0)}, observer_rate=0.0)
    for _ in range(250):
        alone.step(np.zeros((ARMS, 7), np.float32))
    assert (fallen < np.linalg.norm(alone._true[:, 14:17] - before, axis=1) - 0.1).all()


def test_what_is_carried_is_bounded_and_does_not_wind_up() -> None:
    memory = world().memory
    still, push = (
        Motion(np.zeros(7), np.zeros(7)),
        memory.action_scale,
    )  # an arm that is held fast while it pushes
    state = np.zeros(memory.size)
    found = []
    for step in range(600):
        held = memory.carried(state, still)
        torque = push if step < 500 else -push
        state = memory.after(state, np.sign(torque), torque, still, held)
        assert (np.abs(state) <= 1.0).all()
        found.append(held / memory.action_scale)
    np.testing.assert_allclose(found[25], 1.0, atol=1e-9)  # K = 2 1/s, for half a second
    np.testing.assert_allclose(found[500], 3.0, atol=1e-9)
    np.testing.assert_allclose(found[550], 1.0, atol=1e-9)  # a second of pushing back


@pytest.mark.parametrize("prior", ["none", "computed_torque"])
def test_torch_and_numpy_remember_the_same(prior: str) -> None:
    env, rng = world(prior=prior), np.random.default_rng(0)
    position, velocity = rng.uniform(-2, 2, (50, 7)), rng.normal(size=(50, 7))
    state, action = rng.uniform(-1, 1, (50, env.memory.size)), rng.uniform(-1, 1, (50, 7))

    def both(make: Any) -> tuple[Any, ...]:
        q, v, *given = (make(each) for each in (position, velocity, state, action))
        frames = env.arm.chain.frames(*(f(q) for f in (make.sin, make.cos)))
        motion = env.memory.motion(frames, v)
        held = env.memory.carried(given[0], motion)
        torque = env.memory.torque(given[1], motion, given[0])
        after = env.memory.after(*given, torque, motion, held)
        return held, env.memory.observed(given[0], held), torque, after

    class Numpy:
        sin, cos = np.sin, np.cos

        def __call__(self, each: Any) -> Any:
            return each

    class Torch:
        sin, cos = torch.sin, torch.cos

        def __call__(self, each: Any) -> Any:
            return like(each, torch.zeros((), dtype=torch.float64))

    for found, expected in zip(both(Torch()), both(Numpy()), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-12)
