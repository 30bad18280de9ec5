# SPDX-License-Identifier: Apache-2.0
"""The collector in an actor of Ray, started by `RaySource`; it needs no torch."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from sac_ros.training.collector import Collector, CollectorSetup
from sac_ros.training.shared_memory import MemoryShape, SharedMemory

CHUNK = 640  # transitions that cross at once; fewer cost the learner's core more
LONGEST = 1.0  # s that a chunk may take; then it is shorter

Chunk = tuple[dict[str, NDArray[np.float32]], NDArray[np.float32]]
"""Columns of the replay buffer, and the episodes that ended."""


class RemoteCollector:
    """What an actor runs: a `Collector` over a small memory of its own.

    Given the seed, and the weights at every step, it collects the same wherever it runs.
    """

    def __init__(self, shape: MemoryShape, setup: CollectorSetup) -> None:
        """Makes the environments with the first chunk."""
        self._shared = SharedMemory(shape)
        self._setup = setup
        self._collector: Collector | None = None

    def collect(self, env_steps: int, weights: NDArray[np.float32]) -> Chunk:
        """The next transitions by an actor with `weights`, in a run that has made `env_steps`."""
        replay = self._shared.replay
        done, replay.env_steps = replay.episodes_done, env_steps
        self._shared.weights.publish(weights)
        if self._collector is None:
            self._collector = self._setup.make(self._shared)
        ends = time.monotonic() + LONGEST
        while replay.env_steps == env_steps or (
            replay.env_steps < env_steps + CHUNK and time.monotonic() < ends
        ):
            self._collector.step()
        rows = np.arange(env_steps, replay.env_steps) % replay.capacity
        columns = {name: getattr(replay, name)[rows] for name in replay.COLUMNS}
        # What follows stands in another chunk: n-step returns end here.
        columns["ended"][-self._setup.environments :] = 1.0
        return columns, replay.recent_episodes(replay.episodes_done - done)
