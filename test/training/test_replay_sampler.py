# SPDX-License-Identifier: Apache-2.0
"""What is replayed is what was experienced, under another goal where that was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sac_ros.sac.agent import Batch
from sac_ros.sim.env import ArmEnv
from sac_ros.tasks.task import NEAR, RewardWeights
from sac_ros.training.hindsight import HindsightRelabeler
from sac_ros.training.replay_sampler import ReplaySampler

CAPACITY, SIZE, ACTION = 50, 4, 2


@dataclass
class Rows:
    """Transitions whose every number tells its row; the last column is the goal of both states."""

    size: int = CAPACITY

    def __post_init__(self) -> None:
        row = np.arange(CAPACITY, dtype=np.float32)
        self.observation = np.tile(row[:, None], (1, SIZE))
        self.action = np.tile(100 + row[:, None], (1, ACTION))
        self.reward = 200 + row
        self.next_observation = np.tile(300 + row[:, None], (1, SIZE))
        self.next_observation[:, -1] = row
        self.terminated = (row % 3 == 0).astype(np.float32)


class LastColumnTask:
    """The goal is the last column, and twice the goal is part of the reward."""

    moving = False
    size = SIZE
    weights = RewardWeights()

    def goal(self, observation: np.ndarray) -> np.ndarray:
        return observation[:, -1:]

    def near(self, achieved: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return achieved + 0.01 * rng.random(achieved.shape, dtype=np.float32)

    def achieved(self, observation: np.ndarray) -> np.ndarray:
        return 5000 + observation[:, :1]

    def set_goal(self, observation: np.ndarray, goal: np.ndarray) -> None:
        observation[:, -1:] = goal

    def goal_reward(self, next_observation: np.ndarray) -> np.ndarray:
        return 2 * next_observation[:, -1]


GOALS = np.array([[1000.0], [2000.0]], dtype=np.float32)


def replay(
    rows: Rows, *, probability: float = 0.0, near_probability: float = 0.0
) -> ReplaySampler:
    relabel = HindsightRelabeler(LastColumnTask(), GOALS, probability, near_probability)
    return ReplaySampler(rows, np.random.default_rng(0), relabel=relabel)


def test_a_batch_holds_whole_transitions() -> None:
    (batch,) = replay(Rows()).batches(1, 32)
    row = batch.observation[:, 0]
    assert batch.observation.shape == (32, SIZE)
    assert batch.action.shape == (32, ACTION)
    assert batch.reward.shape == batch.terminated.shape == (32,)
    assert (batch.action == 100 + row[:, None]).all()
    assert (batch.reward == 200 + row).all()
    assert (batch.next_observation[:, :-1] == 300 + row[:, None]).all()
    assert (batch.next_observation[:, -1] == row).all()
    assert (batch.terminated == (row % 3 == 0)).all()


def test_every_gradient_step_draws_its_own_batch() -> None:
    drawn = [tuple(batch.reward.tolist()) for batch in replay(Rows()).batches(16, 32)]
    assert len(drawn) == 16
    assert len(set(drawn)) == 16


def test_all_valid_rows_are_drawn_alike_and_no_other() -> None:
    batches = replay(Rows(size=20)).batches(50, 400)
    row = np.concatenate([batch.observation[:, 0].numpy() for batch in batches]).astype(int)
    counts = np.bincount(row)
    assert len(counts) == 20
    assert counts.min() > 800  # of 1000 expected, six standard deviations away
    assert counts.max() < 1200


def test_with_a_probability_of_one_every_transition_has_a_drawn_goal_and_its_reward() -> None:
    rows = Rows()
    (batch,) = replay(rows, probability=1.0).batches(1, 200)
    goal = batch.observation[:, -1]
    assert set(goal.tolist()) == {1000.0, 2000.0}
    assert (batch.next_observation[:, -1] == goal).all()  # one goal per transition
    row = batch.observation[:, 0]
    assert (batch.reward == 200 + row + 2 * (goal - row)).all()
    assert (batch.next_observation[:, :-1] == 300 + row[:, None]).all()
    assert (batch.action == 100 + row[:, None]).all()
    assert (batch.terminated == (row % 3 == 0)).all()
    np.testing.assert_array_equal(rows.observation, Rows().observation)  # the memory stays
    np.testing.assert_array_equal(rows.reward, Rows().reward)


def test_goals_change_with_the_probability_that_was_asked_for() -> None:
    source = replay(Rows(), probability=0.8)
    (batch,) = source.batches(1, 20_000)
    changed = batch.observation[:, -1] >= 1000.0
    assert changed.float().mean().item() == pytest.approx(0.8, abs=0.02)
    kept = batch.observation[~changed][:, 0]
    assert (batch.reward[~changed] == 200 + kept).all()
    assert (batch.observation[~changed][:, -1] == kept).all()


@pytest.mark.parametrize(
    "source", [replay(Rows(), probability=0.0), ReplaySampler(Rows(), np.random.default_rng(0))]
)
def test_without_a_probability_or_a_task_every_goal_stays(source: ReplaySampler) -> None:
    (batch,) = source.batches(1, 200)
    assert (batch.observation[:, -1] == batch.observation[:, 0]).all()
    assert (batch.reward == 200 + batch.observation[:, 0]).all()


@pytest.mark.parametrize(("progress", "near"), [(0.0, 0.0), (0.25, 0.1), (0.5, 0.2), (1.0, 0.2)])
def test_goals_near_what_was_achieved_come_in_over_the_first_half(
    progress: float, near: float
) -> None:
    source = replay(Rows(), probability=0.8, near_probability=0.2)
    source.set_progress(progress)
    (batch,) = source.batches(1, 20_000)
    row, goal = batch.observation[:, 0], batch.observation[:, -1]
    fresh, kept, close = (goal == 1000) | (goal == 2000), goal == row, goal > 4000
    assert (fresh | kept | close).all()
    assert kept.float().mean().item() == pytest.approx(0.2, abs=0.02)
    assert close.float().mean().item() == pytest.approx(near, abs=0.02)
    assert (batch.reward == 200 + row + 2 * (goal - row)).all()


def test_the_same_generator_draws_the_same_batches() -> None:
    drawn = [
        [batch.reward.tolist() for batch in replay(Rows(), probability=0.5).batches(3, 16)]
        for _ in range(2)
    ]
    assert drawn[0] == drawn[1]


def test_a_block_writes_over_the_one_before_and_never_over_the_memory() -> None:
    rows = Rows()
    source = replay(rows, probability=0.5)
    (first,) = source.batches(1, 32)
    before = first.reward.clone()
    (second,) = source.batches(1, 32)
    assert [each.data_ptr() for each in first if each is not None] == [
        each.data_ptr() for each in second if each is not None
    ]
    assert not torch.equal(second.reward, before)
    for batch in source.batches(2, 16):  # other sizes, other memory
        for column in batch[:5]:
            column.fill_(-1.0)
    for name in ("observation", "action", "reward", "next_observation", "terminated"):
        np.testing.assert_array_equal(getattr(rows, name), getattr(Rows(), name))


# ---- of the real task --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def recorded() -> tuple[ArmEnv, Rows]:
    """An environment and 200 transitions of random actions in it."""
    env = ArmEnv(episode_seconds=0.5)
    env.action_space.seed(0)
    columns: list[tuple[Any, ...]] = []
    observation, _ = env.reset(seed=0)
    for _ in range(200):
        action = env.action_space.sample()
        following, reward, terminated, truncated, _ = env.step(action)
        columns.append((observation, action, reward, following, terminated))
        observation = env.reset()[0] if truncated else following
    names = ("observation", "action", "reward", "next_observation", "terminated")
    rows = Rows(size=200)
    for name, column in zip(names, zip(*columns, strict=True), strict=True):
        setattr(rows, name, np.array(column, dtype=np.float32))
    env.close()
    return env, rows


@settings(deadline=None, max_examples=20)
@given(goal=st.tuples(*[st.floats(-1.0, 1.0, width=32)] * 3), seed=st.integers(0, 1000))
def test_a_relabelled_transition_is_the_environments_own_under_that_goal(
    recorded: tuple[ArmEnv, Rows], goal: tuple[float, ...], seed: int
) -> None:
    env, rows = recorded
    goals = np.array([goal], dtype=np.float32)
    relabel = HindsightRelabeler(env.rows.task, goals, probability=1.0, near_probability=0.0)
    source = ReplaySampler(rows, np.random.default_rng(seed), relabel=relabel)
    (batch,) = source.batches(1, 16)
    sine = batch.observation[:, env.rows.task.columns("joint_position_sin")].numpy()
    cosine = batch.observation[:, env.rows.task.columns("joint_position_cos")].numpy()
    position = np.arctan2(sine, cosine)
    velocity = batch.observation[:, env.rows.task.columns("joint_velocity")].numpy()
    end_effector = np.zeros((16, 7))
    end_effector[:, :3] = env.rows.arm.chain.forward(position)
    expected = env.rows.observe(
        np.hstack([position, velocity * env.rows.arm.velocity_limit, end_effector]),
        np.tile(goal, (16, 1)),
        batch.observation[:, env.rows.task.columns("previous_action")].numpy(),
    )
    np.testing.assert_allclose(batch.observation.numpy(), expected, atol=2e-6)
    reward = env.rows.task.reward(*(column.numpy() for column in (batch[0], batch[1], batch[3])))
    np.testing.assert_allclose(batch.reward.numpy(), reward, rtol=2e-6, atol=2e-6)


def test_near_goals_are_around_the_tip_evenly_up_to_their_distance(
    recorded: tuple[ArmEnv, Rows],
) -> None:
    env, rows = recorded
    relabel = HindsightRelabeler(
        env.rows.task, np.zeros((1, 3), dtype=np.float32), probability=1.0, near_probability=1.0
    )
    relabel.progress = 1.0
    observation = np.tile(rows.observation[:1], (20_000, 1))
    goals = relabel.draw(observation, np.random.default_rng(0))
    offset = goals - env.rows.task.achieved(observation)
    distance = np.linalg.norm(offset, axis=1)
    assert distance.max() <= NEAR * (1 + 1e-5)
    quartiles = np.quantile(distance, [0.25, 0.5, 0.75])
    np.testing.assert_allclose(quartiles, np.array([0.25, 0.5, 0.75]) * NEAR, atol=0.03 * NEAR)
    np.testing.assert_allclose(offset.mean(axis=0), 0.0, atol=0.03 * NEAR)
    end_effector = env.rows.task.achieved(rows.observation[:1])
    sine, cosine = (
        rows.observation[:1, env.rows.task.columns(f"joint_position_{name}")]
        for name in ("sin", "cos")
    )
    np.testing.assert_allclose(
        end_effector, env.rows.arm.chain.forward(np.arctan2(sine, cosine)), atol=1e-6
    )


def test_a_real_transition_that_keeps_its_goal_keeps_every_bit(
    recorded: tuple[ArmEnv, Rows],
) -> None:
    env, rows = recorded
    goals = np.array([[9.0, 9.0, 9.0]], dtype=np.float32)
    relabel = HindsightRelabeler(env.rows.task, goals, probability=0.3, near_probability=0.0)
    source = ReplaySampler(rows, np.random.default_rng(0), relabel=relabel)
    known = {row.tobytes(): index for index, row in enumerate(rows.observation[:200])}
    (batch,) = source.batches(1, 400)
    kept = batch.observation[:, env.rows.task.columns("goal")].numpy()[:, 0] != 9.0
    assert 200 < kept.sum() < 360  # 280 expected
    found = [known[row.tobytes()] for row in batch.observation.numpy()[kept]]
    for column, name in zip(batch[:5], Batch._fields, strict=False):
        np.testing.assert_array_equal(column.numpy()[kept], getattr(rows, name)[found])


def test_the_recorded_reward_is_the_recomputed_one(
    recorded: tuple[ArmEnv, Rows],
) -> None:
    env, rows = recorded
    recomputed = env.rows.task.reward(rows.observation, rows.action, rows.next_observation)
    # A single row is summed in another order than a batch, and float32 rounds a sum by its largest
    # term, however close to zero the sum is.
    rounding = env.rows.task.weights.closeness * np.finfo(np.float32).eps
    np.testing.assert_allclose(
        rows.reward, recomputed.astype(np.float32), rtol=1e-6, atol=rounding
    )


def test_a_goal_changes_in_what_was_told_and_in_what_is_true_which_is_rewarded() -> None:
    rows = Rows()
    for name, step in (("observation", 7.0), ("next_observation", 9.0)):
        told = getattr(rows, name)
        true = told + np.float32(step)
        true[:, -1] = told[:, -1]
        setattr(rows, name, np.hstack((told, true)))
    relabel = HindsightRelabeler(LastColumnTask(), GOALS, 1.0, 0.0)  # type: ignore[arg-type]
    sampler = ReplaySampler(rows, np.random.default_rng(0), relabel=relabel)
    (batch,) = sampler.batches(1, 32)
    for each in (batch.observation, batch.next_observation):
        goals = each[:, SIZE - 1], each[:, 2 * SIZE - 1]
        assert torch.equal(*goals)
        assert set(goals[0].tolist()) <= {1000.0, 2000.0}
    row = batch.observation[:, 0]
    changed = 2 * (batch.next_observation[:, -1] - row)
    torch.testing.assert_close(batch.reward, 200 + row + changed)


def test_what_a_change_of_the_action_costs_stays_where_no_other_price_is_set() -> None:
    env = ArmEnv(reward={"action_change": 0.05})
    relabel = HindsightRelabeler(env.rows.task, np.zeros((1, 3), np.float32), 0.0, 0.0)
    relabel.progress = 1.0
    assert relabel.late_reward(Rows(), np.arange(5)) == 0.0
    env.close()


def test_a_change_of_the_action_costs_more_in_the_second_half_of_a_training() -> None:
    env = ArmEnv(reward={"action_change": 2.0, "action_change_end": 8.0})
    task, rng = env.rows.task, np.random.default_rng(0)
    rows = Rows()
    rows.observation = rng.normal(size=(CAPACITY, task.size)).astype(np.float32)
    rows.next_observation = rows.observation.copy()
    rows.action = rng.uniform(-1, 1, (CAPACITY, 7)).astype(np.float32)
    before = rows.observation[:, task.columns("previous_action")]
    change = np.square(rows.action - before).mean(axis=1)
    relabel = HindsightRelabeler(task, np.zeros((1, 3), np.float32), 0.0, 0.0)
    sampler = ReplaySampler(rows, np.random.default_rng(0), relabel=relabel)
    for progress, more in ((0.0, 0.0), (0.25, 3.0), (0.5, 6.0), (1.0, 6.0)):
        sampler.set_progress(progress)
        (batch,) = sampler.batches(1, 64)
        row = [
            int(np.flatnonzero((rows.action == each).all(axis=1))[0])
            for each in batch.action.numpy()
        ]
        expected = rows.reward[row] - more * change[row]
        np.testing.assert_allclose(batch.reward, expected, rtol=1e-5)
    env.close()
