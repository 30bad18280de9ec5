# SPDX-License-Identifier: Apache-2.0
"""What a strategy is: the torque of one mode. `SafetyFilter` has one for each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from sac_ros.policy.detectors.detector import FilterState
from sac_ros.policy.safety_config import Array
from sac_ros.policy.safety_events import Intervention

Acted = dict[Intervention, tuple[int, ...]]
"""Each kind of intervention that acted, with the joints (by index) it acted on."""


@dataclass(slots=True)
class Request:
    """What a torque is computed for at ``now`` s: [n] N·m each, ``torque`` the policy's."""

    now: float
    torque: Array | None
    gravity: Array | None
    acted: Acted


class Strategy(ABC):
    """Gives the torque of a mode; ``guarded``: without g(q), which the guards add at their end."""

    guarded = True

    @abstractmethod
    def torque(self, state: FilterState, request: Request) -> Array:
        """Return the torque [n] N·m, and note what acted."""


def note(acted: Acted, kind: Intervention, before: Array, after: Array) -> Array:
    """Record the joints that a guard changed, and return what it made of them."""
    if after is not before:
        changed = before != after
        if changed.any():
            acted[kind] = tuple(np.flatnonzero(changed).tolist())
    return after
