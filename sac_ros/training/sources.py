# SPDX-License-Identifier: Apache-2.0
"""Sources of experience: in this process, or from a worker process."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import gymnasium

from sac_ros.training.collector import Collector
from sac_ros.training.numpy_actor import ActorShape
from sac_ros.training.replay_buffer import Experience
from sac_ros.utils.errors import SacRosError

_POLL = 0.0005  # s


class CollectorError(SacRosError):
    """The collector process is gone."""


@dataclasses.dataclass(frozen=True)
class CollectorSetup:
    """What a collector needs to know; plain values, since it may cross to another process."""

    environment_id: str
    environment_arguments: dict[str, Any]
    environments: int
    actor_shape: ActorShape
    warm_up_steps: int
    random_steps: int
    early_steps: int
    early_episode_steps: int
    continue_probability: float
    seed: int

    def make(self, experience: Experience) -> Collector:
        """Makes the environments and a collector over them."""
        made = gymnasium.make_vec(
            self.environment_id,
            self.environments,
            gymnasium.VectorizeMode.VECTOR_ENTRY_POINT,
            **self.environment_arguments,
        )
        return Collector(
            made,
            experience,
            self.actor_shape,
            warm_up_steps=self.warm_up_steps,
            random_steps=self.random_steps,
            early_steps=self.early_steps,
            early_episode_steps=self.early_episode_steps,
            continue_probability=self.continue_probability,
            seed=self.seed,
        )


class InProcessSource:
    """Collects in the learner's own process, in lock-step: repeatable bit for bit."""

    def __init__(self, setup: CollectorSetup, experience: Experience) -> None:
        """Makes the environments here."""
        self.experience = experience
        self._setup = setup
        self._collector: Collector | None = setup.make(experience)

    def advance(self, step: int, interrupted: Callable[[], bool]) -> bool:
        """Collects until `step` transitions are there; False when interrupted before."""
        while self.experience.env_steps < step:
            if interrupted():
                return False
            if self._collector is None:
                self._collector = self._setup.make(self.experience)
            self._collector.step()
        return True

    def reset_episodes(self, seed: int) -> None:
        """Ends the episodes in flight; those that follow are what a new process makes of `seed`.

        The environments are made again, since Bullet keeps more than joint states from step to
        step. Does nothing if no step was made since the last time with this seed.
        """
        if seed == self._setup.seed:
            return
        self._setup = dataclasses.replace(self._setup, seed=seed)
        if self._collector is not None:
            self._collector.close()
        self._collector = None

    def pause(self) -> None:
        """Nothing to do: it stands still whenever `advance` is not running."""

    def resume(self) -> None:
        """Nothing to do, as with `pause`."""

    def close(self) -> None:
        """Nothing to do: the environments die with the process."""


class WorkerSource:
    """Collects in a worker process that writes into shared memory beside the learner.

    The worker may run ahead of what the learner asked for by `lead` transitions, so that neither
    waits for the other while both keep their pace.
    """

    def __init__(self, setup: CollectorSetup, experience: Experience, *, lead: int = 400) -> None:
        """Starts the worker; it inherits the experience's file, nothing is pickled."""
        self.experience = experience
        self._lead = lead
        self._pauses = 0
        message = {
            "experience": dataclasses.asdict(experience.shape),
            "file_descriptor": experience.file_descriptor,
            "setup": dataclasses.asdict(setup),
            "parent": os.getpid(),
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "sac_ros.training.collector_worker"],
            stdin=subprocess.PIPE,
            pass_fds=[experience.file_descriptor],
            # A terminal's Ctrl-C goes to the whole group; the learner alone decides when to end.
            start_new_session=True,
        )
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message).encode())
        self._process.stdin.close()

    def advance(self, step: int, interrupted: Callable[[], bool]) -> bool:
        """Waits until `step` transitions are there; False when interrupted before.

        Raises:
            CollectorError: the worker ended.
        """
        experience = self.experience
        experience.allowed_steps = max(step + self._lead, experience.allowed_steps)
        while experience.env_steps < step:
            if interrupted():
                return False
            self._check_alive()
            time.sleep(_POLL)
        return True

    def pause(self) -> None:
        """Makes the worker stand still; returns when it does."""
        if not self.experience.paused:
            # A new number each time: the worker may not have noticed yet that the last one ended.
            self._pauses += 1
            self.experience.paused = self._pauses
        while self.experience.standing != self._pauses:
            self._check_alive()
            time.sleep(_POLL)

    def resume(self) -> None:
        """Lets the worker go on."""
        self.experience.paused = 0

    def reset_episodes(self, seed: int) -> None:
        """Nothing to do: two processes are not repeatable anyway, so their episodes go on."""

    def close(self) -> None:
        """Ends the worker; kills it when it does not end by itself."""
        self.experience.stopped = 1
        try:
            self._process.wait(timeout=5.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _check_alive(self) -> None:
        code = self._process.poll()
        if code is not None:
            raise CollectorError(
                f"the collector process ended with exit code {code}; its own message is above"
            )
