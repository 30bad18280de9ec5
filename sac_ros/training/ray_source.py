# SPDX-License-Identifier: Apache-2.0
"""Transitions from actors of a Ray cluster."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sac_ros.training.collector import CollectorSetup
from sac_ros.training.progress import say
from sac_ros.training.ray_cluster import absolute, connect
from sac_ros.training.ray_collector import CHUNK, RemoteCollector
from sac_ros.training.shared_memory import SharedMemory
from sac_ros.training.sources import CollectorError, Source

IN_FLIGHT = 2  # chunks that an actor is asked for: one that it makes, one that waits
MAX_FAILURES = 5  # ends of one actor in a row, without a chunk between
_SENT_ALONG = 100_000  # bytes of an argument that Ray sends with the request
_POLL = 0.2  # s
_PATIENCE = 15.0  # s without a chunk until that is reported
_MAX_PATIENCE = 600.0  # s, until the run ends


@dataclass(eq=False)
class _Slot:
    """The place of one actor; who dies in it is replaced."""

    number: int
    actor: Any = None
    started: int = 0  # actors so far
    asked: int = 0  # chunks so far
    failures: int = 0  # of them, since the last chunk
    pending: set[Any] = field(default_factory=set)


class RaySource(Source):
    """Collects by actors of Ray, and replaces those that die.

    A chunk is written when it has come as a whole, and by this process: while `advance` does not
    run nothing is written, so that a pause is kept by itself.

    An actor is asked for at most `IN_FLIGHT` chunks at once. Where the learner is the slower side,
    all are asked for fewer: what lies ready makes the weights older by which it was collected. So
    the number of chunks under way rises by one when the learner has to wait, and is halved when
    for as many takes in a row it found more than one ready.
    """

    def __init__(
        self, setup: CollectorSetup, shared: SharedMemory, *, address: str, collectors: int
    ) -> None:
        """Joins the cluster and starts the actors, each with a seed of its own.

        Args:
            setup: of every actor.
            shared: where chunks are written.
            address: of the cluster; empty: one of our own, which ends with `close`.
            collectors: the number of actors.

        Raises:
            ConfigurationError: there is no Ray, or no cluster at `address`.
        """
        super().__init__(shared)
        self._ray = connect(address, collectors)
        arguments = {name: absolute(each) for name, each in setup.environment_arguments.items()}
        self._setup = dataclasses.replace(setup, environment_arguments=arguments)
        # Steps of all environments at once may end past the chunk.
        capacity = CHUNK + setup.environments
        self._shape = dataclasses.replace(shared.shape, capacity=capacity)
        self._allowed = IN_FLIGHT * collectors  # chunks under way
        self._plenty = 0  # takes in a row that found more than one ready
        self._usual = CHUNK  # transitions of a chunk, as the latest had them
        self._sent: tuple[int, Any] | None = None  # version of the weights, and what is sent
        self._slots = [_Slot(number) for number in range(collectors)]
        self._owners: dict[Any, _Slot] = {}
        self._quiet_since = time.monotonic()
        self._said = self._quiet_since
        for slot in self._slots:
            self._start(slot)

    def advance(self, step: int, interrupted: Callable[[], bool]) -> bool:
        replay = self.shared.replay
        self._ask()
        self._quiet_since = self._said = time.monotonic()
        while replay.env_steps < step:
            if interrupted():
                return False
            for chunk in self._ready():
                self._take(chunk)
            self._ask()
            self._watch_patience()
        return True

    def _ready(self) -> list[Any]:
        """A chunk that has come, at most; and what its coming shows of the pace of both sides."""
        under_way = [*self._owners]
        ready, _ = self._ray.wait(under_way, num_returns=len(under_way), timeout=0)
        self._plenty = self._plenty + 1 if len(ready) > 1 else 0
        if self._plenty >= self._allowed:
            self._allowed, self._plenty = max(1, self._allowed // 2), 0
        if not ready:
            self._allowed = min(IN_FLIGHT * len(self._slots), self._allowed + 1)
            self._ask()
            ready, _ = self._ray.wait([*self._owners], num_returns=1, timeout=_POLL)
        return ready[:1]

    def close(self) -> None:
        if not self._slots:
            return
        for slot in self._slots:
            with suppress(Exception):  # a cluster that is gone has no actors either
                self._ray.kill(slot.actor)
        self._slots = []
        self._owners.clear()
        self._ray.shutdown()

    def _start(self, slot: _Slot) -> None:
        seed = np.random.SeedSequence([self._setup.seed, slot.number, slot.started])
        setup = dataclasses.replace(self._setup, seed=int(seed.generate_state(1)[0]))
        remote = self._ray.remote(num_cpus=1, scheduling_strategy="SPREAD")(RemoteCollector)
        slot.actor = remote.remote(self._shape, setup)
        slot.started += 1

    def _ask(self) -> None:
        """Has the least busy actors work on as many chunks as are allowed, by new weights."""
        while len(self._owners) < self._allowed:
            slot = min(self._slots, key=lambda each: (len(each.pending), each.asked))
            if len(slot.pending) == IN_FLIGHT:
                return
            steps = self.shared.replay.env_steps + self._usual * len(self._owners)
            chunk = slot.actor.collect.remote(steps, self._weights())
            slot.pending.add(chunk)
            slot.asked += 1
            self._owners[chunk] = slot

    def _weights(self) -> Any:
        """The weights as an argument, made once a version.

        Large ones are put into Ray's object store. For small ones that would cost the learner's
        core more than to send them along: 1.8 ms for 44 kB, where a chunk's other costs are 1.3.
        """
        weights = self.shared.weights
        if self._sent is None or self._sent[0] != weights.version:
            flat = weights.parameters.copy()
            large = flat.nbytes > _SENT_ALONG
            self._sent = (weights.version, self._ray.put(flat) if large else flat)
        return self._sent[1]

    def _take(self, chunk: Any) -> None:
        slot = self._owners.pop(chunk, None)
        if slot is None:  # of an actor that was replaced since
            return
        slot.pending.discard(chunk)
        try:
            columns, episodes = self._ray.get(chunk, timeout=_PATIENCE)
        except self._ray.exceptions.RayTaskError as error:
            reason = str(error.cause).strip() or type(error.cause).__name__
            raise CollectorError(f"a collector on Ray ended with an error: {reason}") from error
        except self._ray.exceptions.RayError as error:
            self._replace(slot, error)
            return
        slot.failures = 0
        self._usual = len(columns["reward"])
        self._quiet_since = self._said = time.monotonic()
        self._write(columns, episodes)

    def _write(
        self, columns: dict[str, NDArray[np.float32]], episodes: NDArray[np.float32]
    ) -> None:
        replay = self.shared.replay
        rows = (replay.env_steps + np.arange(len(columns["reward"]))) % replay.capacity
        for name, values in columns.items():
            getattr(replay, name)[rows] = values
        for each in episodes:
            replay.add_episode(*each)
        replay.env_steps += len(rows)

    def _replace(self, slot: _Slot, error: Exception) -> None:
        """Drops all that the slot's actor was asked for, and starts another in its place."""
        lost = 1 + len(slot.pending)
        for chunk in slot.pending:
            del self._owners[chunk]
        slot.pending.clear()
        slot.failures += 1
        reason = type(error).__name__
        if slot.failures > MAX_FAILURES:
            raise CollectorError(
                f"collector {slot.number} on Ray ended {slot.failures} times in a row before its "
                f"first chunk, at last with {reason}"
            ) from error
        say(
            f"collector {slot.number} on Ray is gone ({reason}), with {lost} chunks under way; "
            "another takes its place"
        )
        with suppress(Exception):  # it may live on where it cannot be reached
            self._ray.kill(slot.actor)
        self._start(slot)

    def _watch_patience(self) -> None:
        now = time.monotonic()
        quiet = now - self._quiet_since
        if now - self._said < _PATIENCE:
            return
        self._said = now
        try:
            cpus = self._ray.cluster_resources().get("CPU", 0.0)
        except Exception as error:
            raise CollectorError(f"the Ray cluster is gone: {error}") from error
        source = f"{len(self._slots)} collectors on a Ray cluster of {cpus:g} CPUs"
        if quiet > _MAX_PATIENCE:
            raise CollectorError(f"no transitions for {quiet:.0f} s from {source}")
        say(f"no transitions for {quiet:.0f} s from {source}")
