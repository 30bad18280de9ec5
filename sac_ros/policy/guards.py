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
from sac_ros.policy.least_constraint import reaction_within
from sac_ros.policy.safety_config import BRAKE_TIME, GRID, LAG, STANDOFF, Array, JointLimits
from sac_ros.policy.safety_events import Intervention

CREEP = 0.02  # rad/s that need no braking
HARDEST = 40.0  # 1/s, of a speed that a stop takes away before a position limit
FASTEST = 1.25  # times the velocity limit, up to which a torque may drive a joint
CRUISE = 0.6  # of the speed that can be stopped before a position limit: none is sped up beyond
UNSURE = 0.6  # of what torques take from each other's effect on a speed
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
        stopped = hold_at_limits(stopped, position, velocity, limits)
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
    """Return the torque of a controlled stop, each joint's within its stop limit.

        τ = −M(q) a,   a_i = q̇_i / T_i,   1 / T_i = max(1 / 0.08 s, min(|q̇_i| / 2 d_i, 40 / s))

    Alone it takes the speed of every joint to 1/e in T = 0.08 s, and no joint disturbs another.
    One that cannot stop so before its position limit, d_i from 0.03 rad before it, is braked
    harder: q̇² / 2d ends there, and asks for more where a load hinders it. A diagonal
    damping that stops an iiwa or a Panda as soon shakes it where the axes of joints 1 and 3 align:
    a joint there has a fiftieth of M_ii.

    Where it is beyond a stop limit, it is the torque x within the limits that is nearest to it:

        min (x − τ)ᵀ M⁻¹ (x − τ),   −limit ≤ x ≤ limit

    Joints at their limit brake less, all others as they should (Gauss's principle of least
    constraint). Since x = 0 is allowed, q̇ᵀx ≤ −T xᵀM⁻¹x where all T_i are T: it takes energy out
    of the arm, whatever the limits are. Cutting τ joint by joint does not: where axes align, the
    joint that is not cut throws the one that is.

    Without a mass matrix τ = −`stop_damping` · q̇, which stops it later.
    """
    if limits.mass_matrix is None:
        return _within(-limits.stop_damping * velocity, -limits.stop, limits.stop)
    mass = limits.mass_matrix(position)
    left = np.maximum(_ahead(position, velocity, limits) - STANDOFF, 1e-3)
    hastened = np.abs(velocity) / (2.0 * left)
    rate = np.minimum(np.maximum(hastened, 1.0 / BRAKE_TIME), HARDEST)
    torque = -(mass @ (rate * velocity)[..., None])[..., 0]
    reaction = reaction_within(torque, -limits.stop, limits.stop, mass)
    return _within(torque + (mass @ reaction[..., None])[..., 0], -limits.stop, limits.stop)


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
    ahead = _ahead(position, velocity, limits)
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


def hold_at_limits(torque: Array, position: Array, velocity: Array, limits: JointLimits) -> Array:
    """Change the torque of joints that the whole would make too fast, as an end stop would.

    With t = max |τ_j| / slew_j, the time that taking the torque back takes, and L = 4 ms, the
    accelerations M⁻¹τ of all joints are to be within

        v_i + a_i (L + t / 2) ≤ min(0.6 of what `stop_fraction` allows before the position limit,
                                    the velocity limit)

    in either direction. Only joints at that bound get another torque, the one that holds them
    there; the accelerations are then the nearest to M⁻¹τ in the norm of M (Gauss's principle of
    least constraint). Where it would be beyond a torque limit, the whole is scaled down.

    Without it one joint near a limit would hold up the whole arm.
    """
    if limits.inverse_mass is None:
        return torque
    inverse = limits.inverse_mass(position)
    before, towards = _speeds(position, velocity, limits)
    allowed = np.minimum(CRUISE * before, limits.velocity) + CREEP
    time = LATENCY + 0.5 * (np.abs(torque) / limits.slew).max(-1, keepdims=True)
    fastest = np.maximum(allowed - towards, 0.0) / time
    wanted = (inverse @ torque[..., None])[..., 0]
    reaction = reaction_within(wanted, -fastest[1], fastest[0], inverse)
    if not reaction.any():
        return torque
    held = torque + reaction
    most = np.maximum(limits.torque, np.abs(torque))
    return held / np.maximum((np.abs(held) / most).max(-1, keepdims=True), 1.0)


def use_what_can_be_taken_back(
    torque: Array, position: Array, velocity: Array, limits: JointLimits
) -> Array:
    """Blend torque with that of the controlled stop, so that no joint becomes too fast by it.

    Only the share s of the torque is used that can be taken back, within the slew limit, before a
    joint is as fast as it may be there, in either direction:

        v_i + a_i u = allowed_i,   u = s L + s² t / 2,   t = max |τ_j| / slew_j,   L = 4 ms,
        a_i = (1 − ε) Σ_j (M⁻¹)_ij τ_j + ε Σ_j |(M⁻¹)_ij τ_j|

    with what `stop_fraction` allows before a position limit and ε = 1, and with 1.25 times the
    velocity limit and ε = 0.6. A joint that is too fast already is not all that must be seen: the
    stop brakes within limits, and a strong joint may throw a weak one meanwhile. Torques that
    cancel each other end together (`limit_slew`), and still a share ε of them counts as if they
    did not cancel: the arm moves on meanwhile, and its masses are not known to the gram.
    """
    if limits.inverse_mass is None:
        return torque
    inverse = limits.inverse_mass(position)
    moved, most = (inverse @ torque[..., None])[..., 0], _gain(torque, inverse)
    before, towards = _speeds(position, velocity, limits)
    directed = np.array([moved, -moved])
    longest = np.full(torque.shape[:-1], np.inf)
    for allowed, unsure in ((before, 1.0), (FASTEST * limits.velocity, UNSURE)):
        gain = (1.0 - unsure) * directed + unsure * most
        spare = np.maximum(allowed + CREEP - towards, 0.0)
        longest = np.minimum(longest, (spare / np.maximum(gain, 1e-9)).min((0, -1)))
    fraction = excess_fraction(longest, 0.0, torque, limits)
    if not fraction.any():
        return torque
    # In this form a torque that is the stop's stays so to the last bit, within the stop limit.
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


def _ahead(position: Array, velocity: Array, limits: JointLimits) -> Array:
    """[...] rad from each joint to the position limit that it moves towards."""
    low, high = limits.position[:, 0], limits.position[:, 1]
    return np.where(velocity > 0.0, high - position, position - low)


def _speeds(position: Array, velocity: Array, limits: JointLimits) -> tuple[Array, Array]:
    """Speeds [2, ..., n] towards the high and the low limit: what can be stopped, and what is."""
    low, high = limits.position[:, 0], limits.position[:, 1]
    towards = np.array([velocity, -velocity])
    ahead = np.array([high - position, position - low])
    return _speed_before(ahead, np.maximum(towards, 0.0), limits), towards


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
        fastest = (abs(speed) + faster) / CRUISE
        way = fastest * max(2.0 * BRAKE_TIME, 0.5 * fastest / row.deceleration)
        room = max(margin, STANDOFF + LAG * fastest + way)
        if not (place - row.low >= room and row.high - place >= room):
            return False
        if not CRUISE * fastest <= row.velocity:
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
    gain = _gain(wanted, limits.inverse_mass(GRID * np.array(point)))
    faster: list[float] = (gain * (LATENCY + 0.5 * ramp)).tolist()
    return faster


def _gain(torque: Array, inverse: Array) -> Array:
    """Σ_j |(M⁻¹)_ij τ_j| [..., n] rad/s²."""
    return np.asarray((np.abs(inverse) @ np.abs(torque)[..., None])[..., 0])


def limit_slew(torque: Array, last: Array, elapsed: float, limits: JointLimits) -> Array:
    """Go from the last published torque to this one as far as the slew limit allows.

        τ = last + s (torque − last),   s = min(1, min_i slew_i · elapsed / |torque_i − last_i|)

    All joints arrive together: torques that cancel each other do so on the way. Each at its own
    rate, joints whose axes align would drive each other meanwhile.
    """
    if torque.tobytes() == last.tobytes():  # held; to find out takes a tenth of the rest
        return torque
    step = limits.slew * elapsed
    change = np.abs(torque - last)
    if (change <= step).all():
        return torque
    share = np.minimum((step / np.maximum(change, 1e-300)).min(-1, keepdims=True), 1.0)
    return _within(last + share * (torque - last), last - step, last + step)


def _within(values: Array, low: Array, high: Array) -> Array:
    """Clip; np.clip does the same in four times the time for a handful of joints."""
    return np.asarray(np.minimum(np.maximum(values, low), high))
