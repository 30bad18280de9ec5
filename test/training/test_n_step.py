# SPDX-License-Identifier: Apache-2.0
"""n-step returns stop where the episode or the memory does, and are sums by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sac_ros.sim.env import ArmEnv
from sac_ros.tasks.task import RewardWeights
from sac_ros.training.hindsight import HindsightRelabeler
from sac_ros.training.n_step import NStep
from sac_ros.training.replay_sampler import ReplaySampler
from sac_ros.utils.errors import ConfigurationError

TERMINATED, TRUNCATED = "terminated", "truncated"
OLD, NEW = 7.0, 1000.0  # goals


class Ring:
    """What a collector has written: step s with the number s in its state, s + 0.5 in the next."""

    def __init__(self, rewards: Sequence[float], ends: dict[int, str], capacity: int = 20) -> None:
        self.env_steps = len(rewards)
        self.size = min(self.env_steps, capacity)
        self.observation = np.zeros((capacity, 2), dtype=np.float32)
        self.next_observation = np.zeros((capacity, 2), dtype=np.float32)
        self.action = np.zeros((capacity, 1), dtype=np.float32)
        self.reward = np.zeros(capacity, dtype=np.float32)
        self.terminated = np.zeros(capacity, dtype=np.float32)
        self.ended = np.zeros(capacity, dtype=np.float32)
        for step, reward in enumerate(rewards):
            row = step % capacity
            self.observation[row] = (step, OLD)
            self.next_observation[row] = (step + 0.5, OLD)
            self.reward[row] = reward
            self.terminated[row] = ends.get(step) == TERMINATED
            self.ended[row] = step in ends


class Return(NamedTuple):
    """Of one window: Σ γʲ r, γᵏ, the last of its steps, and whether that one terminated."""

    reward: float
    discount: float
    last: int
    terminated: float


@dataclass
class GoalTask:
    """The second column is the goal, and three times the goal is part of the reward."""

    moving = False
    size = 2
    weights = RewardWeights()

    def goal(self, observation: np.ndarray) -> np.ndarray:
        return observation[:, 1:]

    def set_goal(self, observation: np.ndarray, goal: np.ndarray) -> None:
        observation[:, 1:] = goal

    def goal_reward(self, next_observation: np.ndarray) -> np.ndarray:
        return 3 * next_observation[:, 1]


def returns(ring: Ring, n_step: NStep, *, share: float = 0.0) -> dict[tuple[int, bool], Return]:
    """Every window that was drawn, by its first step and whether its goal was changed."""
    goals = np.array([[NEW]], dtype=np.float32)
    relabel = HindsightRelabeler(GoalTask(), goals, share, near_probability=0.0)
    source = ReplaySampler(ring, np.random.default_rng(0), relabel=relabel, n_step=n_step)
    (batch,) = source.batches(1, 50 * ring.size)
    assert batch.discount is not None
    found: dict[tuple[int, bool], Return] = {}
    for row in range(len(batch.reward)):
        step, goal = batch.observation[row].tolist()
        last, next_goal = batch.next_observation[row].tolist()
        assert next_goal == goal
        one = Return(
            batch.reward[row].item(),
            batch.discount[row].item(),
            int(last - 0.5),
            batch.terminated[row].item(),
        )
        assert found.setdefault((int(step), goal == NEW), one) == one
    return found


def by_step(found: dict[tuple[int, bool], Return]) -> dict[int, Return]:
    assert not any(changed for _, changed in found)
    return {step: one for (step, _), one in found.items()}


# ---- by hand, with γ = ½ and rewards that are powers of two ------------------------------------

HALF = {"gamma": 0.5}


def test_windows_of_one_environment_end_with_episodes_and_at_the_newest_step() -> None:
    ring = Ring([1, 2, 4, 8, 16, 32, 64, 128], {3: TERMINATED, 6: TRUNCATED})
    assert by_step(returns(ring, NStep(3, stride=1, **HALF))) == {
        0: Return(1 + 1 + 1, 1 / 8, 2, 0.0),
        1: Return(2 + 2 + 2, 1 / 8, 3, 1.0),
        2: Return(4 + 4, 1 / 4, 3, 1.0),
        3: Return(8, 1 / 2, 3, 1.0),
        4: Return(16 + 16 + 16, 1 / 8, 6, 0.0),  # a time limit bootstraps, from its own next state
        5: Return(32 + 32, 1 / 4, 6, 0.0),
        6: Return(64, 1 / 2, 6, 0.0),
        7: Return(128, 1 / 2, 7, 0.0),
    }


def test_windows_of_three_environments_that_take_turns_do_not_mix() -> None:
    ring = Ring([1, 10, 100, 2, 20, 200, 4, 40, 400], {4: TRUNCATED})
    assert by_step(returns(ring, NStep(2, stride=3, **HALF))) == {
        0: Return(1 + 1, 1 / 4, 3, 0.0),
        3: Return(2 + 2, 1 / 4, 6, 0.0),
        6: Return(4, 1 / 2, 6, 0.0),
        1: Return(10 + 10, 1 / 4, 4, 0.0),
        4: Return(20, 1 / 2, 4, 0.0),
        7: Return(40, 1 / 2, 7, 0.0),
        2: Return(100 + 100, 1 / 4, 5, 0.0),
        5: Return(200 + 200, 1 / 4, 8, 0.0),
        8: Return(400, 1 / 2, 8, 0.0),
    }


def test_no_window_goes_on_from_the_newest_step_to_the_oldest() -> None:
    ring = Ring([1, 2, 4, 8, 16, 32, 64, 128], {}, capacity=5)
    assert by_step(returns(ring, NStep(3, stride=1, **HALF))) == {
        3: Return(8 + 8 + 8, 1 / 8, 5, 0.0),  # over the end of the arrays
        4: Return(16 + 16 + 16, 1 / 8, 6, 0.0),
        5: Return(32 + 32 + 32, 1 / 8, 7, 0.0),
        6: Return(64 + 64, 1 / 4, 7, 0.0),
        7: Return(128, 1 / 2, 7, 0.0),
    }


def test_under_another_goal_every_reward_of_the_window_is_of_that_goal() -> None:
    ring = Ring([1, 2, 4, 8], {3: TERMINATED})
    more = 3 * (NEW - OLD)
    assert returns(ring, NStep(3, stride=1, **HALF), share=0.5) == {
        (0, False): Return(3, 1 / 8, 2, 0.0),
        (1, False): Return(6, 1 / 8, 3, 1.0),
        (2, False): Return(8, 1 / 4, 3, 1.0),
        (3, False): Return(8, 1 / 2, 3, 1.0),
        (0, True): Return(3 + 1.75 * more, 1 / 8, 2, 0.0),
        (1, True): Return(6 + 1.75 * more, 1 / 8, 3, 1.0),
        (2, True): Return(8 + 1.5 * more, 1 / 4, 3, 1.0),
        (3, True): Return(8 + more, 1 / 2, 3, 1.0),
    }


# ---- against an obvious implementation ---------------------------------------------------------


def one_by_one(
    rewards: Sequence[float], ends: dict[int, str], n_step: NStep, first: int
) -> Return:
    """The window that begins with step `first`, in float64, as its definition reads."""
    total, step = 0.0, first
    for j in range(n_step.steps):
        step = first + j * n_step.stride
        total += n_step.gamma**j * rewards[step]
        if step in ends or step + n_step.stride >= len(rewards):
            break
    return Return(total, n_step.gamma ** (j + 1), step, float(ends.get(step) == TERMINATED))


@settings(deadline=None)
@given(
    rewards=st.lists(st.floats(-10.0, 10.0, width=32), min_size=1, max_size=40),
    ends=st.dictionaries(st.integers(0, 39), st.sampled_from([TERMINATED, TRUNCATED]), max_size=9),
    steps=st.integers(2, 6),
    gamma=st.floats(0.0, 1.0),
    stride=st.integers(1, 4),
    spare=st.integers(0, 30),
)
def test_every_window_is_what_its_definition_says(
    rewards: list[float],
    ends: dict[int, str],
    steps: int,
    gamma: float,
    stride: int,
    spare: int,
) -> None:
    n_step = NStep(steps, gamma, stride)
    ring = Ring(rewards, ends, capacity=n_step.span + spare)
    found = by_step(returns(ring, n_step))
    assert set(found) == set(range(ring.env_steps - ring.size, ring.env_steps))
    for step, one in found.items():
        expected = one_by_one(rewards, ends, n_step, step)
        assert one[2:] == expected[2:], step
        assert one[:2] == pytest.approx(expected[:2], rel=1e-6, abs=2e-5), step


def test_windows_of_the_real_task_are_the_environments_own_under_another_goal() -> None:
    env = ArmEnv(episode_seconds=0.4)
    env.action_space.seed(0)
    goal, other = np.array([0.5, 0.1, 0.5]), np.array([[0.45, 0.12, 0.48]], dtype=np.float32)
    ring = Ring([0.0] * 60, {19: TRUNCATED, 39: TRUNCATED, 59: TRUNCATED}, capacity=60)
    names = ("observation", "action", "reward", "next_observation")
    columns: list[tuple[np.ndarray, ...]] = []
    for episode in range(3):
        before, _ = env.reset(seed=episode, options={"goal": goal})
        for _ in range(20):
            action = env.action_space.sample()
            after, reward, *_ = env.step(action)
            columns.append((before, action, np.float32(reward), after))
            before = after
    env.close()
    for name, column in zip(names, zip(*columns, strict=True), strict=True):
        setattr(ring, name, np.array(column, dtype=np.float32))
    (batch,) = ReplaySampler(
        ring,
        np.random.default_rng(0),
        relabel=HindsightRelabeler(env.rows.task, other, probability=1.0, near_probability=0.0),
        n_step=NStep(3, 0.9, 1),
    ).batches(1, 200)

    now, following = ring.observation.copy(), ring.next_observation.copy()
    for each in (now, following):
        env.rows.task.set_goal(each, np.tile(other, (60, 1)))
    rewards = env.rows.task.reward(now, ring.action, following)
    expected = [
        one_by_one(rewards, {19: TRUNCATED, 39: TRUNCATED}, NStep(3, 0.9, 1), step)
        for step in range(60)
    ]
    step_of = {row.tobytes(): step for step, row in enumerate(now)}
    assert batch.discount is not None
    for row in range(200):
        one = expected[step_of[batch.observation[row].numpy().tobytes()]]
        assert batch.reward[row].item() == pytest.approx(one.reward, abs=1e-5)
        assert batch.discount[row].item() == pytest.approx(one.discount)
        np.testing.assert_array_equal(batch.next_observation[row], following[one.last])


# ---- one step, and what is refused -------------------------------------------------------------


def test_one_step_is_the_replay_without_windows() -> None:
    ring = Ring([1, 2, 4, 8], {1: TERMINATED})
    drawn = [
        ReplaySampler(ring, np.random.default_rng(0), n_step=n_step).batches(1, 50)[0]
        for n_step in (None, NStep(1, 0.5, 1))
    ]
    assert drawn[0].discount is drawn[1].discount is None
    for one, other in zip(drawn[0][:5], drawn[1][:5], strict=True):
        assert one.equal(other)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((0, 0.9, 1), "steps of n-step returns must be at least 1; got 0"),
        ((3, 0.9, 0), "stride of n-step returns must be at least 1; got 0"),
        ((3, 1.1, 1), r"gamma of n-step returns must be in 0..1; got 1\.1"),
        ((3, float("nan"), 1), r"gamma of n-step returns must be in 0..1; got nan"),
    ],
)
def test_an_impossible_window_is_refused(arguments: tuple[int, float, int], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        NStep(*arguments)


def test_a_memory_that_holds_no_whole_window_is_refused() -> None:
    ring = Ring([], {}, capacity=11)
    with pytest.raises(
        ConfigurationError, match=r"replay_capacity must be at least 12, .*; got 11"
    ):
        ReplaySampler(ring, np.random.default_rng(0), n_step=NStep(3, 0.9, 4))
