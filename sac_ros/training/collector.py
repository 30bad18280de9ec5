# SPDX-License-Identifier: Apache-2.0
"""Steps environments with the current actor and writes what happened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv

from sac_ros.sim.vector_env import ArmVectorEnv
from sac_ros.training.numpy_actor import ActorShape, NumpyActor
from sac_ros.training.shared_memory import SharedMemory

NOISE = 0.3  # standard deviation, on the actions of an actor whose critics are untrained


@dataclass(frozen=True)
class CollectorSetup:
    """What a collector does; plain values, since it may cross to another process.

    Attributes:
        environment_arguments: keywords of the `ArmVectorEnv`.
        environments: the number that is stepped together.
        actor_shape: of the actor whose weights the shared memory holds.
        warm_up_steps: transitions at the start whose actions the environments'
            `warm_up_actions(rng)` gives; they need none where it is 0.
        random_steps: transitions at the start with uniformly drawn actions, but for those.
        noisy_steps: transitions at the start with the actor's own actions and `NOISE`.
        early_steps: transitions at the start in which episodes are shorter, so that the arm is
            not left long where it has got stuck.
        early_episode_steps: length of these episodes, at most.
        widening_steps: transitions over which the worlds widen from as described to as drawn.
        continue_probability: of an episode to start where the one before it ended, as on a robot
            that is sent from goal to goal.
        seed: of every draw.
    """

    environment_arguments: dict[str, Any]
    environments: int
    actor_shape: ActorShape
    warm_up_steps: int
    random_steps: int
    noisy_steps: int
    early_steps: int
    early_episode_steps: int
    widening_steps: int
    continue_probability: float
    seed: int

    @classmethod
    def from_json(cls, keys: dict[str, Any]) -> CollectorSetup:
        """The inverse of `dataclasses.asdict`."""
        return cls(**{**keys, "actor_shape": ActorShape.from_json(keys["actor_shape"])})

    def make(self, shared: SharedMemory) -> Collector:
        """Makes the environments and a collector over them."""
        environments = ArmVectorEnv(self.environments, **self.environment_arguments)
        return Collector(environments, shared, self)


class Collector:
    """Steps a few environments together, with one actor call for all of them."""

    def __init__(
        self, environments: VectorEnv[Any, Any, Any], shared: SharedMemory, setup: CollectorSetup
    ) -> None:
        """Resets every environment, with seeds that follow from that of `setup`.

        Args:
            environments: what is stepped. An episode begins by `reset` and in no other way
                (`AutoresetMode.DISABLED`); the info holds `distance` and `joint_position`, and
                `true_observation` where the replay's observations are twice as wide.
            shared: where transitions go, and weights come from.
            setup: how.
        """
        self._environments = environments
        self._replay = shared.replay
        self._weights = shared.weights
        self._setup = setup
        self._actor = NumpyActor(setup.actor_shape)
        self._actor_version = 0
        self._told = setup.actor_shape.sizes[0]
        self._rng = np.random.default_rng([setup.seed, 1])
        number = environments.num_envs
        self._returns = np.zeros(number)
        self._lengths = np.zeros(number, dtype=np.int64)
        self._numbers = np.arange(number)
        seeds = np.random.SeedSequence([setup.seed, 2]).generate_state(number)
        self._end_episodes_of_others()
        told, infos = environments.reset(seed=seeds.tolist(), options=self._worlds() or None)
        self._observations = self._recorded(told, infos)

    def step(self) -> None:
        """One step of every environment; their transitions become visible together."""
        actions = self._actions()
        told, rewards, terminated, truncated, infos = self._environments.step(actions)
        observations = self._recorded(told, infos)
        ended = terminated | truncated
        self._lengths += 1
        if self._replay.env_steps < self._setup.early_steps:
            ended |= self._lengths >= self._setup.early_episode_steps
        self._write(
            observation=self._observations,
            action=actions,
            reward=rewards,
            next_observation=observations,
            joint_position=infos["joint_position"],
            terminated=terminated,
            ended=ended,
        )
        self._returns += rewards
        self._observations = observations
        for index in np.flatnonzero(ended).tolist():
            self._begin_episode(index, infos)

    def close(self) -> None:
        """Ends the environments."""
        self._environments.close()

    def _end_episodes_of_others(self) -> None:
        """Marks the episodes that a collector before this one, or a saved run's, left in flight.

        Else the first rows written here would pass for what followed them.
        """
        replay, count = self._replay, self._environments.num_envs
        newest = np.arange(max(0, replay.env_steps - count), replay.env_steps)
        replay.ended[newest % replay.capacity] = 1.0

    def _actions(self) -> np.ndarray[Any, np.dtype[np.float32]]:
        size = (self._environments.num_envs, self._replay.action.shape[1])
        if self._replay.env_steps < self._setup.warm_up_steps:
            return self._environments.warm_up_actions(self._rng)  # type: ignore[attr-defined]
        if self._replay.env_steps < self._setup.random_steps:
            return self._rng.uniform(-1.0, 1.0, size).astype(np.float32)
        fresh = self._weights.read(self._actor_version)
        if fresh is not None:
            flat, self._actor_version = fresh
            self._actor.load(flat)
        noise = self._rng.standard_normal(size, dtype=np.float32)
        if self._replay.env_steps < self._setup.noisy_steps:
            action = self._actor.deterministic(self._observations[:, : self._told])
            return np.clip(action + NOISE * noise, -1.0, 1.0)
        return self._actor.sample(self._observations[:, : self._told], noise)

    def _recorded(self, told: np.ndarray[Any, Any], infos: dict[str, Any]) -> np.ndarray[Any, Any]:
        """Observations as the replay has them: with the true ones behind, where it has room."""
        if self._replay.observation.shape[1] == told.shape[1]:
            return told
        return np.concatenate((told, infos["true_observation"]), axis=1)

    def _worlds(self) -> dict[str, Any]:
        """How far worlds have widened, as an option of `reset`; empty once they have."""
        steps, widening = self._replay.env_steps, self._setup.widening_steps
        return {"randomization_fraction": steps / widening} if steps < widening else {}

    def _write(self, **columns: np.ndarray[Any, Any]) -> None:
        """The transitions of all environments, in their order."""
        replay = self._replay
        rows = (replay.env_steps + self._numbers) % replay.capacity
        for name, values in columns.items():
            getattr(replay, name)[rows] = values
        replay.env_steps += len(rows)

    def _begin_episode(self, index: int, last_infos: dict[str, Any]) -> None:
        """Remembers the episode that ended with row `index` of the infos and begins the next."""
        self._replay.add_episode(self._returns[index], last_infos["distance"][index])
        self._returns[index] = 0.0
        self._lengths[index] = 0
        options = {"reset_mask": self._numbers == index, **self._worlds()}
        if self._rng.random() < self._setup.continue_probability:
            options["joint_position"] = last_infos["joint_position"][index]
        self._observations = self._recorded(*self._environments.reset(options=options))
