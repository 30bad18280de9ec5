# SPDX-License-Identifier: Apache-2.0
"""Steps environments with the current actor and writes what happened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np

from sac_ros.collect.experience import Experience
from sac_ros.collect.numpy_actor import ActorShape, NumpyActor


class Collector:
    """Steps a few environments in turn, with one actor call for all of them.

    The first `random_steps` actions are drawn uniformly.
    """

    def __init__(
        self,
        environments: Sequence[gymnasium.Env[Any, Any]],
        experience: Experience,
        actor_shape: ActorShape,
        *,
        random_steps: int,
        continue_share: float,
        seed: int,
    ) -> None:
        """Resets every environment, with seeds that follow from `seed`.

        Args:
            environments: what is stepped.
            experience: where transitions go.
            actor_shape: of the actor whose weights the experience holds.
            random_steps: transitions with uniformly drawn actions at the start.
            continue_share: probability that an episode starts in the posture where the one before
                it ended, as on a robot that is sent from goal to goal.
            seed: of every draw.
        """
        self._environments = environments
        self._experience = experience
        self._actor = NumpyActor(actor_shape)
        self._actor_version = 0
        self._random_steps = random_steps
        self._continue_share = continue_share
        self._rng = np.random.default_rng([seed, 1])
        number = len(environments)
        self._returns = np.zeros(number)
        self._numbers = np.arange(number)
        self._rewards = np.zeros(number)
        self._terminated = np.zeros(number, dtype=bool)
        self._ended = np.zeros(number, dtype=bool)
        seeds = np.random.SeedSequence([seed, 2]).generate_state(number)
        self._end_episodes_of_others()
        self._observations = np.stack(
            [env.reset(seed=int(each))[0] for env, each in zip(environments, seeds, strict=True)]
        )
        self._next_observations = np.empty_like(self._observations)

    def step(self) -> None:
        """One step of every environment; their transitions become visible together."""
        actions = self._actions()
        last_infos = []
        for index, (env, action) in enumerate(zip(self._environments, actions, strict=True)):
            observation, reward, terminated, truncated, info = env.step(action)
            self._next_observations[index] = observation
            self._rewards[index] = reward
            self._terminated[index] = terminated
            self._ended[index] = ended = terminated or truncated
            if ended:
                last_infos.append((index, info))
        self._write(actions)
        self._returns += self._rewards
        self._observations[:] = self._next_observations
        for index, info in last_infos:
            self._begin_episode(index, info)

    def close(self) -> None:
        """Ends the environments."""
        for env in self._environments:
            env.close()

    def _end_episodes_of_others(self) -> None:
        """Marks the episodes that a collector before this one, or a saved run's, left in flight.

        Else the first rows written here would pass for what followed them.
        """
        experience, count = self._experience, len(self._environments)
        newest = np.arange(max(0, experience.env_steps - count), experience.env_steps)
        experience.ended[newest % experience.shape.capacity] = 1.0

    def _actions(self) -> np.ndarray[Any, np.dtype[np.float32]]:
        n = self._experience.shape.action
        size = (len(self._environments), n)
        if self._experience.env_steps < self._random_steps:
            return self._rng.uniform(-1.0, 1.0, size).astype(np.float32)
        fresh = self._experience.read_actor(self._actor_version)
        if fresh is not None:
            flat, self._actor_version = fresh
            self._actor.load(flat)
        noise = self._rng.standard_normal(size, dtype=np.float32)
        return self._actor.sample(self._observations, noise)

    def _write(self, actions: np.ndarray[Any, np.dtype[np.float32]]) -> None:
        """The transitions of all environments, in their order."""
        experience = self._experience
        rows = (experience.env_steps + self._numbers) % experience.shape.capacity
        experience.observation[rows] = self._observations
        experience.action[rows] = actions
        experience.reward[rows] = self._rewards
        experience.next_observation[rows] = self._next_observations
        experience.terminated[rows] = self._terminated
        experience.ended[rows] = self._ended
        experience.env_steps += len(rows)

    def _begin_episode(self, index: int, last_info: dict[str, Any]) -> None:
        """Remembers the episode that ended with `last_info` and begins the next one."""
        self._experience.add_episode(self._returns[index], last_info["distance"])
        self._returns[index] = 0.0
        options = {}
        if self._rng.random() < self._continue_share:
            options["joint_position"] = last_info["joint_position"]
        self._observations[index] = self._environments[index].reset(options=options)[0]
