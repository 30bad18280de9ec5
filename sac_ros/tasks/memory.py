# SPDX-License-Identifier: Apache-2.0
"""What a policy remembers from one step to the next, for numpy and torch arrays alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sac_ros.robots.kinematics import namespace

CARRIED = 3.0
"""Times the torque at action 1: the most that is carried."""


@dataclass(frozen=True)
class Memory:
    """The last actions of n joints, and the torque that each joint carries.

    | term | size | |
    |---|---|---|
    | `previous_action` | n | −1..1 |
    | `earlier_actions` | (actions − 1) · n | −1..1, newest first |
    | `carried_torque` | n | −1..1 of 3 times the torque at action 1, with an `integral_rate` |

    With late measurements the actions tell what the arm has been told since. The carried torque h
    is the integral of the actions: an action a in the control period T makes it

        h ← clip(h + k T a, −3, 3),   in torques at action 1,   k = `integral_rate`

    so that a policy that pushes towards its goal holds what it did not know of, an unknown load or
    an error of g(q), without an error that lasts, and an action need not be as large as that. It
    follows from the actions alone and knows no goal: hindsight stays exact.

    Attributes:
        joints: n.
        period_s: s, T.
        actions: how many of the last ones, 1 or more.
        integral_rate: 1/s, k; 0: nothing is carried.
    """

    joints: int
    period_s: float
    actions: int = 1
    integral_rate: float = 0.0

    @property
    def terms(self) -> dict[str, int]:
        """Names and sizes of its parts, in their order."""
        n = self.joints
        sizes = {
            "previous_action": n,
            "earlier_actions": (self.actions - 1) * n,
            "carried_torque": n if self.integral_rate else 0,
        }
        return {name: size for name, size in sizes.items() if size}

    @property
    def size(self) -> int:
        """m, its length."""
        return sum(self.terms.values())

    def carried(self, memory: Any) -> Any:
        """What is carried [..., n], in torques at action 1; 0.0 where nothing is."""
        return CARRIED * memory[..., self.actions * self.joints :] if self.integral_rate else 0.0

    def after(self, memory: Any, action: Any) -> Any:
        """What is remembered [..., m] after an action [..., n], and [..., m] before it."""
        parts = [action, memory[..., : (self.actions - 1) * self.joints]]
        if self.integral_rate:
            step = self.integral_rate * self.period_s / CARRIED
            held = memory[..., self.actions * self.joints :]
            parts.append((held + step * action).clip(-1.0, 1.0))
        return namespace(action).concatenate(parts, -1)
