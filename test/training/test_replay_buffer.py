# SPDX-License-Identifier: Apache-2.0
"""The shared memory: what one side writes the other reads, whole."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from sac_ros.training.replay_buffer import EPISODE_RING, Experience, ExperienceShape

SHAPE = ExperienceShape(capacity=10, observation=3, action=2, actor_parameters=5)
COUNTERS = (
    "env_steps", "allowed_steps", "actor_version", "paused", "standing", "stopped",
    "episodes_done",
)  # fmt: skip


@pytest.fixture
def experience() -> Experience:
    return Experience(SHAPE)


def test_it_starts_empty(experience: Experience) -> None:
    assert {name: getattr(experience, name) for name in COUNTERS} == dict.fromkeys(COUNTERS, 0)
    assert experience.size == 0
    assert experience.recent_episodes(10).shape == (0, 2)


def test_every_counter_is_a_slot_of_its_own(experience: Experience) -> None:
    for value, name in enumerate(COUNTERS, start=1):
        setattr(experience, name, value * 2**40)
    assert [getattr(experience, name) for name in COUNTERS] == [
        value * 2**40 for value in range(1, len(COUNTERS) + 1)
    ]


def test_the_arrays_do_not_overlap(experience: Experience) -> None:
    names = list(SHAPE.layout())
    for value, name in enumerate(names):
        getattr(experience, name)[:] = value
    for value, name in enumerate(names):
        assert np.all(getattr(experience, name) == value), name


def test_a_second_mapping_of_the_same_file_sees_what_the_first_wrote(
    experience: Experience,
) -> None:
    other = Experience(SHAPE, os.dup(experience.file_descriptor))
    experience.observation[3] = [1.0, 2.0, 3.0]
    experience.env_steps = 4
    np.testing.assert_array_equal(other.observation[3], [1.0, 2.0, 3.0])
    assert other.env_steps == 4


def test_another_process_sees_it_too(experience: Experience) -> None:
    experience.reward[:] = np.arange(10)
    code = (
        "from sac_ros.training.replay_buffer import Experience, ExperienceShape\n"
        f"e = Experience(ExperienceShape(10, 3, 2, 5), {experience.file_descriptor})\n"
        "e.env_steps = int(e.reward.sum())"
    )
    subprocess.run(
        [sys.executable, "-c", code],
        pass_fds=[experience.file_descriptor],
        check=True,
        timeout=60.0,
    )
    assert experience.env_steps == 45


def test_its_size_stops_at_the_capacity(experience: Experience) -> None:
    for steps, size in ((9, 9), (10, 10), (11, 10), (1000, 10)):
        experience.env_steps = steps
        assert experience.size == size


# ---- the actor's weights -----------------------------------------------------------------------


def test_a_published_actor_is_read_once_and_as_a_copy(experience: Experience) -> None:
    assert experience.read_actor(0) is None
    experience.publish_actor(np.arange(5, dtype=np.float32))
    found = experience.read_actor(0)
    assert found is not None
    flat, version = found
    np.testing.assert_array_equal(flat, np.arange(5))
    assert experience.read_actor(version) is None
    experience.publish_actor(np.full(5, 7.0, dtype=np.float32))
    np.testing.assert_array_equal(flat, np.arange(5))
    newer = experience.read_actor(version)
    assert newer is not None
    np.testing.assert_array_equal(newer[0], np.full(5, 7.0))


def test_weights_that_are_being_written_are_not_read(experience: Experience) -> None:
    experience.actor_version += 1  # what publish_actor does first
    experience.actor[:2] = 1.0
    assert experience.read_actor(0) is None


def test_weights_that_were_written_while_being_read_are_thrown_away(
    experience: Experience,
) -> None:
    experience.publish_actor(np.zeros(5, dtype=np.float32))

    class Overtaken:
        """The weights of an experience whose learner publishes while they are copied."""

        def copy(self) -> np.ndarray:
            torn = weights.copy()
            experience.actor = weights
            experience.publish_actor(np.ones(5, dtype=np.float32))
            return torn

    weights = experience.actor
    experience.actor = Overtaken()  # type: ignore[assignment]
    assert experience.read_actor(0) is None
    later = experience.read_actor(0)
    assert later is not None
    np.testing.assert_array_equal(later[0], np.ones(5))


# ---- finished episodes -------------------------------------------------------------------------


def test_the_latest_episodes_come_in_order(experience: Experience) -> None:
    for episode in range(5):
        experience.add_episode(float(episode), 0.1 * episode)
    np.testing.assert_array_equal(experience.recent_episodes(3)[:, 0], [2.0, 3.0, 4.0])
    np.testing.assert_allclose(experience.recent_episodes(3)[:, 1], [0.2, 0.3, 0.4])
    assert len(experience.recent_episodes(100)) == 5


def test_the_ring_of_episodes_wraps_and_keeps_the_latest(experience: Experience) -> None:
    done = 2 * EPISODE_RING + 3
    for episode in range(done):
        experience.add_episode(float(episode), 0.0)
    recent = experience.recent_episodes(EPISODE_RING + 50)[:, 0]
    np.testing.assert_array_equal(recent, np.arange(done - EPISODE_RING, done))
    assert experience.episodes_done == done
