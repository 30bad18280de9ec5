# SPDX-License-Identifier: Apache-2.0
"""The loop that learns: transitions in, updates out, at a fixed ratio."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from sac_ros.sac.agent import Metrics, SacAgent
from sac_ros.training.replay_sampler import MixedSampler, ReplaySampler
from sac_ros.training.sources import Source

UPDATES_PER_BLOCK = 16  # one gather from the replay and one new actor for the collector each

STEPS_PER_BLOCK = 1000  # at most, so that who watches sees that something goes on


@dataclass
class LoopState:
    """How far the learning has come; the clock counts learning and waiting, not evaluation."""

    env_steps: int = 0
    updates: int = 0
    learning_seconds: float = 0.0
    metrics: Metrics | None = None


class TrainingLoop:
    """Alternates between waiting for transitions and a block of updates.

    The number of updates follows the number of environment steps by `updates_per_step`, whichever
    of the two processes is the faster on this machine, so that a run learns the same on all.
    """

    def __init__(
        self,
        agent: SacAgent,
        replay: ReplaySampler | MixedSampler,
        source: Source,
        *,
        total_steps: int,
        critics_first: tuple[int, int] | None = None,
        first_progress: float = 0.0,
        state: LoopState | None = None,
    ) -> None:
        """Connects the parts.

        Args:
            agent: what learns.
            replay: where batches are drawn.
            source: where transitions come from.
            total_steps: environment steps of the whole run, for the learning rate's schedule.
            critics_first: steps before the first update, and the number of updates that are then
                made on them, of the critics alone; None: `learning_starts` and none.
            first_progress: 0..1, where the schedules begin.
            state: where a resumed run goes on.
        """
        self.agent = agent
        self.state = state or LoopState()
        self._total_steps = total_steps
        starts = agent.config.learning_starts
        self._first_steps, self._critics_updates = critics_first or (starts, 0)
        self._first_progress = first_progress
        self._replay = replay
        self._source = source

    def run_block(self, interrupted: Callable[[], bool]) -> bool:
        """One block of updates, with the wait for its transitions; False when interrupted.

        Where it needs more than `STEPS_PER_BLOCK` transitions it waits for so many and makes no
        update.
        """
        started = time.perf_counter()
        needed, next_stop = self._steps_needed(), self.state.env_steps + STEPS_PER_BLOCK
        finished = self._source.advance(min(needed, next_stop), interrupted)
        if finished and needed <= next_stop:
            self._update()
        self.state.env_steps = self._source.shared.replay.env_steps
        self.state.learning_seconds += time.perf_counter() - started
        return finished

    @property
    def actor_learns(self) -> bool:
        """Whether the next update is one of actor and temperature, too."""
        return self.state.updates >= self._critics_updates

    def publish_actor(self) -> None:
        """Hands the present actor to the collector."""
        self._source.shared.weights.publish(self.agent.actor_parameters.to_numpy())

    def _steps_needed(self) -> int:
        config = self.agent.config
        done = max(0, self.state.updates + UPDATES_PER_BLOCK - self._critics_updates)
        return self._first_steps + round(done / config.updates_per_step)

    def _update(self) -> None:
        done, first = min(1.0, self.state.env_steps / self._total_steps), self._first_progress
        progress = first + done * (1.0 - first)
        self.agent.set_progress(progress, actor_learns=self.actor_learns)
        self._replay.set_progress(progress)
        for batch in self._replay.batches(UPDATES_PER_BLOCK, self.agent.config.batch_size):
            self.state.metrics = self.agent.update(batch)
        self.state.updates += UPDATES_PER_BLOCK
        self.publish_actor()
