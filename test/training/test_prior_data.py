# SPDX-License-Identifier: Apache-2.0
"""Recordings as experience: what an arm did in them, and what a training makes of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bag_maker import COMMANDS, START_NS, STATES, Entry, joint_state, numbers, write_bag

from sac_ros.sac.agent import SacAgent
from sac_ros.sac.config import SacConfig
from sac_ros.sim.vector_env import ArmVectorEnv
from sac_ros.training.n_step import NStep
from sac_ros.training.prior_data import PriorData, read_prior_data
from sac_ros.training.replay_sampler import MixedSampler, ReplaySampler
from sac_ros.utils.errors import BagError, ConfigurationError

STEPS = 120


def environment(**arguments: Any) -> ArmVectorEnv:
    return ArmVectorEnv(1, backend="mujoco", **arguments)


@dataclass
class Episode:
    """What an environment saw while it was recorded."""

    observation: list[Any]
    action: list[Any]


def recorded(
    env: ArmVectorEnv,
    path: Path,
    torque_factor: float = 1.0,
    period_s: float = 0.02,
    prefix: str = "",
) -> Episode:
    """Writes a bag of slow random actions, as a robot's recorder would."""
    rng, n = np.random.default_rng(3), env.arm.joints
    observation, info = env.reset(seed=7)
    seen, entries, action = Episode([], []), [], np.zeros((1, n), dtype=np.float32)
    for step in range(STEPS):
        at = START_NS + round(step * period_s * 1e9)
        measured = (info["joint_position"][0], info["joint_velocity"][0])
        names = [prefix + name for name in env.arm.joint_names]
        entries.append(Entry(STATES, "states", at, joint_state(at, names, *measured)))
        action = (0.8 * action + 0.1 * rng.standard_normal(action.shape)).astype(np.float32)
        seen.observation.append(observation[0])
        seen.action.append(action[0])
        observation, *_, info = env.step(action)
        sent = torque_factor * info["torque"][0]
        entries.append(Entry(COMMANDS, "numbers", at + 200_000, numbers(sent)))
    write_bag(path, entries)
    return seen


def mostly_equal(found: Any, taken: Any) -> bool:
    """But where several actions make one torque: where joints are fast, or speed up at most."""
    return bool(np.mean(np.abs(found - taken) < 5e-3) > 0.9)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"task": "pose", "action_history": 3, "observer_rate": 2.0},
        {"prior": "computed_torque", "observer_rate": 3.0},
        {"gravity_compensation": "policy"},
        {"arm": "panda"},
    ],
    ids=["reach", "pose that carries", "servo", "g(q) in the torque", "panda"],
)
def test_a_recording_tells_the_actions_that_were_taken_and_what_was_observed(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    env = environment(**settings)
    seen = recorded(env, tmp_path / "bag")
    data = read_prior_data([tmp_path / "bag"], env, say=lambda _: None)
    assert data.size >= STEPS - 3
    assert mostly_equal(data.action, np.array(seen.action)[: data.size])
    # All but goal and aim: of goals a recording says nothing.
    task, taken = env.task, np.array(seen.observation)
    for name in ("joint_position_sin", "joint_velocity", "previous_action"):
        columns = task.columns(name)
        assert mostly_equal(data.observation[:, columns], taken[: data.size, columns])
        assert mostly_equal(data.next_observation[:-1, columns], taken[1 : data.size, columns])
    again = task.reward(data.observation, data.action, data.next_observation)
    np.testing.assert_allclose(data.reward, again, atol=1e-5)
    # The goal was reached in the end.
    assert task.distance(data.next_observation[-1:])[0] < 1e-3
    np.testing.assert_array_equal(np.flatnonzero(data.ended), [data.size - 1])


def test_joints_with_other_names_are_paired(tmp_path: Path) -> None:
    env = environment()
    recorded(env, tmp_path / "bag", prefix="left_")
    with pytest.raises(BagError, match=r"pair them with prior_data_joints ARM=BAG"):
        read_prior_data([tmp_path / "bag"], env)
    pairs = ",".join(f"{name}=left_{name}" for name in env.arm.joint_names)
    data = read_prior_data([tmp_path / "bag"], env, lambda _: None, pairs)
    assert data.size >= STEPS - 3


def test_in_worlds_that_differ_the_truth_is_what_was_measured(tmp_path: Path) -> None:
    env = environment(randomization={"payload_kg": (0.0, 0.0), "latency_ms": (0.0, 20.0)})
    recorded(environment(), tmp_path / "bag")
    data = read_prior_data([tmp_path / "bag"], env, say=lambda _: None)
    told, true = np.split(data.observation, 2, axis=1)
    np.testing.assert_array_equal(told, true)
    assert told.shape[1] == env.task.size


def test_steps_whose_torque_no_action_makes_are_left_out_and_said(tmp_path: Path) -> None:
    env, said = environment(), list[str]()
    recorded(env, tmp_path / "bag", torque_factor=3.0)
    data = read_prior_data([tmp_path / "bag"], env, say=said.append)
    assert 0 < data.size < STEPS - 3
    left_out = STEPS - 1 - data.size
    assert f"{data.size} steps" in said[0]
    assert f"{left_out} left out" in said[0]
    # No window of an n-step return leads over what is missing.
    assert data.ended.sum() > 1
    recorded(env, tmp_path / "strong", torque_factor=1000.0)
    with pytest.raises(ConfigurationError, match="prior_data must hold steps that the policy's"):
        read_prior_data([tmp_path / "strong"], env)


def test_what_cannot_be_used_is_refused_in_a_sentence(tmp_path: Path) -> None:
    env = environment()
    recorded(env, tmp_path / "slow", period_s=0.1)
    with pytest.raises(BagError, match=r"must have a joint state every 0\.03 s .* one every 0\.1"):
        read_prior_data([tmp_path / "slow"], env)
    with pytest.raises(ConfigurationError, match="must be empty for the task track, whose goals"):
        read_prior_data([tmp_path / "slow"], environment(task="track"))
    recorded(env, tmp_path / "no numbers", torque_factor=float("nan"))
    with pytest.raises(BagError):
        read_prior_data([tmp_path / "no numbers"], env)
    with pytest.raises(BagError, match="is of another arm"):
        read_prior_data([tmp_path / "slow"], environment(arm="panda"))


# ---- learning from both ---------------------------------------------------------------------


def cart(state: Any, action: Any) -> tuple[Any, Any]:
    """A cart on a line, [x, v] each [B, 1]: force in, reward for being at 0, at rest."""
    x, v = state[:, :1], 0.8 * state[:, 1:] + 0.4 * action
    x = np.clip(x + 0.4 * v, -2.0, 2.0)
    return np.concatenate([x, v], axis=1), -(x**2 + 0.1 * v**2)[:, 0]


def transitions(rows: int, teacher: Any, rng: np.random.Generator) -> PriorData:
    state = rng.uniform(-1.5, 1.5, (rows, 2)).astype(np.float32)
    action = teacher(state).astype(np.float32)
    following, reward = cart(state, action)
    zeros = np.zeros(rows, dtype=np.float32)
    return PriorData(state, action, reward, following, zeros, zeros + 1.0)


@pytest.mark.parametrize(
    "teacher",
    [lambda state: np.ones((len(state), 1)), lambda state: np.sign(state[:, :1])],
    ids=["pushes always", "pushes away"],
)
def test_a_bad_teacher_does_no_harm(teacher: Any) -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    own = transitions(20_000, lambda state: rng.uniform(-1.0, 1.0, (len(state), 1)), rng)
    mixed = MixedSampler(
        *(
            ReplaySampler(each, rng, n_step=NStep(1, 0.9, stride=1))
            for each in (own, transitions(5_000, teacher, rng))
        )
    )
    config = SacConfig(
        hidden_sizes=(32, 32), learning_rate=3e-3, tau=0.05, gamma=0.9, initial_temperature=0.05,
        averaging_window_fraction=0.02,
    )  # fmt: skip
    sac = SacAgent(2, 1, config)
    for batch in (each for _ in range(50) for each in mixed.batches(10, 256)):
        assert len(batch.reward) == 256
        sac.update(batch)
    state = rng.uniform(-1.0, 1.0, (200, 2)).astype(np.float32)
    with torch.no_grad():
        for _ in range(25):
            action = sac.averaged_actor.deterministic(torch.from_numpy(state)).numpy()
            state = cart(state, action)[0].astype(np.float32)
    assert np.abs(state).mean(axis=0).max() < 0.1


def test_half_of_a_batch_is_given_at_first_and_less_and_less_later() -> None:
    rng = np.random.default_rng(0)
    own = transitions(100, lambda state: np.zeros((len(state), 1)), rng)
    given = transitions(100, lambda state: np.ones((len(state), 1)), rng)
    mixed = MixedSampler(ReplaySampler(own, rng), ReplaySampler(given, rng))
    for progress, rows in ((0.0, 16), (0.15, 8), (0.3, 0), (1.0, 0)):
        mixed.set_progress(progress)
        for batch in mixed.batches(2, 32):
            expected = [0.0] * (32 - rows) + [1.0] * rows
            np.testing.assert_array_equal(batch.action[:, 0], expected)
