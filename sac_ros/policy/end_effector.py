# SPDX-License-Identifier: Apache-2.0
"""The guards of the end effector: how fast it may be, and the box that it must not leave.

Each gives the fraction, 0..1, of the torque that must be that of a controlled stop. Arrays are
[n] per joint and [3] in the base frame, or [m, n] and [m, 3] for m states.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sac_ros.policy.safety_config import BRAKE_TIME, LAG, Array, JointLimits

LATENCY = 0.004  # s, from a state to the torque that answers it
CREEP = 0.02  # m/s that need no braking
DECELERATION = 2.0  # m/s², what a controlled stop takes from the speed of any shipped arm
OUTSIDE = 0.03  # m beyond the box, and
OVER_END_EFFECTOR_SPEED = 1.2  # times the speed limit: beyond them for long is a fault
_TINY, _LONG = 1e-9, 1e3


@dataclass(frozen=True)
class Motion:
    """Where the end effector is, m, and its velocity, m/s, both in the base frame.

    Attributes:
        place: [..., 3] m.
        velocity: [..., 3] m/s, J(q) q̇.
        jacobian: [..., 3, n] m.
    """

    place: Array
    velocity: Array
    jacobian: Array

    @classmethod
    def of(cls, position: Array, velocity: Array, limits: JointLimits) -> Motion:
        """The motion in joint positions [..., n] rad and velocities [..., n] rad/s."""
        assert limits.end_effector is not None
        place, jacobian = limits.end_effector(position)
        return cls(place, (jacobian @ velocity[..., None])[..., 0], jacobian)

    @property
    def speed(self) -> Array:
        """[...] m/s."""
        return np.sqrt((self.velocity * self.velocity).sum(-1))

    def mobility(self, position: Array, limits: JointLimits) -> Array:
        """J M⁻¹ [..., 3, n]: what 1 N·m at each joint accelerates the end effector by, m/s²."""
        assert limits.mass_matrix is not None
        matrix = limits.mass_matrix(position)  # symmetric
        return np.linalg.solve(matrix, self.jacobian.swapaxes(-1, -2)).swapaxes(-1, -2)


def end_effector_speed_fraction(
    torque: Array, mobility: Array, motion: Motion, limits: JointLimits
) -> Array:
    """Return the fraction [..., 1] that keeps the end effector below ``max_end_effector_speed``.

    Only the share s of the torque is used that can be taken back, within the slew limit, before
    the speed v of the end effector is at the limit:

        v + a u = limit,   a = Σ_i |J M⁻¹ e_i τ_i|,   u = s L + s² t / 2,
        t = max |τ_i| / slew_i,   L = 4 ms,   fraction = 1 − s

    and none from the limit on. Torques of two joints that cancel each other count both: one
    of them may end first.
    """
    speed, limit = motion.speed, limits.max_end_effector_speed
    gain = (np.sqrt((mobility * mobility).sum(-2)) * np.abs(torque)).sum(-1)
    longest = np.maximum(limit - speed, 0.0) / np.maximum(gain, _TINY)
    return excess_fraction(longest, 0.0, torque, limits)


def workspace_fraction(
    torque: Array, mobility: Array, motion: Motion, limits: JointLimits
) -> Array:
    """Return the fraction [..., 1] that keeps the end effector within ``workspace``.

    Towards each face of the box, at the distance d, of which it covers v L before a torque acts,
    it may be as fast as

        v = min(d' / 2T, √(2 a d')),   d' = d − v L,   a = 2 m/s², T = 0.08 s

    and outside it may creep and come back. Only so much of a torque that accelerates it outwards
    is used as can be taken back in time, as for `end_effector_speed_fraction`.
    """
    assert limits.workspace is not None
    low, high = limits.workspace
    outwards = np.array([motion.velocity, -motion.velocity])
    acceleration = (mobility @ torque[..., None])[..., 0]
    gain = np.array([acceleration, -acceleration])
    room = np.array([high - motion.place, motion.place - low])
    distance = np.maximum(room - LAG * np.maximum(outwards, 0.0), 1e-3)
    allowed = np.minimum(distance / (2.0 * BRAKE_TIME), np.sqrt(2.0 * DECELERATION * distance))
    spare = np.maximum(allowed + CREEP - outwards, 0.0)
    longest = np.where(gain > 0.0, spare / np.maximum(gain, _TINY), _LONG)
    over = ((outwards - CREEP) / allowed - 1.0) / 0.3
    return excess_fraction(longest.min((0, -1)), over.max((0, -1)), torque, limits)


def excess_fraction(
    longest: Array, over: Array | float, torque: Array, limits: JointLimits
) -> Array:
    """Return 1 − s [..., 1] with s L + s² t / 2 = ``longest``: what of a torque is too much.

    Args:
        longest: [...] s, for which the whole torque could act before a limit is reached.
        over: [...] what it is at least.
        torque: [..., n] N·m.
        limits: of the joints.
    """
    ramp = (np.abs(torque) / limits.slew).max(-1)
    share = 2.0 * longest / (LATENCY + np.sqrt(LATENCY**2 + 2.0 * ramp * longest))
    return np.clip(np.maximum(1.0 - share, over), 0.0, 1.0)[..., None]
