# SPDX-License-Identifier: Apache-2.0
"""The collector writes what happened, and steps with the actor it was given."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from counting_env import ACTION, CountingEnv, together

from sac_ros.training.collector import NOISE, Collector, CollectorSetup
from sac_ros.training.numpy_actor import ActorShape, NumpyActor
from sac_ros.training.replay_buffer import ReplayBuffer
from sac_ros.training.shared_memory import MemoryShape, SharedMemory

SHAPE = ActorShape.of(3, ACTION, (4,), (-3.0, 0.0))


def memory_for(capacity: int = 200) -> SharedMemory:
    return SharedMemory(MemoryShape(capacity, 3, ACTION, SHAPE.parameters))


def collector(envs: list[CountingEnv], shared: SharedMemory, **arguments: Any) -> Collector:
    defaults: dict[str, Any] = {
        "warm_up_steps": 0,
        "random_steps": 0,
        "noisy_steps": 0,
        "early_steps": 0,
        "early_episode_steps": 1,
        "widening_steps": 0,
        "continue_probability": 0.0,
        "seed": 0,
    }
    setup = CollectorSetup({}, len(envs), SHAPE, **{**defaults, **arguments})
    return Collector(together(envs), shared, setup)


def collected(envs: list[CountingEnv], steps: int, **arguments: Any) -> ReplayBuffer:
    shared = memory_for()
    shared.weights.publish(np.full(SHAPE.parameters, 0.1, dtype=np.float32))
    worker = collector(envs, shared, **arguments)
    for _ in range(steps):
        worker.step()
    return shared.replay


def test_transitions_are_chained_within_an_episode() -> None:
    memory = collected([CountingEnv(5)], 20)
    now, after = memory.observation[:20], memory.next_observation[:20]
    assert memory.env_steps == 20
    np.testing.assert_array_equal(after[:, 0], now[:, 0])  # the same episode
    np.testing.assert_array_equal(after[:, 1], now[:, 1] + 1)  # the next step
    np.testing.assert_array_equal(after[:, 2], memory.action[:20, 0])  # by that action
    np.testing.assert_array_equal(memory.reward[:20], after[:, 1])
    inside = now[1:, 1] > 0
    np.testing.assert_array_equal(now[1:][inside], after[:-1][inside])


def test_at_a_time_limit_the_last_state_is_kept_and_bootstraps() -> None:
    memory = collected([CountingEnv(5)], 20)
    last = memory.next_observation[:20, 1] == 5
    assert last.sum() == 4
    assert np.all(memory.terminated[:20] == 0.0)
    assert np.all(memory.next_observation[:20][last, 0] == [1, 2, 3, 4])  # not the next reset's


def test_a_termination_is_marked_at_its_own_row() -> None:
    memory = collected([CountingEnv(5, terminates=True)], 20)
    last = memory.next_observation[:20, 1] == 5
    np.testing.assert_array_equal(memory.terminated[:20], last.astype(np.float32))


@pytest.mark.parametrize("terminates", [True, False])
def test_the_last_step_of_an_episode_is_marked_whatever_ended_it(terminates: bool) -> None:
    memory = collected([CountingEnv(5, terminates), CountingEnv(3, terminates)], 20)
    last = memory.next_observation[:40, 1] == np.tile([5, 3], 20)
    assert last.sum() == 4 + 6
    np.testing.assert_array_equal(memory.ended[:40], last.astype(np.float32))


@pytest.mark.parametrize(("steps", "newest"), [(2, [3, 4, 5]), (3, [0, 6, 7])])
def test_a_new_collector_ends_the_episodes_that_the_old_one_left_in_flight(
    steps: int, newest: list[int]
) -> None:
    shared = memory_for(capacity=8)
    memory = shared.replay  # the third step wraps
    worker = collector([CountingEnv(100)] * 3, shared, random_steps=1000)
    for _ in range(steps):
        worker.step()
    assert memory.ended.sum() == 0
    collector([CountingEnv(100)] * 3, shared)
    np.testing.assert_array_equal(np.flatnonzero(memory.ended), newest)


def test_environments_take_turns_row_by_row() -> None:
    memory = collected([CountingEnv(100), CountingEnv(100), CountingEnv(100)], 4)
    np.testing.assert_array_equal(memory.observation[:12, 1], np.repeat(np.arange(4), 3))
    # Each with noise of its own.
    assert len(np.unique(memory.action[:12, 0])) == 12


def test_a_finished_episode_is_remembered_with_its_return_and_last_distance() -> None:
    memory = collected([CountingEnv(5)], 12)
    assert memory.episodes_done == 2
    np.testing.assert_allclose(memory.recent_episodes(9), [[15.0, 0.01], [15.0, 0.02]], atol=1e-6)


def test_the_ring_wraps_and_overwrites_the_oldest() -> None:
    shared = memory_for(capacity=8)
    memory = shared.replay
    worker = collector([CountingEnv(100)], shared, random_steps=1000)
    for _ in range(20):
        worker.step()
    assert (memory.env_steps, memory.size) == (20, 8)
    rows = memory.observation[:, 1]
    np.testing.assert_array_equal(np.sort(rows), np.arange(12, 20))
    assert rows[19 % 8] == 19


def test_a_step_that_meets_the_end_of_the_ring_goes_on_at_its_start() -> None:
    shared = memory_for(capacity=8)
    memory = shared.replay
    envs = [CountingEnv(100), CountingEnv(3), CountingEnv(100)]
    worker = collector(envs, shared, random_steps=1000)
    for _ in range(4):
        worker.step()
    # Steps 3 (from row 6 on) and 4 (from row 1 on), and what they have left of step 2.
    after = memory.next_observation[:, 1]
    np.testing.assert_array_equal(after, [3, 4, 1, 4, 2, 2, 3, 3])
    np.testing.assert_array_equal(memory.observation[:, 1], after - 1)
    np.testing.assert_array_equal(memory.reward, after)
    np.testing.assert_array_equal(memory.ended, [0, 0, 0, 0, 0, 0, 0, 1])
    np.testing.assert_array_equal(memory.next_observation[:, 2], memory.action[:, 0])


def test_the_transitions_of_a_step_become_visible_together() -> None:
    shared = memory_for()
    memory = shared.replay
    seen = []

    class Watching(CountingEnv):
        def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
            seen.append(memory.env_steps)
            return super().step(action)

    worker = collector([Watching(5), Watching(5)], shared)
    worker.step()
    worker.step()
    assert seen == [0, 0, 2, 2]
    assert memory.env_steps == 4


def test_the_first_actions_are_uniform_and_do_not_depend_on_the_actor() -> None:
    shared = memory_for(capacity=3000)
    memory = shared.replay
    shared.weights.publish(np.full(SHAPE.parameters, 50.0, dtype=np.float32))
    worker = collector([CountingEnv(100)], shared, random_steps=2000)
    for _ in range(2100):
        worker.step()
    first, later = memory.action[:2000], memory.action[2000:2100]
    assert np.abs(first.mean(axis=0)).max() < 0.06
    assert np.allclose(first.std(axis=0), 1 / np.sqrt(3), atol=0.03)
    np.testing.assert_allclose(later, 1.0)  # saturated by those weights


def test_a_newly_published_actor_is_used_from_the_next_step_on() -> None:
    shared = memory_for()
    memory = shared.replay
    shared.weights.publish(np.full(SHAPE.parameters, 50.0, dtype=np.float32))
    worker = collector([CountingEnv(100)], shared)
    worker.step()
    shared.weights.publish(np.full(SHAPE.parameters, -50.0, dtype=np.float32))
    worker.step()
    np.testing.assert_allclose(memory.action[0], 1.0)
    np.testing.assert_allclose(memory.action[1], -1.0, atol=1e-6)


@pytest.mark.parametrize(("probability", "continued"), [(0.0, 0), (1.0, 9)])
def test_an_episode_continues_where_the_one_before_ended_by_its_probability(
    probability: float, continued: int
) -> None:
    env = CountingEnv(5)
    collected([env], 45, continue_probability=probability)
    given = [each["joint_position"] for each in env.options if each and "joint_position" in each]
    assert len(given) == continued
    for episode, configuration in enumerate(given, start=1):
        np.testing.assert_array_equal(configuration, [episode, episode])


def test_the_seed_decides_everything_and_every_environment_has_its_own() -> None:
    found = []
    for seed in (1, 1, 2):
        envs = [CountingEnv(5), CountingEnv(5)]
        memory = collected(envs, 20, seed=seed, random_steps=10)
        found.append((memory.action.tobytes(), [env.seeds[0] for env in envs]))
    assert found[0] == found[1]
    assert found[0][0] != found[2][0]
    assert found[0][1] != found[2][1]
    assert len(set(found[0][1])) == 2


def test_the_first_episodes_are_cut_short_by_a_time_limit_and_later_ones_are_not() -> None:
    replay = collected([CountingEnv(5)], 20, early_steps=6, early_episode_steps=2)
    assert np.flatnonzero(replay.ended[:20]).tolist() == [1, 3, 5, 10, 15]
    assert not replay.terminated[[1, 3, 5]].any()


def test_worlds_widen_with_the_steps_and_then_are_whole() -> None:
    env = CountingEnv(5)
    collected([env], 30, widening_steps=20)
    shares = [None if each is None else each.get("randomization_fraction") for each in env.options]
    assert shares == [0.0, 0.25, 0.5, 0.75, None, None, None]


def test_the_true_observation_is_recorded_behind_what_was_told_where_there_is_room() -> None:
    shared = SharedMemory(MemoryShape(20, 6, ACTION, SHAPE.parameters))
    shared.weights.publish(np.full(SHAPE.parameters, 0.1, dtype=np.float32))

    class Telling(CountingEnv):
        def reset(self, **arguments: Any) -> tuple[np.ndarray, dict[str, Any]]:
            observation, info = super().reset(**arguments)
            return observation, {**info, "true_observation": 10 + observation}

        def step(self, action: np.ndarray) -> tuple[Any, ...]:
            observation, *others, info = super().step(action)
            return observation, *others, {**info, "true_observation": 10 + observation}

    worker = collector([Telling(5)], shared)
    for _ in range(12):
        worker.step()
    for rows in (shared.replay.observation[:12], shared.replay.next_observation[:12]):
        np.testing.assert_array_equal(rows[:, 3:], 10 + rows[:, :3])


def test_the_first_actions_of_an_initial_policy_are_its_own_with_noise() -> None:
    memory = collected([CountingEnv(100)], 60, noisy_steps=30)
    actor = NumpyActor(SHAPE)
    actor.load(np.full(SHAPE.parameters, 0.1, dtype=np.float32))
    action = memory.action[:60]
    noise = action - actor.deterministic(memory.observation[:60])
    clipped = np.abs(action) == 1.0
    assert clipped[:30].any()
    assert not clipped[30:].any()
    np.testing.assert_allclose(noise[:30][~clipped[:30]].std(), NOISE, rtol=0.5)
