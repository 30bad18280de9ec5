# SPDX-License-Identifier: Apache-2.0
"""The arms of a vector environment do what single environments do, and each its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from sac_ros.sim.env import ArmEnv, register
from sac_ros.sim.vector_env import INFO, ArmVectorEnv
from sac_ros.utils.errors import ConfigurationError

ARMS = 3

register()


@pytest.fixture
def env() -> Iterator[ArmVectorEnv]:
    made = ArmVectorEnv(ARMS, episode_seconds=0.5)
    yield made
    made.close()


def actions(steps: int, beyond: float = 1.5) -> np.ndarray:
    """Held for long enough that joints get fast, some beyond −1..1: [steps, ARMS, 7]."""
    drawn = np.random.default_rng(0).uniform(-beyond, beyond, (steps // 10 + 1, ARMS, 7))
    return np.repeat(drawn, 10, axis=0)[:steps].astype(np.float32)


def equal(found: Any, expected: Any, name: str = "") -> None:
    """The same bits for what Bullet computes, and else the same up to rounding."""
    if np.asarray(found).dtype == bool:
        np.testing.assert_array_equal(found, expected, err_msg=name)
        return
    exact = name in ("joint_position", "joint_velocity", "goal", "torque")
    tolerance = 0.0 if exact else 2e-6
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance, err_msg=name)


def equal_infos(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """Gymnasium leaves out, or fills with zeros, what is not about an arm."""
    assert found.keys() == expected.keys()
    for name in INFO:
        about = found[f"_{name}"]
        np.testing.assert_array_equal(about, expected[f"_{name}"], err_msg=name)
        equal(found[name][about], expected[name][about], name)


@pytest.mark.parametrize("backend", ["bullet", "mujoco", "mock"])
@pytest.mark.parametrize("compensation", ["robot", "policy"])
def test_it_does_what_gymnasium_makes_of_single_environments(
    backend: str, compensation: str
) -> None:
    arguments: dict[str, Any] = {
        "episode_seconds": 0.6,
        "backend": backend,
        "gravity_compensation": compensation,
        "randomization": {"latency_ms": [0, 30], "payload_kg": [0, 1], "position_noise": [0.001]},
    }
    single = SyncVectorEnv(
        [lambda: ArmEnv(**arguments)] * ARMS, autoreset_mode=AutoresetMode.DISABLED
    )
    ours = ArmVectorEnv(ARMS, **arguments)
    observations, infos = ours.reset(seed=5)
    expected, expected_infos = single.reset(seed=5)
    equal(observations, expected)
    equal_infos(infos, expected_infos)
    for step, action in enumerate(actions(60)):
        *found, infos = ours.step(action)
        *others, expected_infos = single.step(action)
        for ours_is, theirs in zip(found, others, strict=True):
            equal(ours_is, theirs)
        equal_infos(infos, expected_infos)
        assert np.all(found[3] == (step % 30 == 29))
        if step == 29:
            # One of them where it ended, the others elsewhere, as the collector does it.
            chosen = np.array([False, True, False])
            options = {"reset_mask": chosen, "joint_position": infos["joint_position"][1]}
            observations, infos = ours.reset(options=dict(options))
            expected, expected_infos = single.reset(options=dict(options))
            equal(observations, expected)
            equal_infos(infos, expected_infos)
            equal(
                ours.reset(options={"reset_mask": ~chosen})[0],
                single.reset(options={"reset_mask": ~chosen})[0],
            )
    ours.close()
    single.close()


def test_gymnasium_makes_it_by_the_name_of_the_environment() -> None:
    made = gymnasium.make_vec("sac_ros/ArmReach-v0", num_envs=2, episode_seconds=0.1)
    assert isinstance(made, ArmVectorEnv)
    assert made.metadata["autoreset_mode"] is AutoresetMode.DISABLED
    observations, _ = made.reset(seed=0)
    assert made.observation_space.contains(observations)
    observations, rewards, *_ = made.step(made.action_space.sample())
    assert made.observation_space.contains(observations)
    assert (observations.dtype, rewards.shape) == (np.float32, (2,))
    made.close()
    made.close()  # and again does nothing


def test_seeds_are_one_for_each_arm(env: ArmVectorEnv) -> None:
    single = ArmEnv()
    expected = [single.reset(seed=seed)[1]["goal"] for seed in (9, 2, 4)]
    single.close()
    np.testing.assert_array_equal(env.reset(seed=[9, 2, 4])[1]["goal"], expected)


def test_an_arm_that_is_not_chosen_goes_on_as_if_nothing_had_been(env: ArmVectorEnv) -> None:
    other = ArmVectorEnv(ARMS, episode_seconds=0.5)
    for each in (env, other):
        each.reset(seed=1)
        for action in actions(20):
            each.step(action)
    _, infos = env.reset(options={"reset_mask": np.array([True, False, False])})
    assert infos["_goal"].tolist() == [True, False, False]
    for action in actions(5):
        found, expected = env.step(action), other.step(action)
        for ours_is, theirs in zip(found[:4], expected[:4], strict=True):
            np.testing.assert_array_equal(ours_is[1:], theirs[1:])
    # At their 25th step, which is the first one's fifth.
    assert found[3].tolist() == [False, True, True]
    other.close()


def test_what_a_user_does_to_a_result_does_not_reach_the_environment(env: ArmVectorEnv) -> None:
    other = ArmVectorEnv(ARMS, episode_seconds=0.5)
    untouched: list[Any] = []
    for each in (env, other):
        results = [*each.reset(seed=1)]
        for action in actions(12):
            if each is env:
                for array in (*results[:-1], *results[-1].values()):
                    if array.flags.writeable:
                        array[...] = 1
            results = [*each.step(action)]
        untouched.append(results)
    for ours_is, theirs in zip(*(results[:4] for results in untouched), strict=True):
        np.testing.assert_array_equal(ours_is, theirs)
    for name, value in untouched[1][4].items():
        np.testing.assert_array_equal(untouched[0][4][name], value, name)
    other.close()


def test_apply_takes_the_controllers_torque_and_remembers_its_action(env: ArmVectorEnv) -> None:
    other = ArmVectorEnv(ARMS, episode_seconds=0.5)
    action = np.tile(np.linspace(-1, 1, 7), (ARMS, 1)).astype(np.float32)
    for each in (env, other):
        each.reset(seed=4)
    expected = env.step(action)
    found = other.apply(action, other.arm.action_scale * action)
    np.testing.assert_allclose(found[0], expected[0], atol=1e-6)
    torque = np.zeros((ARMS, 7))
    info = other.apply(action, torque)[-1]
    np.testing.assert_array_equal(info["torque"], torque)
    info["torque"][:] = 99.0
    np.testing.assert_array_equal(torque, 0.0)
    # What was held, not what was asked for.
    info = other.apply(action, np.full((ARMS, 7), -1e6))[-1]
    np.testing.assert_array_equal(info["torque"], np.tile(-other.arm.torque_limit, (ARMS, 1)))
    other.close()


def test_a_late_torque_is_the_one_that_was_sent_whatever_is_done_to_the_info() -> None:
    arguments: dict[str, Any] = {"randomization": {"command_latency_ms": [50]}}
    one, other = ArmVectorEnv(1, **arguments), ArmVectorEnv(1, **arguments)
    found: list[Any] = []
    for each in (one, other):
        each.reset(seed=4)
        for action in actions(10)[:, :1]:
            *_, info = each.step(action)
            if each is one:
                info["torque"][:] = 0.0
            found.append(info["true_state"])
    np.testing.assert_array_equal(found[:10], found[10:])
    one.close()
    other.close()


def test_it_renders_every_arm() -> None:
    env = ArmVectorEnv(2, render_mode="rgb_array")
    env.reset(seed=0)
    frames = env.render()
    assert len(frames) == 2
    assert all(frame.ndim == 3 and frame.std() > 5.0 for frame in frames)
    env.close()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda env: env.reset(seed=[1, 2]), r"seed must be 3 numbers; got 2"),
        (lambda env: env.reset(options={"gaol": [0, 0, 0]}), r"goal, joint_position.*'gaol'"),
        (
            lambda env: env.reset(options={"reset_mask": np.array([True])}),
            r"reset_mask must be 3 booleans; got \[True\]",
        ),
        (
            lambda env: env.reset(options={"reset_mask": np.array([0, 1, 2])}),
            r"reset_mask must be 3 booleans; got \[0, 1, 2\]",
        ),
        (lambda env: env.step(np.zeros(7)), r"actions must have shape \(3, 7\); got \(7,\)"),
        (lambda env: ArmVectorEnv(0), r"num_envs must be 1 or more; got 0"),
    ],
)
def test_what_it_cannot_use_is_refused_in_one_sentence(
    env: ArmVectorEnv, call: Any, words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        call(env)
