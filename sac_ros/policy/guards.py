# SPDX-License-Identifier: Apache-2.0
"""The guards of the safety filter, one pure function each: torque in, safer torque out.

All arrays are [n], or [m, n] for m states: N·m, rad, rad/s. None of them changes its arguments.
Where the command must hold the arm up, `fade_at_position_limits` and `brake_at_velocity_limits`
take the torque without g(q): what is left to move the arm. A guard that has nothing to do
returns the torque itself. Nearly always none has, and `guarded` finds that out first: at 1000
states a second its time counts.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from sac_ros.policy.end_effector import (
    LATENCY,
    Motion,
    end_effector_speed_fraction,
    excess_fraction,
    workspace_fraction,
)
from sac_ros.policy.safety_config import BRAKE_TIME, GRID, LAG, STANDOFF, Array, JointLimits
from sac_ros.policy.safety_events import Intervention

CREEP = 0.02  # rad/s that need no braking
FASTEST = 1.25  # times the velocity limit, up to which a torque may drive a joint
_ZERO, _ONE = np.zeros(1), np.ones(1)
Steps = list[tuple[Intervention, Array, Array]]
"""For each guard its kind and the torque before and after it: the same array where it rests."""


def guarded(
    torque: Array,
    gravity: Array | None,
    position: Array,
    velocity: Array,
    limits: JointLimits,
    margin: float,
    motion: Motion | None = None,
) -> tuple[Array, Steps]:
    """Apply the guards in their order; only the slew limit, which needs the past, comes after.

    Args:
        torque: what moves the arm, without g(q).
        gravity: g(q) within the torque limits, added after the guards; None: the robot adds it.
        position: rad.
        velocity: rad/s.
        limits: of the joints.
        margin: rad, see `fade_at_position_limits`.
        motion: of the end effector, where it has limits.

    Returns:
        The torque, g(q) included, and what each guard made of it; for one state no step at all
        where it is seen at once that none has anything to do.
    """
    faded = braked = stopped = torque
    if position.ndim == 1 and _nothing_to_do(torque, position, velocity, limits, margin):
        if gravity is None and motion is None:
            return torque, []
    else:
        faded = fade_at_position_limits(torque, position, limits, margin)
        braked = brake_at_velocity_limits(faded, velocity, limits)
        stopped = stop_where_too_fast(braked, position, velocity, limits)
        stopped = use_what_can_be_taken_back(stopped, position, velocity, limits)
    steps = [
        (Intervention.POSITION_LIMIT, torque, faded),
        (Intervention.VELOCITY_LIMIT, faded, braked),
        (Intervention.TOO_FAST, braked, stopped),
    ]
    if motion is not None:
        bounded = stop_at_end_effector_limits(stopped, position, velocity, motion, limits)
        steps.extend(bounded)
        stopped = bounded[-1][-1]
    whole = stopped if gravity is None else gravity + stopped
    clamped = clamp(whole, limits)
    steps.append((Intervention.CLAMP, whole, clamped))
    return clamped, steps


def all_finite(values: Array) -> bool:
    """Return whether every one of [n] values is finite.

    A finite sum proves it, and is quick; an infinite one may be that of great values.
    """
    return math.isfinite(sum(values.tolist())) or bool(np.isfinite(values).all())


def braking_torque(position: Array, velocity: Array, limits: JointLimits) -> Array:
    """Return the torque of a controlled stop, each joint's within its brake limit.

        τ = −M(q) q̇ / T,   T = 0.08 s

    Alone it takes the speed of every joint to 1/e in T, and no joint disturbs another. A diagonal
    damping that stops an iiwa or a Panda as soon shakes it where the axes of joints 1 and 3 align:
    a joint there has a fiftieth of M_ii. Without a mass matrix τ = −`stop_damping` · q̇, which
    stops it later.
    """
    if limits.mass_matrix is None:
        torque = -limits.stop_damping * velocity
    else:
        torque = -(limits.mass_matrix(position) @ velocity[..., None])[..., 0] / BRAKE_TIME
    return _within(torque, -limits.brake, limits.brake)


def clamp(torque: Array, limits: JointLimits) -> Array:
    """Clip to the torque limits."""
    if (np.abs(torque) <= limits.torque).all():
        return torque
    return _within(torque, -limits.torque, limits.torque)


def fade_at_position_limits(
    torque: Array, position: Array, limits: JointLimits, margin: float
) -> Array:
    """Scale torque towards a position limit from full at ``margin`` to zero at the limit.

    Torque away from the limit stays, beyond the limit too, so that the joint can come back.
    """
    low, high = limits.position[:, 0], limits.position[:, 1]
    room = np.where(torque > 0.0, high - position, position - low)
    if (room >= margin).all():
        return torque
    return torque * _within(room / margin, _ZERO, _ONE)


def brake_at_velocity_limits(torque: Array, velocity: Array, limits: JointLimits) -> Array:
    """Remove torque that drives a joint over its velocity limit, and brake it there.

    A joint that others drive by their reaction does not slow down by itself. The brake is the same
    at any speed: an absurd reading must not brake absurdly. A torque that brakes harder stays.
    """
    over = np.abs(velocity) > limits.velocity
    if not over.any():
        return torque
    brake = -np.copysign(limits.brake, velocity)
    braked = np.where(velocity > 0.0, np.minimum(torque, brake), np.maximum(torque, brake))
    return np.where(over, braked, torque)


def stop_fraction(position: Array, velocity: Array, limits: JointLimits) -> Array:
    """Return how much of the torque must be that of a controlled stop, [..., 1] in 0..1.

    0 while every joint is slower than it may be, 1 from 1.3 times that on. It may be as fast as
    its velocity limit, and, at the distance d to 0.03 rad before the limit that it moves towards,

        v = min(d / 2T, √(2 a d)),   a = v_limit / 0.4 s,   T = 0.08 s

    so that the stop, at a quarter of what the brake limit can do and after the time that the slew
    limit takes, ends before the position limit. The whole arm is stopped, since the torques of
    other joints could drive this one on.
    """
    low, high = limits.position[:, 0], limits.position[:, 1]
    ahead = np.where(velocity > 0.0, high - position, position - low)
    speed = np.abs(velocity)
    allowed = np.minimum(_speed_before(ahead, speed, limits), limits.velocity)
    excess = (speed - CREEP) / allowed - 1.0
    return _within(excess.max(axis=-1, keepdims=True) / 0.3, _ZERO, _ONE)


def stop_where_too_fast(
    torque: Array, position: Array, velocity: Array, limits: JointLimits
) -> Array:
    """Blend torque with that of the controlled stop, by `stop_fraction`."""
    fraction = stop_fraction(position, velocity, limits)
    fast = fraction[..., 0] > 0.0
    if not fast.any():
        return torque
    part, blended = fraction[fast], torque.copy()
    stop = braking_torque(position[fast], velocity[fast], limits)
    blended[fast] = (1.0 - part) * torque[fast] + part * stop
    return blended


def use_what_can_be_taken_back(
    torque: Array, position: Array, velocity: Array, limits: JointLimits
) -> Array:
    """Blend torque with that of the controlled stop, so that no joint becomes too fast by it.

    Only the share s of the torque is used that can be taken back, within the slew limit, before a
    joint is as fast as it may be there, in either direction:

        v_i + a_i u = allowed_i,   a_i = Σ_j |(M⁻¹)_ij τ_j|,   u = s L + s² t / 2,
        t = max |τ_j| / slew_j,   L = 4 ms

    with what `stop_fraction` allows before a position limit, and 1.25 times the velocity limit
    elsewhere. A joint that is too fast already is not all that must be seen: the stop brakes each
    joint within its own limit, and a strong joint may throw a weak one meanwhile. Torques that
    cancel each other count both: one of them may end first.
    """
    if limits.inverse_mass is None:
        return torque
    gain = _gain(torque, position, limits)
    low, high = limits.position[:, 0], limits.position[:, 1]
    towards = np.array([velocity, -velocity])
    ahead = np.array([high - position, position - low])
    before = _speed_before(ahead, np.maximum(towards, 0.0), limits)
    spare = np.minimum(before, FASTEST * limits.velocity) + CREEP - towards
    longest = np.maximum(spare, 0.0).min(0) / np.maximum(gain, 1e-9)
    fraction = excess_fraction(longest.min(-1), 0.0, torque, limits)
    if not fraction.any():
        return torque
    # In this form a torque that is the stop's stays so to the last bit, within the brake limit.
    return torque + fraction * (braking_torque(position, velocity, limits) - torque)


def stop_at_end_effector_limits(
    torque: Array, position: Array, velocity: Array, motion: Motion, limits: JointLimits
) -> Steps:
    """Blend torque with that of the controlled stop, as the limits of the end effector ask for."""
    mobility = motion.mobility(position, limits)
    steps: Steps = []
    for kind, limited, fraction_of in (
        (
            Intervention.END_EFFECTOR_SPEED,
            limits.max_end_effector_speed < math.inf,
            end_effector_speed_fraction,
        ),
        (Intervention.WORKSPACE, limits.workspace is not None, workspace_fraction),
    ):
        if limited:
            fraction = fraction_of(torque, mobility, motion, limits)
            before = steps[-1][-1] if steps else torque
            after = before
            if fraction.any():
                stop = braking_torque(position, velocity, limits)
                after = (1.0 - fraction) * before + fraction * stop
            steps.append((kind, before, after))
    return steps


def _speed_before(ahead: Array, speed: Array, limits: JointLimits) -> Array:
    """[...] rad/s from which a joint can be stopped in time, ``ahead`` rad before its limit."""
    distance = np.maximum(ahead - STANDOFF - LAG * speed, 1e-3)
    return np.minimum(distance / (2.0 * BRAKE_TIME), np.sqrt(2.0 * limits.deceleration * distance))


def _nothing_to_do(
    torque: Array, position: Array, velocity: Array, limits: JointLimits, margin: float
) -> bool:
    """Return whether every guard of the joints would return the torque, for one state.

    Plain numbers: over seven joints they take a third of numpy's time.
    """
    places = position.tolist()
    point = tuple([round(place / GRID) for place in places])
    speeds = zip(velocity.tolist(), _faster(torque.tobytes(), point, limits), strict=True)
    for place, (speed, faster), row in zip(places, speeds, limits.rows, strict=True):
        room = max(margin, row.stopping_distance)
        if not (place - row.low >= room and row.high - place >= room):
            return False
        if not abs(speed) + faster <= row.velocity:
            return False
    return True


@lru_cache(maxsize=64)
def _faster(torque: bytes, point: tuple[int, ...], limits: JointLimits) -> list[float]:
    """[n] rad/s by which joints may be faster when the whole torque has been taken back.

    Infinite for a torque beyond the limits. A torque is held for some states, which ask again.
    """
    wanted = np.frombuffer(torque)
    if clamp(wanted, limits) is not wanted:
        return [math.inf] * len(wanted)
    if limits.inverse_mass is None:
        return [0.0] * len(wanted)
    ramp = (np.abs(wanted) / limits.slew).max()
    gain = _gain(wanted, GRID * np.array(point), limits)
    faster: list[float] = (gain * (LATENCY + 0.5 * ramp)).tolist()
    return faster


def _gain(torque: Array, position: Array, limits: JointLimits) -> Array:
    """Σ_j |(M⁻¹)_ij τ_j| [..., n] rad/s²."""
    assert limits.inverse_mass is not None
    inverse = limits.inverse_mass(position)
    return np.asarray((np.abs(inverse) @ np.abs(torque)[..., None])[..., 0])


def limit_slew(torque: Array, last: Array, elapsed: float, limits: JointLimits) -> Array:
    """Keep each joint within slew limit × elapsed seconds of the last published torque."""
    if torque.tobytes() == last.tobytes():  # held; to find out takes a tenth of the rest
        return torque
    step = limits.slew * elapsed
    if (np.abs(torque - last) <= step).all():
        return torque
    return _within(torque, last - step, last + step)


def _within(values: Array, low: Array, high: Array) -> Array:
    """Clip; np.clip does the same in four times the time for a handful of joints."""
    return np.asarray(np.minimum(np.maximum(values, low), high))
