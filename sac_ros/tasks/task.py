# SPDX-License-Identifier: Apache-2.0
"""What an arm is to do: goal, observation, reward, success, and the tasks by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from importlib import import_module
from itertools import accumulate
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sac_ros.robots.arm import Arm
from sac_ros.robots.kinematics import namespace
from sac_ros.utils.errors import ConfigurationError

Float32 = NDArray[np.float32]

TASKS = {"reach": "sac_ros.tasks.reach:ReachTask"}
"""A task is a class in a file of its own, and a line here."""


class State(NamedTuple):
    """What an observation is made of, numpy or torch, n joints and a goal of k numbers.

    Attributes:
        sine, cosine: [..., n] of the joint positions.
        velocity_fraction: [..., n] joint velocities over their limits.
        goal: [..., k].
        end_effector: [..., 3] m, the end effector in the base frame.
        previous_action: [..., n] in −1..1.
    """

    sine: Any
    cosine: Any
    velocity_fraction: Any
    goal: Any
    end_effector: Any
    previous_action: Any


class Task(ABC):
    """A goal of k numbers, how it is observed, and what reaching it is worth.

    Rewards and goals are pure functions of observations, over batches [..., size], so that the
    environment, the replay and a test use the same. `observe` runs on numpy arrays in the
    environment and on torch tensors in the exported graph.
    """

    name: ClassVar[str]
    goal_fields: ClassVar[tuple[str, ...]]
    goal_unit: ClassVar[str]
    tolerance: ClassVar[float]
    """In the goal's unit: how near counts as reached."""

    def __init__(self, arm: Arm, terms: Mapping[str, int]) -> None:
        """Takes names and sizes of the observation's terms, in their order."""
        self.arm = arm
        self.terms = dict(terms)
        ends = list(accumulate(terms.values()))
        self._columns = {
            name: slice(end - size, end)
            for (name, size), end in zip(terms.items(), ends, strict=True)
        }
        self.size = ends[-1]

    def columns(self, name: str) -> slice:
        """Where the term `name` stands in the observation."""
        return self._columns[name]

    def observe(self, state: State) -> Any:
        """The observation [..., size]: the terms one after the other."""
        terms = self.observation_terms(state)
        return namespace(state.sine).concatenate(terms, -1)

    @abstractmethod
    def observation_terms(self, state: State) -> list[Any]:
        """The arrays of the terms, each [..., its size]."""

    @abstractmethod
    def reward(self, observation: Float32, action: Float32, next_observation: Float32) -> Float32:
        """Reward [...] of transitions: observations [..., size], actions [..., n] in −1..1."""

    @abstractmethod
    def goal_reward(self, next_observation: Float32) -> Float32:
        """The terms [...] of `reward` that depend on the goal, for next observations.

        Under another goal a reward changes by the change of this, exactly.
        """

    @abstractmethod
    def goal(self, observation: Float32) -> Float32:
        """The goals [..., k] that observations [..., size] carry: a view, not a copy."""

    @abstractmethod
    def achieved(self, observation: Float32) -> Float32:
        """The goals [..., k] that observations [..., size] would have reached."""

    @abstractmethod
    def set_goal(self, observation: Float32, goal: Float32) -> None:
        """Writes other goals [..., k] into observations [..., size], exactly.

        A row whose goal stays keeps every number.
        """

    @abstractmethod
    def goal_at(self, end_effector: NDArray[np.float64]) -> NDArray[np.float64]:
        """The goals [..., k] that an end effector at [..., 7] (m, quaternion) has reached."""

    @abstractmethod
    def error(
        self, goal: NDArray[np.float64], end_effector: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """How far [...] the end effector at [..., 7] is from goals [..., k], in `goal_unit`."""

    def goal_marker(self, goal: NDArray[np.float64]) -> NDArray[np.float64]:
        """[..., 3] m, where the end effector is at goals [..., k]: for pictures and warm-up."""
        return goal[..., :3]

    @abstractmethod
    def goal_bounds(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """[k], [k]: lower and upper corner of the goals that are drawn."""


def make_task(name: str, arm: Arm, reward: Mapping[str, float]) -> Task:
    """The task called `name`, for `arm`.

    Args:
        name: one of `TASKS`.
        arm: who does it.
        reward: weights of the reward by name; others keep their default.

    Raises:
        ConfigurationError: no such task, or no such weight.
    """
    if name not in TASKS:
        raise ConfigurationError(f"task must be one of {', '.join(TASKS)}; got {name!r}")
    module, _, kind = TASKS[name].partition(":")
    made: Task = getattr(import_module(module), kind)(arm, reward)
    return made
