# SPDX-License-Identifier: Apache-2.0
"""Draws batches from the replay buffer, with goals changed in hindsight."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from sac_ros.sac.agent import Batch
from sac_ros.training.hindsight import HindsightRelabeler
from sac_ros.training.n_step import NStep
from sac_ros.utils.errors import ConfigurationError

Float32 = NDArray[np.float32]
Indices = NDArray[np.int64]


class Transitions(Protocol):
    """Preallocated arrays of transitions, the first `size` rows valid.

    Of n-step returns alone: `ended` [rows], 1 where an episode was over after the row, and
    `env_steps`, the transitions written so far (row r is written by step r, r + rows, ...).
    """

    observation: Float32
    action: Float32
    reward: Float32
    next_observation: Float32
    terminated: Float32
    ended: Float32
    env_steps: int

    @property
    def size(self) -> int:
        """Number of valid rows."""


GIVEN = 0.5  # of a batch, from what a run was given, when it begins
GIVEN_UNTIL = 0.3  # of a training, from where on that is nothing


class ReplaySampler:
    """Uniform draws of transitions, some of them under another goal."""

    def __init__(
        self,
        transitions: Transitions,
        rng: np.random.Generator,
        *,
        relabel: HindsightRelabeler | None = None,
        n_step: NStep | None = None,
    ) -> None:
        """Draws from `transitions`.

        Args:
            transitions: where the collector writes.
            rng: source of every draw.
            relabel: changes goals; None keeps all as recorded.
            n_step: sums the rewards of up to so many steps; None: of one.

        Raises:
            ConfigurationError: not one whole window of `n_step` fits into `transitions`.
        """
        self._transitions = transitions
        self.rng = rng
        self._relabel = relabel
        self._n_step = n_step if n_step is not None and n_step.steps > 1 else None
        self._block: _Block | None = None
        rows = len(transitions.reward)
        if self._n_step is not None and rows < self._n_step.span:
            raise ConfigurationError(
                f"replay_capacity must be at least {self._n_step.span}, the n-step windows of all "
                f"environments; got {rows}"
            )

    def set_progress(self, progress: float) -> None:
        """Sets how much of the training, 0..1, has passed: the draws of goals change with it."""
        if self._relabel is not None:
            self._relabel.progress = progress

    def batches(self, number: int, batch_size: int) -> Sequence[Batch]:
        """`number` independent batches; gathered at once, since one gather is cheaper.

        Their tensors are views of memory that the next call overwrites: use them before, or
        clone them. (A copy to a device counts as use once it is done: mind `non_blocking`.)
        """
        if self._block is None or self._block.sizes != (number, batch_size):
            self._block = _Block(self._transitions, number, batch_size, self._n_step is not None)
        self._fill(self._block)
        return self._block.batches

    def _fill(self, block: _Block) -> None:
        source = self._transitions
        rows = self.rng.integers(source.size, size=len(block.reward))
        _take(source.observation, rows, block.observation)
        _take(source.action, rows, block.action)
        goal = None
        if self._relabel is not None:
            task = self._relabel.task
            told, *true = self._parts(block.observation)
            goal = self._relabel.draw(true[0] if true else told, self.rng)
            # A goal that moves is moved, by as much in what follows.
            before = task.goal(told).copy() if task.moving else None
            for part in (told, *true):
                task.set_goal(part, goal)
            goal = goal if before is None else goal - before
        self._fill_step(block, rows, block.reward, goal)
        if self._n_step is not None:
            for rows, weight in self._n_step.after(rows, source, block.discount):  # noqa: B020
                self._fill_step(block, rows, block.step_reward, goal)
                block.step_reward *= weight
                block.reward += block.step_reward
        _take(source.terminated, rows, block.terminated)

    def _fill_step(
        self, block: _Block, rows: Indices, reward: Float32, goal: Float32 | None
    ) -> None:
        """Puts what followed `rows` into `block.next_observation` and into `reward`.

        Under `goal`, or, where goals move, under one moved by it.
        """
        _take(self._transitions.next_observation, rows, block.next_observation)
        _take(self._transitions.reward, rows, reward)
        if self._relabel is not None:
            reward += self._relabel.late_reward(self._transitions, rows)
        if self._relabel is not None and goal is not None:
            task = self._relabel.task
            parts = self._parts(block.next_observation)
            recorded = task.goal_reward(parts[-1])
            moved = task.goal(parts[0]) + goal if task.moving else goal
            for part in parts:
                task.set_goal(part, moved)
            # The change is 0 where the goal stays, so that the recorded reward stays to the bit.
            reward += task.goal_reward(parts[-1]) - recorded

    def _parts(self, observation: Float32) -> list[Float32]:
        """What the policy observed, and behind it the truth, where that was recorded."""
        assert self._relabel is not None
        size = self._relabel.task.size
        parts = [observation[:, :size], observation[:, size : 2 * size]]
        return parts if observation.shape[1] > size else parts[:1]


class MixedSampler:
    """A part of every batch from what a run was given, the rest from its own transitions.

    The part is half at first, as in Ball et al. 2023, "Efficient Online Reinforcement Learning
    with Offline Data" (RLPD), and falls to nothing in the first three tenths of the training:
    what was given shows where rewards are, and a bad teacher's half would be missing later.
    """

    def __init__(self, own: ReplaySampler, given: ReplaySampler) -> None:
        """Draws from both."""
        self._own, self._given = own, given
        self._share = GIVEN

    def set_progress(self, progress: float) -> None:
        """As `ReplaySampler.set_progress`."""
        self._share = GIVEN * max(0.0, 1.0 - progress / GIVEN_UNTIL)
        for each in (self._own, self._given):
            each.set_progress(progress)

    def batches(self, number: int, batch_size: int) -> Sequence[Batch]:
        """As `ReplaySampler.batches`; what was given stands behind a run's own."""
        # In sixteenths, so that the samplers seldom need memory of another size.
        rows = round(16 * self._share) * batch_size // 16
        own = self._own.batches(number, batch_size - rows)
        if rows == 0:
            return own
        given = self._given.batches(number, rows)
        return [_joined(*pair) for pair in zip(own, given, strict=True)]


def _joined(own: Batch, given: Batch) -> Batch:
    columns = zip(own, given, strict=True)
    return Batch(*(torch.cat((a, b)) for a, b in columns if a is not None and b is not None))


class _Block:
    """Memory of a few batches, one after the other, and the batches as views of it."""

    def __init__(
        self, transitions: Transitions, number: int, batch_size: int, n_step: bool
    ) -> None:
        self.sizes = (number, batch_size)
        rows = number * batch_size
        size, n = transitions.observation.shape[1], transitions.action.shape[1]
        self.observation = np.empty((rows, size), dtype=np.float32)
        self.action = np.empty((rows, n), dtype=np.float32)
        self.reward = np.empty(rows, dtype=np.float32)
        self.next_observation = np.empty((rows, size), dtype=np.float32)
        self.terminated = np.empty(rows, dtype=np.float32)
        self.discount = np.empty(rows, dtype=np.float32)
        self.step_reward = np.empty(rows, dtype=np.float32)  # of one step of the windows
        columns = [
            self.observation,
            self.action,
            self.reward,
            self.next_observation,
            self.terminated,
            *([self.discount] if n_step else []),
        ]
        parts = [torch.from_numpy(column).split(batch_size) for column in columns]
        self.batches = tuple(Batch(*each) for each in zip(*parts, strict=True))


def _take(source: Float32, rows: Indices, out: Float32) -> None:
    # The default mode, "raise", copies once more to be able to leave `out` as it was.
    source.take(rows, axis=0, out=out, mode="clip")
