# SPDX-License-Identifier: Apache-2.0
"""What an action does and what is remembered of it, for numpy and torch arrays alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sac_ros.robots.arm import Arm
from sac_ros.robots.dynamics import (
    CARRIED,
    CARRIED_TORQUE,
    damped_action,
    damped_torque,
    most_torque,
)
from sac_ros.robots.kinematics import Frames, like, namespace

Array = NDArray[np.float64]


class Motion(NamedTuple):
    """What is measured of n joints, and what the arm's model makes of it; numpy or torch.

    Attributes:
        velocity: [..., n] rad/s.
        momentum: [..., n] N·m·s, M(q) q̇; None where nothing is carried.
        mass_matrix: [..., n, n] kg·m², M(q) with the rotors; None where no torque needs it.
        coriolis: [..., n] N·m, c(q, q̇); likewise.
    """

    velocity: Any
    momentum: Any = None
    mass_matrix: Any = None
    coriolis: Any = None


@dataclass(frozen=True, eq=False)
class Memory:
    """The torque of an action, the last actions, and what a disturbance observer needs.

    | observation term | size | |
    |---|---|---|
    | `previous_action` | n | −1..1 |
    | `earlier_actions` | (actions − 1) · n | −1..1, newest first |
    | `carried_torque` | n | −1..1 of the most that is carried, with an `observer_rate` |

    The torque is the `damped_torque` of the action, and what is carried. With late measurements
    the actions are what the arm has been commanded since. The carried torque
    h holds against what the arm's model lacks: a load, an error of g(q), friction. It
    is that of a generalised momentum observer (De Luca and Mattone, ICRA 2005), without the
    Coriolis terms, which vanish at rest:

        h = K (ξ − M(q) q̇),   dξ/dt = τ_a − D_j q̇,   within 3 times the torque at action 1

    with τ_a the torque of the actions, D_j the joints' damping and K the `observer_rate`: where
    the arm moves as its model does, ξ is its momentum and h vanishes; else −h follows the torque
    that disturbs it, with the time constant 1 / K. No measurement is differentiated. It has no
    goal: hindsight stays exact.

    The state [m] that a policy hands on holds the actions and, in −1..1, ξ.

    Attributes:
        arm: the arm.
        action_scale: [n] N·m at action 1.
        period_s: s, of control.
        actions: how many of the last ones, 1 or more.
        observer_rate: 1/s, K; 0: nothing is carried.
    """

    arm: Arm
    action_scale: Array
    period_s: float
    actions: int = 1
    observer_rate: float = 0.0

    @property
    def terms(self) -> dict[str, int]:
        """Names and sizes of the observation's terms, in their order."""
        n = self.arm.joints
        sizes = {
            "previous_action": n,
            "earlier_actions": (self.actions - 1) * n,
            CARRIED_TORQUE: n if self.observer_rate else 0,
        }
        return {name: size for name, size in sizes.items() if size}

    @property
    def size(self) -> int:
        """m."""
        return sum(self.terms.values())

    @property
    def authority(self) -> Array:
        """[n] N·m, the most that is asked for beside g(q)."""
        return most_torque(self.action_scale, self.arm.torque_limit, self.terms)

    @property
    def _limit(self) -> Array:
        """[n] N·m, the most that is carried."""
        return np.minimum(CARRIED * self.action_scale, self.arm.torque_limit)

    @property
    def _span(self) -> Array:
        """[n] N·m·s, ξ at 1 of the state: what is carried at most, and the fastest momentum."""
        return self._limit / self.observer_rate + self.action_scale

    @property
    def _integral(self) -> slice:
        """Where ξ stands in the state."""
        n = self.arm.joints
        return slice(self.actions * n, (self.actions + 1) * n)

    @property
    def remembered_torque(self) -> tuple[int, Array] | None:
        """Where a state remembers τ_a, and [n] 1/(N·m), how much of it; None: nowhere.

        Where another torque acted than that of the action, what it had more is added there.
        """
        if not self.observer_rate:
            return None
        return self._integral.start, self.period_s / self._span

    @property
    def needs_frames(self) -> bool:
        """Whether `motion` looks at the frames."""
        return self.observer_rate > 0.0

    def motion(self, frames: Frames | None, velocity: Any) -> Motion:
        """Of velocities [..., n] rad/s, where the joints' frames are `frames`."""
        if frames is None:
            return Motion(velocity)
        matrix = self.arm.bodies.mass_matrix(self.arm.chain, frames)
        inertia = (matrix @ velocity[..., None])[..., 0]
        armature = like(self.arm.armature, velocity)
        return Motion(velocity, inertia + armature * velocity)

    def torque(self, action: Any, motion: Motion, state: Any) -> Any:  # noqa: ARG002
        """τ_a [..., n] N·m of actions [..., n] in −1..1, with the states [..., m] before them."""
        return damped_torque(
            action,
            motion.velocity,
            scale=self.action_scale,
            damping=self.arm.control_damping,
            velocity_limit=self.arm.velocity_limit,
        )

    def action_of(self, torque: Any, motion: Motion, state: Any) -> Any:  # noqa: ARG002
        """The action [..., n] in −1..1 of which `torque` makes τ_a [..., n] N·m, if any does."""
        return damped_action(
            torque, motion.velocity, scale=self.action_scale, damping=self.arm.control_damping
        )

    def carried(self, state: Any, motion: Motion) -> Any:
        """h [..., n] N·m for states [..., m]; 0.0 where nothing is carried."""
        if not self.observer_rate:
            return 0.0
        integral = state[..., self._integral] * like(self._span, state)
        limit = like(self._limit, state)
        return (self.observer_rate * (integral - motion.momentum)).clip(-limit, limit)

    def observed(self, state: Any, carried: Any) -> Any:
        """The observation's terms [..., m], in which what is carried stands in the place of ξ."""
        if not self.observer_rate:
            return state
        place = self._integral
        carried = carried / like(self._limit, state)
        parts = (state[..., : place.start], carried, state[..., place.stop :])
        return namespace(state).concatenate(parts, -1)

    def after(self, state: Any, action: Any, torque: Any, motion: Motion, carried: Any) -> Any:
        """The next state [..., m].

        Args:
            state: [..., m], the present one.
            action: [..., n] in −1..1.
            torque: [..., n] N·m, τ_a of that action.
            motion: before it.
            carried: as `carried` returned it.
        """
        parts = [action, state[..., : (self.actions - 1) * self.arm.joints]]
        if self.observer_rate:
            # From the carried torque on, which is bounded: the integral does not wind up.
            integral = motion.momentum + carried / self.observer_rate
            flow = torque - self._known_damping(state) * motion.velocity
            integral = integral + self.period_s * flow
            parts.append((integral / like(self._span, state)).clip(-1.0, 1.0))
        return namespace(state).concatenate(parts, -1)

    def _known_damping(self, state: Any) -> Any:
        """[..., n] N·m·s/rad, D_j."""
        return like(self.arm.damping, state)
