# SPDX-License-Identifier: Apache-2.0
"""What a policy is given at recorded states, in its own joint order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sac_ros.bags.alignment import Aligned

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class PolicyInputs:
    """The recorded states with the goal of each.

    Attributes:
        aligned: the recording, m states.
        goals: [g, k].
        goal_row: [m] the goal of each state; −1: none.
        order: [n] where each joint of the recording stands in the policy.
    """

    aligned: Aligned
    goals: NDArray[np.float64]
    goal_row: NDArray[np.int64]
    order: NDArray[np.intp]

    def at(self, states: Any) -> tuple[Float32, Float32, Float32]:
        """Return position and velocity [..., n] and goal [..., k] at some states."""
        inverse = np.argsort(self.order)
        return (
            self.aligned.position[states][..., inverse].astype(np.float32),
            self.aligned.velocity[states][..., inverse].astype(np.float32),
            self.goals[self.goal_row[states]].astype(np.float32),
        )
