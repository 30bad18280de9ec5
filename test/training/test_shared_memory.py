# SPDX-License-Identifier: Apache-2.0
"""The shared memory: what one side writes the other reads, whole."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from sac_ros.training.shared_memory import MemoryShape, SharedMemory, WeightsMailbox

SHAPE = MemoryShape(capacity=10, observation=3, action=2, actor_parameters=5)
CONTROL = ("allowed_steps", "paused", "standing", "stopped")


@pytest.fixture
def shared() -> SharedMemory:
    return SharedMemory(SHAPE)


@pytest.fixture
def weights(shared: SharedMemory) -> WeightsMailbox:
    return shared.weights


def registers(shared: SharedMemory) -> list[tuple[object, str]]:
    return [
        (shared.replay, "env_steps"),
        (shared.replay, "episodes_done"),
        (shared.weights, "version"),
        *((shared.control, name) for name in CONTROL),
    ]


def test_every_register_starts_at_zero_and_is_a_number_of_its_own(shared: SharedMemory) -> None:
    found = registers(shared)
    assert [getattr(owner, name) for owner, name in found] == [0] * len(found)
    for value, (owner, name) in enumerate(found, start=1):
        setattr(owner, name, value * 2**40)
    assert [getattr(owner, name) for owner, name in found] == [
        value * 2**40 for value in range(1, len(found) + 1)
    ]


def test_the_arrays_do_not_overlap(shared: SharedMemory) -> None:
    replay = shared.replay
    arrays = [getattr(replay, name) for name in (*replay.COLUMNS, "episodes")]
    arrays += [shared.weights.parameters]
    arrays += [each.registers for each in (replay, shared.weights, shared.control)]
    for value, array in enumerate(arrays):
        array[:] = value
    for value, array in enumerate(arrays):
        assert np.all(array == value), value
    assert sum(array.nbytes for array in arrays) == SHAPE.nbytes


def test_a_second_mapping_of_the_same_file_sees_what_the_first_wrote(
    shared: SharedMemory,
) -> None:
    other = SharedMemory(SHAPE, os.dup(shared.file_descriptor))
    shared.replay.observation[3] = [1.0, 2.0, 3.0]
    shared.replay.env_steps = 4
    np.testing.assert_array_equal(other.replay.observation[3], [1.0, 2.0, 3.0])
    assert other.replay.env_steps == 4


def test_another_process_sees_it_too(shared: SharedMemory) -> None:
    shared.replay.reward[:] = np.arange(10)
    code = (
        "from sac_ros.training.shared_memory import MemoryShape, SharedMemory\n"
        f"e = SharedMemory(MemoryShape(10, 3, 2, 5), {shared.file_descriptor}).replay\n"
        "e.env_steps = int(e.reward.sum())"
    )
    subprocess.run(
        [sys.executable, "-c", code],
        pass_fds=[shared.file_descriptor],
        check=True,
        timeout=60.0,
    )
    assert shared.replay.env_steps == 45


# ---- the actor's weights -----------------------------------------------------------------------


def test_a_published_actor_is_read_once_and_as_a_copy(weights: WeightsMailbox) -> None:
    assert weights.read(0) is None
    weights.publish(np.arange(5, dtype=np.float32))
    found = weights.read(0)
    assert found is not None
    flat, version = found
    np.testing.assert_array_equal(flat, np.arange(5))
    assert weights.read(version) is None
    weights.publish(np.full(5, 7.0, dtype=np.float32))
    np.testing.assert_array_equal(flat, np.arange(5))
    newer = weights.read(version)
    assert newer is not None
    np.testing.assert_array_equal(newer[0], np.full(5, 7.0))


def test_weights_that_are_being_written_are_not_read(weights: WeightsMailbox) -> None:
    weights.version += 1  # what publish does first
    weights.parameters[:2] = 1.0
    assert weights.read(0) is None


def test_weights_that_were_written_while_being_read_are_thrown_away(
    weights: WeightsMailbox,
) -> None:
    weights.publish(np.zeros(5, dtype=np.float32))

    class Overtaken:
        """Weights whose learner publishes while they are copied."""

        def copy(self) -> np.ndarray:
            torn = parameters.copy()
            weights.parameters = parameters
            weights.publish(np.ones(5, dtype=np.float32))
            return torn

    parameters = weights.parameters
    weights.parameters = Overtaken()  # type: ignore[assignment]
    assert weights.read(0) is None
    later = weights.read(0)
    assert later is not None
    np.testing.assert_array_equal(later[0], np.ones(5))
