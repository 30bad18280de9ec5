# SPDX-License-Identifier: Apache-2.0
"""Sources of transitions: in this process, or from a worker process."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable

from sac_ros.training.collector import Collector, CollectorSetup
from sac_ros.training.shared_memory import SharedMemory
from sac_ros.utils.errors import SacRosError

_POLL = 0.0005  # s


class CollectorError(SacRosError):
    """The collector process is gone."""


class Source(ABC):
    """Where transitions come from."""

    def __init__(self, shared: SharedMemory) -> None:
        """Writes into the replay buffer of `shared`."""
        self.shared = shared

    @abstractmethod
    def advance(self, step: int, interrupted: Callable[[], bool]) -> bool:
        """Collects until `step` transitions are there; False when interrupted before.

        Raises:
            CollectorError: the collector is gone.
        """

    def pause(self) -> None:
        """Makes the collector stand still; returns when it does."""

    def resume(self) -> None:
        """Lets it go on."""

    def reset_episodes(self, seed: int) -> None:
        """Ends the episodes in flight, where a source is repeatable.

        Those that follow are what a new process makes of `seed`.
        """

    def close(self) -> None:
        """Ends the collector; twice does nothing."""


class InProcessSource(Source):
    """Collects in the learner's own process, in lock-step: repeatable bit for bit.

    It stands still whenever `advance` is not running.
    """

    def __init__(self, setup: CollectorSetup, shared: SharedMemory) -> None:
        """Makes the environments here."""
        super().__init__(shared)
        self._setup = setup
        self._collector: Collector | None = setup.make(shared)

    def advance(self, step: int, interrupted: Callable[[], bool]) -> bool:
        while self.shared.replay.env_steps < step:
            if interrupted():
                return False
            if self._collector is None:
                self._collector = self._setup.make(self.shared)
            self._collector.step()
        return True

    def reset_episodes(self, seed: int) -> None:
        """The environments are made again, since Bullet keeps more than joint states.

        Does nothing if no step was made since the last time with this seed.
        """
        if seed != self._setup.seed:
            self._setup = dataclasses.replace(self._setup, seed=seed)
            self.close()

    def close(self) -> None:
        if self._collector is not None:
            self._collector.close()
        self._collector = None


class WorkerSource(Source):
    """Collects in a worker process that writes into shared memory beside the learner.

    The worker may run ahead of what the learner asked for by `lead` transitions, so that neither
    waits for the other while both keep their pace. Two processes are not repeatable, so their
    episodes go on where others reset them.
    """

    def __init__(self, setup: CollectorSetup, shared: SharedMemory, *, lead: int = 400) -> None:
        """Starts the worker; it inherits the memory's file, nothing is pickled."""
        super().__init__(shared)
        self._lead = lead
        self._pauses = 0
        message = {
            "memory": dataclasses.asdict(shared.shape),
            "file_descriptor": shared.file_descriptor,
            "setup": dataclasses.asdict(setup),
            "parent": os.getpid(),
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "sac_ros.training.collector_worker"],
            stdin=subprocess.PIPE,
            pass_fds=[shared.file_descriptor],
            # A terminal's Ctrl-C goes to the whole group; the learner alone decides when to end.
            start_new_session=True,
        )
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message).encode())
        self._process.stdin.close()

    def advance(self, step: int, interrupted: Callable[[], bool]) -> bool:
        control = self.shared.control
        control.allowed_steps = max(step + self._lead, control.allowed_steps)
        while self.shared.replay.env_steps < step:
            if interrupted():
                return False
            self._check_alive()
            time.sleep(_POLL)
        return True

    def pause(self) -> None:
        control = self.shared.control
        if not control.paused:
            # A new number each time: the worker may not have read yet that the last one ended.
            self._pauses += 1
            control.paused = self._pauses
        # One that has not started reads this before its first step: that may take seconds.
        while control.running and control.standing != self._pauses:
            self._check_alive()
            time.sleep(_POLL)

    def resume(self) -> None:
        self.shared.control.paused = 0

    def close(self) -> None:
        """Kills the worker when it does not end by itself, or has not started yet."""
        self.shared.control.stopped = 1
        try:
            self._process.wait(timeout=1.0 if self.shared.control.running else 0.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _check_alive(self) -> None:
        code = self._process.poll()
        if code is not None:
            raise CollectorError(
                f"the collector process ended with exit code {code}; its own message is above"
            )
