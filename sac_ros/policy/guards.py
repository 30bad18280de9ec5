# SPDX-License-Identifier: Apache-2.0
"""The guards of the safety filter, one pure function each: torque in, safer torque out.

All arrays are [n], N·m, rad, rad/s. None of them changes its arguments. Where the command must
hold the arm up, `fade_at_position_limits` and `brake_at_velocity_limits` are told the torque
without g(q): what is left to move the arm.
"""

from __future__ import annotations

import numpy as np

from sac_ros.policy.safety_config import Array, JointLimits

_ZERO, _ONE = np.zeros(1), np.ones(1)


def damping_torque(velocity: Array, limits: JointLimits) -> Array:
    """Return −k_d · q̇ within the torque limits, which takes energy out and never adds any."""
    return _within(-limits.damping * velocity, -limits.torque, limits.torque)


def clamp(torque: Array, limits: JointLimits) -> Array:
    """Clip to the torque limits."""
    return _within(torque, -limits.torque, limits.torque)


def fade_at_position_limits(
    torque: Array, position: Array, limits: JointLimits, margin: float
) -> Array:
    """Scale torque towards a position limit from full at ``margin`` to zero at the limit.

    Torque away from the limit stays, beyond the limit too, so that the joint can come back.
    """
    low, high = limits.position[:, 0], limits.position[:, 1]
    room = np.where(torque > 0.0, high - position, position - low)
    return torque * _within(room / margin, _ZERO, _ONE)


def brake_at_velocity_limits(torque: Array, velocity: Array, limits: JointLimits) -> Array:
    """Remove torque that drives a joint over its velocity limit, and brake it there.

    A joint that others drive by their reaction does not slow down by itself. The brake is the same
    at any speed: an absurd reading must not brake absurdly. A torque that brakes harder stays.
    """
    brake = -np.sign(velocity) * limits.brake
    braked = np.where(velocity > 0.0, np.minimum(torque, brake), np.maximum(torque, brake))
    return np.where(np.abs(velocity) > limits.velocity, braked, torque)


def limit_slew(torque: Array, last: Array, elapsed: float, limits: JointLimits) -> Array:
    """Keep each joint within slew limit × elapsed seconds of the last published torque."""
    step = limits.slew * elapsed
    return _within(torque, last - step, last + step)


def _within(values: Array, low: Array, high: Array) -> Array:
    """Clip; np.clip does the same in four times the time for a handful of joints."""
    return np.asarray(np.minimum(np.maximum(values, low), high))
