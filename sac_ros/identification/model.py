# SPDX-License-Identifier: Apache-2.0
"""What the torque of a recording must have been, as a function of what is to be identified.

Inverse dynamics identification (Khalil and Dombre, Modeling, Identification and Control of Robots,
2002, ch. 12; Swevers, Verdonck and De Schutter, IEEE Control Systems Magazine 27(5), 2007). Of the
worlds of `sac_ros.sim.plant`, joint i moves by

    gain_i τ_i(t − d) + bias_i = b_i + a_i q̈_i + v_i q̇_i + c_i sign(q̇_i) + m Y_i + (1 − γ) ĝ_i(q)

with b = M(q) q̈ + c(q, q̇), plus g(q) where the torque itself holds the arm; a the rotor inertia, v
the viscous and c the Coulomb friction, m the payload and Y what 1 kg of it adds, gravity included;
γ the factor on the g(q) that holds, and d the delay. Over the gain that is a model of the torque,

    τ_i(t − d) = k_i (b_i + m Y_i + e ĝ_i) + a'_i q̈_i + v'_i q̇_i + c'_i sign(q̇_i) − b'_i

with k = 1 / gain, e = 1 − γ and a' = k a, and so on: linear but for k_i m, k_i e and d.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sac_ros.identification.signals import (
    REACH,
    FilteredTorque,
    Filters,
    Recorded,
    Stretch,
    both_filters,
    filtered_torque,
    near,
    noise_passed,
    position_noise,
    second_filter,
    stretches,
)
from sac_ros.robots.arm import Arm
from sac_ros.robots.dynamics import Bodies

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]

LATEST_S = 0.5  # the longest delay that is looked for: as the term latency_ms of a world
EARLIEST_S = -0.05  # stamps may have a clock of their own

_EVERY = 2  # row of those that the filter needs: it leaves nothing between them
_AT_ONCE = 4096  # states whose dynamics are computed at a time
_SLOWEST = 0.02  # rad/s, below which Coulomb friction may hold the joint, by any torque
_NOISE = 6.0  # standard deviations of a velocity that may be noise
_AT_STOP = 0.02  # rad from a joint stop, which may push


@dataclass(frozen=True)
class Regressors:
    """Both sides of the model at w times, behind the same filter; n joints.

    Attributes:
        time_s: [w] s.
        block: [w] of the recording's parts without a gap, counts up.
        rigid: [w, n] N·m, b.
        payload: [w, n] N·m per kg, Y.
        gravity: [w, n] N·m, ĝ.
        acceleration, velocity, sign: [w, n] rad/s², rad/s, −1..1.
        usable: [w, n] where a joint moves, away from its stops, and its torque was recorded.
        torque: behind both filters.
        velocity_noise: [n] rad/s, standard deviation behind the first filter.
        moved: [n] rad, largest less smallest position of the recording.
    """

    time_s: Array
    block: NDArray[np.intp]
    rigid: Array
    payload: Array
    gravity: Array
    acceleration: Array
    velocity: Array
    sign: Array
    usable: Bools
    torque: FilteredTorque
    velocity_noise: Array
    moved: Array


def regressors(
    arm: Arm, recorded: Recorded, filters: Filters, *, torque_has_gravity: bool
) -> Regressors | None:
    """Return the model of an arm along a recording; None where it has no long enough part.

    Args:
        arm: as described.
        recorded: in the arm's order of joints.
        filters: of both sides.
        torque_has_gravity: whether the torque itself holds the arm, or the robot adds g(q).
    """
    torque = filtered_torque(recorded, filters)
    passed, _ = noise_passed(filters.first, recorded.period_s)
    noise = position_noise(recorded) * passed
    parts: list[dict[str, Any]] = []
    for number, stretch in enumerate(stretches(recorded, filters)):
        parts.append(_of_stretch(arm, stretch, filters, torque, noise, torque_has_gravity, number))
    if not parts:
        return None
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    moved = np.ptp(recorded.position, axis=0)
    return Regressors(**joined, torque=torque, velocity_noise=noise, moved=moved)


def _of_stretch(
    arm: Arm,
    stretch: Stretch,
    filters: Filters,
    torque: FilteredTorque,
    noise: Array,
    torque_has_gravity: bool,
    number: int,
) -> dict[str, Any]:
    position, velocity = stretch.position, stretch.velocity
    step = float(stretch.time_s[1] - stretch.time_s[0])
    rigid, payload, gravity = _dynamics(arm, stretch)
    if torque_has_gravity:
        rigid = rigid + gravity
    slow = np.abs(velocity) < np.maximum(_SLOWEST, _NOISE * noise)
    low, high = arm.position_limit.T
    stopped = (position < low + _AT_STOP) | (position > high - _AT_STOP)
    window = REACH * filters.second
    usable = ~near(slow, step, 0.75 * window) & ~near(stopped, step, window)
    usable &= ~near(~stretch.inside[:, None], step, window)
    time = stretch.time_s
    usable &= torque.known_between(time - LATEST_S, time - EARLIEST_S)[:, None]
    edge = int(np.ceil(window / step))
    usable[:edge] = usable[len(usable) - edge :] = False
    values = {"rigid": rigid, "payload": payload, "gravity": gravity, "velocity": velocity}
    values["acceleration"] = stretch.acceleration
    found: dict[str, Any] = {
        name: second_filter(each, step, filters) for name, each in values.items()
    }
    found["sign"] = both_filters(np.sign(velocity), step, filters)
    found |= {"time_s": time, "block": np.full(len(time), number), "usable": usable}
    return {name: values[::_EVERY] for name, values in found.items()}


def _dynamics(arm: Arm, stretch: Stretch) -> tuple[Array, Array, Array]:
    """M q̈ + c, what 1 kg at the end effector adds, and g(q), each [k, n]."""
    loaded = arm.bodies.with_payload(1.0, arm.chain.end_effector_translation)
    rigid, payload, gravity = (np.empty(stretch.position.shape) for _ in range(3))
    for start in range(0, len(rigid), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        motion = stretch.position[part], stretch.velocity[part], stretch.acceleration[part]
        rigid[part], gravity[part] = _torques(arm, arm.bodies, *motion)
        with_one = sum(_torques(arm, loaded, *motion))
        payload[part] = with_one - rigid[part] - gravity[part]
    return rigid, payload, gravity


def _torques(
    arm: Arm, bodies: Bodies, position: Array, velocity: Array, acceleration: Array
) -> tuple[Array, Array]:
    """M q̈ + c, and g(q)."""
    frames = arm.chain.frames_at(position)
    inverse = bodies.inverse_dynamics(arm.chain, frames, velocity, acceleration)
    return inverse, bodies.gravity_torque(arm.chain, frames)
