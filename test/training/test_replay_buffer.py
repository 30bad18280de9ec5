# SPDX-License-Identifier: Apache-2.0
"""The ring of transitions and the ring of finished episodes."""

from __future__ import annotations

import numpy as np
import pytest

from sac_ros.training.replay_buffer import EPISODE_RING, ReplayBuffer
from sac_ros.training.shared_memory import MemoryShape, SharedMemory


@pytest.fixture
def replay() -> ReplayBuffer:
    return SharedMemory(MemoryShape(10, 3, 2, 5)).replay


def test_it_starts_empty(replay: ReplayBuffer) -> None:
    assert replay.env_steps == replay.episodes_done == replay.size == 0
    assert replay.recent_episodes(10).shape == (0, 2)


def test_its_size_stops_at_the_capacity(replay: ReplayBuffer) -> None:
    for steps, size in ((9, 9), (10, 10), (11, 10), (1000, 10)):
        replay.env_steps = steps
        assert replay.size == size


def test_the_latest_episodes_come_in_order(replay: ReplayBuffer) -> None:
    for episode in range(5):
        replay.add_episode(float(episode), 0.1 * episode)
    np.testing.assert_array_equal(replay.recent_episodes(3)[:, 0], [2.0, 3.0, 4.0])
    np.testing.assert_allclose(replay.recent_episodes(3)[:, 1], [0.2, 0.3, 0.4])
    assert len(replay.recent_episodes(100)) == 5


def test_the_ring_of_episodes_wraps_and_keeps_the_latest(replay: ReplayBuffer) -> None:
    done = 2 * EPISODE_RING + 3
    for episode in range(done):
        replay.add_episode(float(episode), 0.0)
    recent = replay.recent_episodes(EPISODE_RING + 50)[:, 0]
    np.testing.assert_array_equal(recent, np.arange(done - EPISODE_RING, done))
    assert replay.episodes_done == done
