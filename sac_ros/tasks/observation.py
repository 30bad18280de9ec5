# SPDX-License-Identifier: Apache-2.0
"""How raw sensor values become the observation that the networks see."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sac_ros.policy.spec import ObservationTerm
from sac_ros.robots.arm import ArmModel


@dataclass(frozen=True, eq=False)
class ReachEncoding:
    """The observation of the reach task, term by term, for an arm of n joints.

    | term | size | |
    |---|---|---|
    | `joint_position_sin` | n | sin q |
    | `joint_position_cos` | n | cos q |
    | `joint_velocity` | n | q̇ over the joint's velocity limit |
    | `goal` | 3 | m, in the base frame |
    | `goal_offset` | 3 | goal − tip, m |
    | `previous_action` | n | −1..1 |

    The exported policy computes the same inside its graph, from raw positions and velocities.
    """

    velocity_limit: NDArray[np.float64]

    @classmethod
    def for_arm(cls, arm: ArmModel) -> ReachEncoding:
        """The encoding of `arm`."""
        return cls(arm.velocity_limit)

    @cached_property
    def terms(self) -> tuple[ObservationTerm, ...]:
        """Names and sizes of the terms, in their order."""
        n = len(self.velocity_limit)
        return (
            ObservationTerm("joint_position_sin", n),
            ObservationTerm("joint_position_cos", n),
            ObservationTerm("joint_velocity", n),
            ObservationTerm("goal", 3),
            ObservationTerm("goal_offset", 3),
            ObservationTerm("previous_action", n),
        )

    @cached_property
    def size(self) -> int:
        """Length of the observation."""
        return sum(term.size for term in self.terms)

    def columns(self, name: str) -> slice:
        """Where the term `name` stands in the observation."""
        return self._columns[name]

    @cached_property
    def _columns(self) -> dict[str, slice]:
        ends = accumulate(term.size for term in self.terms)
        return {
            term.name: slice(end - term.size, end)
            for term, end in zip(self.terms, ends, strict=True)
        }

    def encode(
        self,
        position: ArrayLike,
        velocity: ArrayLike,
        goal: ArrayLike,
        tip: ArrayLike,
        previous_action: ArrayLike,
    ) -> NDArray[np.float32]:
        """The observation [..., size] of raw values, each [..., n] or, goal and tip, [..., 3].

        Units: rad, rad/s, m, m, −1..1.
        """
        scaled = np.divide(velocity, self.velocity_limit)
        return self.encode_scaled(position, scaled, goal, tip, previous_action)

    def encode_scaled(
        self,
        position: ArrayLike,
        velocity_share: ArrayLike,
        goal: ArrayLike,
        tip: ArrayLike,
        previous_action: ArrayLike,
    ) -> NDArray[np.float32]:
        """Like `encode`, but of velocities over their limits."""
        offset = np.subtract(goal, tip)
        sine, cosine = np.sin(position), np.cos(position)
        parts = (sine, cosine, velocity_share, goal, offset, previous_action)
        return np.concatenate(parts, axis=-1, dtype=np.float32)
