# SPDX-License-Identifier: Apache-2.0
"""The memory that a collector writes and a learner reads, in one process or in two."""

from __future__ import annotations

import mmap
import os
import tempfile
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

EPISODE_RING = 256  # finished episodes that are remembered for the progress line


@dataclass(frozen=True)
class ExperienceShape:
    """Sizes of an `Experience`."""

    capacity: int
    observation: int
    action: int
    actor_parameters: int

    def layout(self) -> dict[str, tuple[type, tuple[int, ...]]]:
        """Type and shape of every array."""
        rows = self.capacity
        return {
            # int64 first, so that everything is aligned
            "counters": (np.int64, (8,)),
            "observation": (np.float32, (rows, self.observation)),
            "action": (np.float32, (rows, self.action)),
            "reward": (np.float32, (rows,)),
            "next_observation": (np.float32, (rows, self.observation)),
            "joint_position": (np.float32, (rows, self.action)),
            "terminated": (np.float32, (rows,)),
            "ended": (np.float32, (rows,)),
            "actor": (np.float32, (self.actor_parameters,)),
            "episodes": (np.float32, (EPISODE_RING, 2)),
        }

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays together."""
        return sum(
            int(np.dtype(kind).itemsize * np.prod(shape)) for kind, shape in self.layout().values()
        )


def _counter(index: int) -> Any:
    """A property over one slot of the counters.

    One process writes a slot and the others only read it: an aligned 64-bit load or store is
    whole on every machine that ROS 2 runs on, so no lock is needed.
    """

    def read(self: Experience) -> int:
        return int(self.counters[index])

    def write(self: Experience, value: int) -> None:
        self.counters[index] = value

    return property(read, write)


class Experience:
    """A ring of transitions, the actor's weights, and the counters that pace both sides.

    Rows are written by the collector only and become visible when `env_steps` counts them. The
    rows of E environments take turns: what follows row r in its environment stands in row r + E,
    unless `ended` says that the episode was over.
    """

    env_steps = _counter(0)  # transitions written so far; by the collector
    allowed_steps = _counter(1)  # up to where the collector may go; by the learner
    actor_version = _counter(2)  # odd while the weights are being written; by the learner
    paused = _counter(3)  # number of the pause that the collector shall make, 0: none; by learner
    standing = _counter(4)  # number of the pause that it makes; by the collector
    stopped = _counter(5)  # 1: the collector shall end; by the learner
    episodes_done = _counter(6)  # finished episodes; by the collector

    counters: NDArray[np.int64]
    observation: NDArray[np.float32]
    action: NDArray[np.float32]
    reward: NDArray[np.float32]
    next_observation: NDArray[np.float32]
    joint_position: NDArray[np.float32]  # rad, measured after the step
    terminated: NDArray[np.float32]  # 1 where the episode ended in the world
    ended: NDArray[np.float32]  # 1 after the last step of an episode, a time limit's included
    actor: NDArray[np.float32]
    episodes: NDArray[np.float32]

    def __init__(self, shape: ExperienceShape, file_descriptor: int | None = None) -> None:
        """Maps an existing file, or makes a new one that has no name and dies with its users."""
        self.shape = shape
        if file_descriptor is None:
            directory = "/dev/shm" if os.path.isdir("/dev/shm") else None
            with tempfile.TemporaryFile(dir=directory) as file:
                self.file_descriptor = os.dup(file.fileno())
            os.ftruncate(self.file_descriptor, shape.nbytes)
        else:
            self.file_descriptor = file_descriptor
        memory = mmap.mmap(self.file_descriptor, shape.nbytes)
        offset = 0
        for name, (kind, dimensions) in shape.layout().items():
            array: NDArray[Any] = np.ndarray(dimensions, kind, buffer=memory, offset=offset)
            setattr(self, name, array)
            offset += array.nbytes

    @property
    def size(self) -> int:
        """Rows that hold a transition."""
        return min(self.env_steps, self.shape.capacity)

    def publish_actor(self, flat: NDArray[np.float32]) -> None:
        """Offers new weights [parameters] to the collector."""
        self.actor_version += 1
        self.actor[:] = flat
        self.actor_version += 1

    def read_actor(self, known: int) -> tuple[NDArray[np.float32], int] | None:
        """The weights and their version, or None: nothing newer than `known`, or half written."""
        version = self.actor_version
        if version == known or version % 2:
            return None
        flat = self.actor.copy()
        return (flat, version) if self.actor_version == version else None

    def add_episode(self, episode_return: float, final_distance: float) -> None:
        """Remembers a finished episode: sum of rewards, and last distance in m."""
        self.episodes[self.episodes_done % EPISODE_RING] = (episode_return, final_distance)
        self.episodes_done += 1

    def recent_episodes(self, number: int) -> NDArray[np.float32]:
        """Returns and final distances of at most `number` latest episodes, [≤ number, 2]."""
        done = self.episodes_done
        first = max(0, done - min(number, EPISODE_RING))
        return self.episodes[np.arange(first, done) % EPISODE_RING]
