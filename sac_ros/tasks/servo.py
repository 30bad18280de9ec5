# SPDX-License-Identifier: Apache-2.0
"""Actions that ask for joint velocities: a computed-torque servo beneath the policy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sac_ros.robots.arm import Arm
from sac_ros.robots.defaults import ACCELERATION_TIME, Defaults
from sac_ros.robots.dynamics import CARRIED, DAMPING_DOUBT, LOADS, OWN
from sac_ros.robots.kinematics import Frames, like, namespace
from sac_ros.tasks.memory import Memory, Motion

Array = NDArray[np.float64]

BANDWIDTH = 10.0  # rad/s, of the velocities: stable with measurements 60 ms late
PEAK_SPEED = 0.95  # of a velocity limit, what action 1 asks for
LEAST = 0.025  # of a torque limit: the least torque at action 1, so that friction is overcome
SOONEST = 150.0  # rad/s² at most, of a joint without damping by the torque against its damping
LIGHT = 15.0  # rad/s, a joint of inertia Λ is stable with 15 Λ of damping that it does not have
TURNED = 0.3  # of a velocity limit: a joint that turns round faster in one period chatters
FORWARD = 0.9  # of what v changes by: with all of it arms shake when measurements are 60 ms late
FOLLOWING = 0.2  # s, to a joint's velocity limit at the fastest, behind a goal that moves
_FASTEST = 3.0  # times its velocity limit a joint is remembered to have moved
LESS = 0.3  # of the damping that a joint was assumed to have is left after it has


@dataclass(frozen=True, eq=False)
class Servo(Memory):
    """A velocity for each action: torque by the arm's model, whatever the joint's inertia.

    | observation term | size | |
    |---|---|---|
    | those of `Memory` | | |
    | `previous_velocity` | n | −1..1 of three times the velocity limit |
    | `damping_doubt` | n | 0..1 |

    With ω the `BANDWIDTH`, v the velocities that the actions ask for and D the joint's damping,

        τ_a = M(q) (ω (v − q̇) + v̇) + c(q, q̇) + D v,   v = 0.95 q̇_max ∘ a

    (inverse dynamics control, Siciliano et al., Robotics, 2009, ch. 8.5.2), of which ω (v − q̇)
    speeds no joint up by more than its velocity limit in 0.3 s, v̇ is 0.9 of what v changes by in
    a control period, within the velocity limit in 0.2 s, where goals move, and 0 where they stand
    (it would gain them a tenth of the time, and shake arms with late measurements), |D v| is at
    most 150 rad/s² Λ, and all is within four times the torque at action 1. The state of the
    observer is z,

        h = K (z + M(q) (q̇₋ − q̇)),   z ← h / K + t (τ_a − c(q, q̇) − D_j q̇)

    t the control period and q̇₋ the velocity before it: what the joints' velocities lack of what
    the torque should have changed them by, added up. Every joint follows alike with the time
    constant 1 / ω, also where axes align and a joint alone has a thirtieth of its inertia;
    measurements up to 60 ms late leave it stable, action 1 leads to 95 % of the velocity limit,
    action 0 to rest. It has no goal: hindsight stays exact.

    Where a joint does not have the damping of its URDF, D v and the observer's D q̇ shake
    it, the more so the lighter it is. So of a joint that turns round within one control period, by
    more than 0.3 of the velocity limit, 0.3 of the rest of its damping are assumed:

        D_j = D − d max(0, D − 15 Λ),   d ← 1 − 0.3 (1 − d)

    with Λ the inertia that the joint itself has, 1 / (M⁻¹)_ii in the median configuration, and d
    the `damping_doubt`, 0 when the policy is activated.

    Attributes:
        follows: whether goals move.
    """

    follows: bool = False

    @classmethod
    def of(cls, arm: Arm, period_s: float, actions: int, observer_rate: float) -> Servo:
        """The servo of `arm`; the torque at action 1 follows from its masses.

        (mean diag M(q) / 0.3 s + D) q̇_max,   from 2.5 % of the torque limit to all of it
        """
        servo = cls(arm, arm.torque_limit, period_s, actions, observer_rate)
        inertia = np.einsum("kii->ki", servo._mass_matrices).mean(axis=0)
        scale = (inertia / ACCELERATION_TIME + arm.damping) * arm.velocity_limit
        return replace(servo, action_scale=scale.clip(LEAST * arm.torque_limit, arm.torque_limit))

    @property
    def terms(self) -> dict[str, int]:  # noqa: D102  as in Memory
        n = self.arm.joints
        return {**super().terms, "previous_velocity": n, DAMPING_DOUBT: n}

    @property
    def needs_frames(self) -> bool:  # noqa: D102
        return True

    def motion(self, frames: Frames | None, velocity: Any) -> Motion:  # noqa: D102
        assert frames is not None, "it needs them"
        bodies, chain = self.arm.bodies, self.arm.chain
        matrix = bodies.mass_matrix(chain, frames) + like(np.diag(self.arm.armature), velocity)
        coriolis = bodies.inverse_dynamics(chain, frames, velocity, 0.0 * velocity)
        return Motion(velocity, None, matrix, coriolis)

    def torque(self, action: Any, motion: Motion, state: Any) -> Any:  # noqa: D102
        wanted = like(PEAK_SPEED * self.arm.velocity_limit, action) * action
        missing = BANDWIDTH * (wanted - motion.velocity)
        # A joint may brake as it likes, but gets no faster than by its velocity limit in 0.3 s.
        most = like(self.arm.velocity_limit / ACCELERATION_TIME, action)
        slow = BANDWIDTH * motion.velocity
        missing = missing.clip(-most - slow.clip(0.0), most + (-slow).clip(0.0))
        if self.follows:
            before = state[..., : self.arm.joints]
            speed = like(PEAK_SPEED * self.arm.velocity_limit, action)
            ahead = FORWARD * speed * (action - before) / self.period_s
            most = like(self.arm.velocity_limit / FOLLOWING, action)
            missing = missing + ahead.clip(-most, most)
        torque = (motion.mass_matrix @ missing[..., None])[..., 0] + motion.coriolis
        against = like(SOONEST * self._felt, action)
        torque = torque + (self._known_damping(state) * wanted).clip(-against, against)
        limit = like(OWN * self.action_scale, action)
        return torque.clip(-limit, limit)

    def action_of(self, torque: Any, motion: Motion, state: Any) -> Any:
        """As in `Memory`, where nothing is bounded: v of the linear equation, of numpy arrays."""
        speed = PEAK_SPEED * self.arm.velocity_limit
        rate, known = BANDWIDTH, BANDWIDTH * motion.velocity
        if self.follows:
            rate = rate + FORWARD / self.period_s
            known = known + FORWARD / self.period_s * speed * state[..., : self.arm.joints]
        damping = self._known_damping(state)[..., None] * np.eye(self.arm.joints)
        known = torque - motion.coriolis + (motion.mass_matrix @ known[..., None])[..., 0]
        wanted = np.linalg.solve(rate * motion.mass_matrix + damping, known[..., None])[..., 0]
        return (wanted / speed).clip(-1.0, 1.0)

    def carried(self, state: Any, motion: Motion) -> Any:  # noqa: D102
        if not self.observer_rate:
            return 0.0
        n = self.arm.joints
        before = state[..., -2 * n : -n] * like(_FASTEST * self.arm.velocity_limit, state)
        lost = (motion.mass_matrix @ (before - motion.velocity)[..., None])[..., 0]
        z = state[..., self._integral] * like(self._span, state)
        limit = like(self._limit, state)
        return (self.observer_rate * (z + lost)).clip(-limit, limit)

    def after(  # noqa: D102
        self, state: Any, action: Any, torque: Any, motion: Motion, carried: Any
    ) -> Any:
        n = self.arm.joints
        parts = [action, state[..., : (self.actions - 1) * n]]
        if self.observer_rate:
            flow = torque - motion.coriolis - self._known_damping(state) * motion.velocity
            # From the carried torque on, which is bounded: z does not wind up.
            z = carried / self.observer_rate + self.period_s * flow
            parts.append((z / like(self._span, state)).clip(-1.0, 1.0))
        doubt, before = state[..., -n:], state[..., -2 * n : -n]
        now = motion.velocity / like(_FASTEST * self.arm.velocity_limit, state)
        now = now.clip(-1.0, 1.0)
        # A product with what is true, since numpy and torch choose by different names.
        chatters = (now * before < 0.0) * (abs(now - before) > TURNED / _FASTEST)
        doubt = doubt + chatters * (1.0 - LESS) * (1.0 - doubt)
        return namespace(state).concatenate((*parts, now, doubt.clip(0.0, 1.0)), -1)

    @property
    def _limit(self) -> Array:
        most = CARRIED * self.action_scale + LOADS * self.arm.torque_limit
        return np.minimum(most, self.arm.torque_limit)

    def _known_damping(self, state: Any) -> Any:
        doubt = state[..., -self.arm.joints :].clip(0.0, 1.0)
        return like(self.arm.damping, state) - doubt * like(self._doubted, state)

    @cached_property
    def _felt(self) -> Array:
        """[n] kg·m², Λ."""
        inverse = np.linalg.inv(self._mass_matrices)
        return np.asarray(np.median(1.0 / np.diagonal(inverse, axis1=-2, axis2=-1), axis=0))

    @cached_property
    def _doubted(self) -> Array:
        """[n] N·m·s/rad, what of a joint's damping may be given up."""
        return np.maximum(self.arm.damping - LIGHT * self._felt, 0.0)

    @cached_property
    def _mass_matrices(self) -> Array:
        """[samples, n, n] kg·m² over the joints' ranges, with the rotors' inertia."""
        arm = self.arm
        drawn = Defaults(arm.chain, arm.bodies, arm.position_limit, arm.reference)
        return drawn.mass_matrix + np.diag(arm.armature)
