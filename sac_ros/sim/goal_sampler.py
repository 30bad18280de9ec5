# SPDX-License-Identifier: Apache-2.0
"""Draws configurations that a fixed-base arm on a table can be in, and the goals they reach."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sac_ros.robots.defaults import above_table, inner_limits
from sac_ros.sim.backend import Backend
from sac_ros.tasks.task import Task
from sac_ros.utils.errors import ConfigurationError

Array = NDArray[np.float64]

_BLOCK = 64  # configurations tried at once; of the iiwa's about one in twelve is in the goal box
_MOST_BLOCKS = 300  # without a single one: the goal box cannot be reached
_MOST_STARTS = 2000  # the same for starts near home


class GoalSampler:
    """Draws configurations whose end effector lies in the arm's goal box.

    They are off the table and free of self-collision. A goal is the end effector of such a
    configuration, so every goal can be reached.
    """

    def __init__(self, backend: Backend, task: Task | None = None) -> None:
        """Draws for the arm of `backend`, which is used to find collisions and left moved.

        The goals are those that `task` accepts; None: all in the box.
        """
        self._backend = backend
        self._task = task
        self._low, self._high = inner_limits(backend.arm.position_limit)
        spread, home = None if task is None else task.goal_spread, backend.arm.home
        self._goal_low, self._goal_high = self._low, self._high
        if spread is not None:
            self._goal_low = np.maximum(self._low, home - spread)
            self._goal_high = np.minimum(self._high, home + spread)

    def draw(self, rng: np.random.Generator, number: int) -> tuple[Array, Array]:
        """`number` configurations [number, n] rad and their end effectors [number, 7].

        Raises:
            ConfigurationError: no configuration is found in the goal box.
        """
        positions: list[Array] = []
        end_effectors: list[Array] = []
        blocks = 0  # since the last find
        while len(positions) < number:
            blocks += 1
            for position in self._in_box(rng):
                if len(positions) < number and not self._backend.contacts(position):
                    end_effectors.append(np.array(self._backend.read()[2 * len(position) :]))
                    positions.append(position)
                    blocks = 0
            if blocks >= _MOST_BLOCKS:
                arm = self._backend.arm
                raise ConfigurationError(
                    f"arm {arm.name}: no configuration without self-collision has its end "
                    f"effector {arm.tip_link!r} in the goal box {arm.goal_low.tolist()} to "
                    f"{arm.goal_high.tolist()} m; tried {blocks * _BLOCK}"
                )
        return np.array(positions), np.array(end_effectors)

    def draw_start(self, rng: np.random.Generator, home: Array, spread: float | None) -> Array:
        """A configuration [n] rad without self-collision, off the table, to start from.

        Args:
            rng: source of the draw.
            home: [n] rad.
            spread: rad, how far from `home` each joint may be; None: anywhere in its range.

        Raises:
            ConfigurationError: none is found.
        """
        for _ in range(_MOST_STARTS):
            if spread is None:
                position = rng.uniform(self._low, self._high)
                if not above_table(self._backend.arm.chain.frames_at(position)):
                    continue
            else:
                position = np.clip(
                    rng.uniform(home - spread, home + spread), self._low, self._high
                )
            if not self._backend.contacts(position):
                return position
        arm = self._backend.arm
        pairs = sorted(set(self._backend.contacts(home)))
        raise ConfigurationError(
            f"arm {arm.name}: no configuration near its home is free of self-collision; at home "
            f"these links touch: {', '.join(' and '.join(pair) for pair in pairs) or 'none'}"
        )

    def _in_box(self, rng: np.random.Generator) -> Array:
        arm = self._backend.arm
        q = rng.uniform(self._goal_low, self._goal_high, size=(_BLOCK, arm.joints))
        frames = arm.chain.frames_at(q)
        end_effector = frames.end_effector
        inside = np.all((end_effector >= arm.goal_low) & (end_effector <= arm.goal_high), axis=-1)
        if self._task is not None:
            inside &= self._task.accepts(frames)
        inside[inside] = above_table(arm.chain.frames_at(q[inside]))
        return q[inside]
