# SPDX-License-Identifier: Apache-2.0
"""The reach reward is its formula, and a goal changed afterwards is as if it had been there."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sac_ros.robots.arm import load_arm
from sac_ros.sim.env import ArmEnv
from sac_ros.tasks.reach import ReachTask
from sac_ros.tasks.task import RewardWeights, State
from sac_ros.utils.errors import ConfigurationError

ARM = load_arm("iiwa")
WEIGHTS = [
    field.name for field in dataclasses.fields(RewardWeights) if field.name[-6:] != "_scale"
]
METRE = st.floats(-1.0, 1.0, width=32)
POINT = st.tuples(METRE, METRE, METRE)


def task(**weights: float) -> ReachTask:
    """The task with these weights and all others zero; the bonus is halved at 5 cm."""
    zero = dict.fromkeys(WEIGHTS, 0.0)
    return ReachTask(ARM, {**zero, **weights})


def observed(
    position: np.ndarray,
    speed: np.ndarray,
    goal: np.ndarray,
    end_effector: np.ndarray,
    action: np.ndarray,
) -> np.ndarray:
    """Observations as float32, `speed` over the velocity limits."""
    state = State(np.sin(position), np.cos(position), speed, goal, end_effector, action)
    return task().observe(state).astype(np.float32)


def transition(
    distance: float = 0.3, speed: float = 0.9, change: float = 0.4, bend: float = 0.5
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """After a step: the end effector at `distance` of the goal, all joints at `speed` of their
    limit and `bend` rad from home, all actions `change` away from the one before."""
    still, goal = np.zeros(7), np.array([distance, 0.0, 0.0])
    before = observed(still, still, goal, np.zeros(3), still)
    action = np.full(7, change, dtype=np.float32)
    after = observed(ARM.home + bend, np.full(7, speed), goal, np.zeros(3), action)
    return before, action, after


@pytest.mark.parametrize(
    ("term", "expected"),
    [
        ("distance", -0.3),
        ("closeness", 1.0 / (1.0 + 0.3 / 0.05)),
        ("velocity", -(0.9**2)),
        ("overspeed", -7 * (0.9 - 0.8) ** 2),
        ("configuration", -0.5 * 0.5**2),
        ("action_change", -(0.4**2)),
    ],
)
def test_each_term_of_the_reward_is_its_formula(term: str, expected: float) -> None:
    assert task(**{term: 1.0}).reward(*transition()) == pytest.approx(expected, rel=1e-5)


def test_the_reward_is_the_sum_of_its_weighted_terms() -> None:
    weights = {name: 0.1 * (1 + index) for index, name in enumerate(WEIGHTS)}
    parts = [
        weight * task(**{name: 1.0}).reward(*transition()) for name, weight in weights.items()
    ]
    assert task(**weights).reward(*transition()) == pytest.approx(sum(parts), rel=1e-5)


def test_the_bonus_falls_to_one_half_at_its_scale() -> None:
    near = task(closeness=2.0).reward(*transition(distance=0.05))
    assert near == pytest.approx(1.0, rel=1e-5)
    assert task(closeness=2.0).reward(*transition(distance=0.0)) == pytest.approx(2.0)


def test_speed_below_four_fifths_of_the_limit_is_not_overspeed() -> None:
    fast = task(overspeed=1.0)
    assert fast.reward(*transition(speed=-0.8)) == pytest.approx(0.0, abs=1e-9)
    assert fast.reward(*transition(speed=-0.9)) < -0.01


@pytest.mark.parametrize("speed", [1.0, 1.5, 3.0])
def test_overspeed_beyond_the_limit_costs_in_proportion(speed: float) -> None:
    # (|v| − 0.8)² − (|v| − 1)² = 0.4 |v| − 0.36
    expected = -7 * (0.4 * speed - 0.36)
    found = task(overspeed=1.0).reward(*transition(speed=speed))
    assert found == pytest.approx(expected, rel=1e-5)


def test_the_reward_is_the_formula_of_its_docstring_over_random_transitions() -> None:
    rng = np.random.default_rng(1)
    q, v, a0, a1 = rng.uniform(-2, 2, (4, 50, 7))
    goal, end_effector = rng.uniform(-1, 1, (2, 50, 3))
    whole = ReachTask(ARM)
    before, after = (
        observed(q, v, goal, end_effector, a0),
        observed(q + 0.1, v, goal, end_effector, a1),
    )
    w, d = whole.weights, np.linalg.norm(goal - end_effector, axis=1)
    speed, rms = np.abs(v), np.sqrt((v**2).mean(axis=1))
    bonus = w.closeness + w.stillness / (1 + rms / w.stillness_scale)
    over = np.maximum(0, speed - 0.8) ** 2 - np.maximum(0, speed - 1) ** 2
    from_home = np.remainder(q + 0.1 - ARM.home + np.pi, 2 * np.pi) - np.pi
    expected = (
        bonus / (1 + d / w.closeness_scale)
        - w.distance * d
        - w.velocity * (v**2).mean(axis=1)
        - w.overspeed * over.sum(axis=1)
        - 0.5 * w.configuration * (from_home**2).mean(axis=1)
        - w.action_change * ((a1 - a0) ** 2).mean(axis=1)
    )
    found = whole.reward(before, a1.astype(np.float32), after)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_under_another_goal_a_reward_changes_by_its_goal_terms_alone() -> None:
    whole, goal = ReachTask(ARM), np.array([0.2, 0.4, -0.3], dtype=np.float32)
    before, action, after = transition()
    other_before, other_after = before.copy(), after.copy()
    whole.set_goal(other_before, goal)
    whole.set_goal(other_after, goal)
    change = whole.reward(other_before, action, other_after) - whole.reward(before, action, after)
    expected = whole.goal_reward(other_after) - whole.goal_reward(after)
    assert change == pytest.approx(expected, rel=1e-5)


def test_a_batch_is_rewarded_row_by_row() -> None:
    whole = task(**dict.fromkeys(WEIGHTS, 1.0))
    rows = [transition(distance=d, speed=s) for d, s in [(0.0, 0.0), (0.2, 0.9), (0.7, 0.1)]]
    batch = whole.reward(*(np.stack(column) for column in zip(*rows, strict=True)))
    assert batch.shape == (3,)
    np.testing.assert_allclose(batch, [whole.reward(*row) for row in rows], rtol=1e-6)


@settings(deadline=None)
@given(old=POINT, new=POINT, end_effector=POINT)
def test_another_goal_gives_the_observation_under_that_goal(
    old: tuple[float, ...], new: tuple[float, ...], end_effector: tuple[float, ...]
) -> None:
    rng = np.random.default_rng(0)
    q, v, a = rng.uniform(-1, 1, (3, 5, 7))
    recorded = observed(q, v, np.tile(old, (5, 1)), np.tile(end_effector, (5, 1)), a)
    expected = observed(q, v, np.tile(new, (5, 1)), np.tile(end_effector, (5, 1)), a)
    task().set_goal(recorded, np.tile(new, (5, 1)).astype(np.float32))
    np.testing.assert_allclose(recorded, expected, atol=1e-6)


def test_an_episode_relabelled_is_the_episode_that_had_that_goal_from_the_start() -> None:
    env = ArmEnv()
    goals = [np.array([0.4, 0.3, 0.5]), np.array([0.5, -0.2, 0.3])]
    episodes = []
    for goal in goals:
        actions = np.random.default_rng(3)
        rows = [env.reset(seed=8, options={"goal": goal})[0]]
        rewards = []
        for _ in range(40):
            row, reward, *_ = env.step(actions.uniform(-1, 1, 7).astype(np.float32))
            rows.append(row)
            rewards.append(reward)
        episodes.append((np.array(rows), np.array(rewards)))
    env.close()
    (recorded, _), (observations, expected) = episodes
    relabelled = recorded.copy()
    env.rows.task.set_goal(relabelled, np.tile(goals[1], (41, 1)).astype(np.float32))
    np.testing.assert_allclose(relabelled, observations, atol=1e-6)
    action = observations[1:, env.rows.task.columns("previous_action")]
    recomputed = env.rows.task.reward(relabelled[:-1], action, relabelled[1:])
    np.testing.assert_allclose(recomputed, expected, atol=1e-5)


def test_what_was_achieved_is_the_tip_and_a_goal_there_has_no_offset() -> None:
    rng = np.random.default_rng(2)
    q, v, a = rng.uniform(-1, 1, (3, 5, 7))
    goal, end_effector = rng.uniform(-1, 1, (2, 5, 3))
    whole, rows = ReachTask(ARM), observed(q, v, goal, end_effector, a)
    np.testing.assert_allclose(whole.achieved(rows), end_effector, atol=1e-6)
    np.testing.assert_allclose(whole.goal(rows), goal, atol=1e-6)
    whole.set_goal(rows, whole.achieved(rows))
    np.testing.assert_allclose(rows[:, whole.columns("goal_offset")], 0.0, atol=1e-6)


def test_a_goal_that_stays_keeps_every_number() -> None:
    whole, (_, _, rows) = ReachTask(ARM), transition(distance=1 / 3)
    kept = rows.copy()
    whole.set_goal(rows, whole.goal(rows).copy())
    np.testing.assert_array_equal(rows, kept)


def test_the_error_is_the_distance_and_a_tip_is_a_goal() -> None:
    end_effector = np.array(
        [[0.1, 0.2, 0.3, 0.0, 0.0, 0.0, 1.0], [0.4, 0.2, 0.7, 0.0, 0.0, 0.0, 1.0]]
    )
    whole = ReachTask(ARM)
    np.testing.assert_array_equal(whole.goal_at(end_effector), end_effector[:, :3])
    np.testing.assert_allclose(whole.error(np.array([0.1, 0.2, 0.3]), end_effector), [0.0, 0.5])
    np.testing.assert_array_equal(whole.goal_pose(end_effector[:, :3]), end_effector[:, :3])
    low, high = whole.goal_bounds()
    np.testing.assert_array_equal([low, high], [ARM.goal_low, ARM.goal_high])
    assert len(whole.goal_fields) == len(low) == 3


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ({"distance": -1.0}, "distance must be .*at least 0.*-1.0"),
        ({"closeness_scale": 0.0}, "closeness_scale must be .*; got 0.0"),
        ({"velocity": float("nan")}, "velocity must be .*; got nan"),
        ({"speed": 1.0}, "reward must have keys among distance, closeness, .*; got 'speed'"),
    ],
)
def test_a_weight_outside_its_valid_set_is_refused(weights: dict, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        ReachTask(ARM, weights)
