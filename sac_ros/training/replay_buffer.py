# SPDX-License-Identifier: Apache-2.0
"""The transitions that a collector writes and a learner draws from."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

EPISODE_RING = 256  # finished episodes that are remembered for the progress line
Layout = dict[str, tuple[type, tuple[int, ...]]]
"""Type and shape of arrays by name."""


def register(index: int) -> Any:
    """A property over one number of an object's `registers`.

    One process writes a number and the others only read it: an aligned 64-bit load or store is
    whole on every machine that ROS 2 runs on, so no lock is needed.
    """

    def read(self: Any) -> int:
        return int(self.registers[index])

    def write(self: Any, value: int) -> None:
        self.registers[index] = value

    return property(read, write)


class ReplayBuffer:
    """A ring of transitions and a ring of finished episodes.

    Rows are written by the collector only and become visible when `env_steps` counts them. The
    rows of E environments take turns: what follows row r in its environment stands in row r + E,
    unless the episode was over, by `ended`.
    """

    env_steps = register(0)  # transitions written so far
    episodes_done = register(1)

    observation: NDArray[np.float32]
    action: NDArray[np.float32]
    reward: NDArray[np.float32]
    next_observation: NDArray[np.float32]
    joint_position: NDArray[np.float32]  # rad, measured after the step
    terminated: NDArray[np.float32]  # 1 where the episode ended in the world
    ended: NDArray[np.float32]  # 1 after the last step of an episode, a time limit's included
    episodes: NDArray[np.float32]

    COLUMNS = (
        "observation", "action", "reward", "next_observation", "joint_position", "terminated",
        "ended",
    )  # fmt: skip

    def __init__(
        self, registers: NDArray[np.int64], capacity: int, arrays: dict[str, NDArray[np.float32]]
    ) -> None:
        """Lays itself over memory that is laid out by `layout`."""
        self.registers = registers
        self.capacity = capacity
        for name, array in arrays.items():
            setattr(self, name, array)

    @staticmethod
    def layout(capacity: int, observation: int, action: int) -> Layout:
        """Of `capacity` transitions with observations and actions of these sizes."""
        widths: dict[str, tuple[int, ...]] = {
            "observation": (observation,),
            "next_observation": (observation,),
            "action": (action,),
            "joint_position": (action,),
        }
        columns = ReplayBuffer.COLUMNS
        rows: Layout = {name: (np.float32, (capacity, *widths.get(name, ()))) for name in columns}
        return {**rows, "episodes": (np.float32, (EPISODE_RING, 2))}

    @property
    def size(self) -> int:
        """Rows that hold a transition."""
        return min(self.env_steps, self.capacity)

    def add_episode(self, episode_return: float, final_distance: float) -> None:
        """Remembers a finished episode: sum of rewards, and last distance in m."""
        self.episodes[self.episodes_done % EPISODE_RING] = (episode_return, final_distance)
        self.episodes_done += 1

    def recent_episodes(self, number: int) -> NDArray[np.float32]:
        """Returns and final distances of at most `number` latest episodes, [≤ number, 2]."""
        done = self.episodes_done
        first = max(0, done - min(number, EPISODE_RING))
        return self.episodes[np.arange(first, done) % EPISODE_RING]

    def recent_figures(self) -> tuple[float, float]:
        """Mean return of the latest 40 episodes, and the fraction that ended within 5 cm."""
        episodes = self.recent_episodes(40)
        if not len(episodes):
            return 0.0, 0.0
        return float(episodes[:, 0].mean()), float(np.mean(episodes[:, 1] < 0.05))
