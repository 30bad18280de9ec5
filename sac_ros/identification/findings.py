# SPDX-License-Identifier: Apache-2.0
"""What an identification found: estimates with intervals, and what is missing and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sac_ros.identification.estimate import OVERALL, PER_JOINT, TIMING_S, Fit, timing_of_gain
from sac_ros.identification.model import EARLIEST_S, LATEST_S, Regressors
from sac_ros.robots.arm import Arm

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]

GAIN_WITHIN = 0.03
"""A gain that is estimated no better is taken as 1; without a recording one would draw ± 0.1."""

UNITS = {
    "torque_gain": "",
    "torque_bias": "N·m",
    "armature": "kg·m²",
    "joint_damping": "N·m·s/rad",
    "coulomb_friction": "N·m",
    "payload_kg": "kg",
    "gravity_scale": "",
    "delay_s": "s",
}

_WORDS = {
    "torque_gain": "torque gain",
    "torque_bias": "torque bias",
    "armature": "rotor inertia",
    "joint_damping": "viscous friction",
    "coulomb_friction": "Coulomb friction",
    "payload_kg": "payload",
    "gravity_scale": "gravity scale",
    "delay_s": "delay",
}

# No interval is narrower than this: discrete time, filters and friction that is no straight line
# leave as much in recordings of MuJoCo, where all else is exact (docs/identification.md).
_FLOOR_SHARE = 0.03  # of a friction or inertia
_FLOOR_INERTIA = 0.005  # of what the joint moves, on its rotor inertia
_FLOOR = {"torque_gain": 0.005, "payload_kg": 0.03, "gravity_scale": 0.005, "delay_s": 0.0015}
_FLOOR_BIAS = 0.005  # of the torque at action 1

# Half an interval that is still of use; friction and inertia may have either.
_USEFUL = {"payload_kg": 0.25, "gravity_scale": 0.05, "delay_s": 0.005}
_USEFUL_GAIN = 0.05  # of one that was fitted
_USEFUL_SHARE = 0.25  # of the estimate
_UNNOTICED = 0.1  # of the torque at action 1: less has hardly an effect on a policy
_USEFUL_BIAS = 0.2  # of it
_USEFUL_INERTIA = 0.1  # of what the joint moves

_EXPLAINED = 0.5  # of a torque's mean square: below it the model is not that of this joint
_MOVED = 0.05  # rad: less is standing still
_GAINS = 0.3, 3.0  # beyond them the torque is in another unit, or of another joint
_GAIN_OFF = 0.05  # what a gain may be off by that is taken as 1
_EDGE_S = 0.004  # of the search
_SHORT_S = 5.0  # of rows in use
_GRAVITY = 0.5  # |γ − 1| from which somebody else holds the arm


@dataclass(frozen=True)
class Estimate:
    """One parameter.

    Attributes:
        name: one of `PER_JOINT` and `OVERALL`.
        joint: which; empty: of the whole arm.
        value, low, high: the estimate and its 95 % interval; None: nothing was to be fitted.
        described: as the arm's description has it.
        estimated: whether the interval is narrow enough to be of use.
        assumed: whether it is not estimated but taken as described, as the other estimates then
        are.
    """

    name: str
    joint: str
    value: float | None
    low: float | None
    high: float | None
    described: float
    estimated: bool
    assumed: bool = False

    @property
    def unit(self) -> str:
        """Of its values."""
        return UNITS[self.name]

    @property
    def told_values(self) -> tuple[float, float, float]:
        """The estimate and its interval, of one that was estimated."""
        assert self.value is not None, "what was estimated has a value"
        assert self.low is not None, "and an interval"
        assert self.high is not None, "of two sides"
        return self.value, self.low, self.high


@dataclass(frozen=True)
class Excitation:
    """How a joint moved.

    Attributes:
        joint: its name.
        moved: rad, from end to end.
        velocity, acceleration: rad/s and rad/s², RMS of the rows in use.
        seconds: of those rows.
        explained: share of the torque's mean square about its mean that the model explains.
        residual: N·m, RMS of the rest.
    """

    joint: str
    moved: float
    velocity: float
    acceleration: float
    seconds: float
    explained: float
    residual: float


@dataclass(frozen=True)
class Findings:
    """The answer of an identification.

    Attributes:
        estimates: all of them, joint by joint, then those of the whole arm.
        excitation: of each joint.
        not_estimated: a sentence for each thing that could not be estimated, and why.
        measured: whether the torque was measured; then the delay is not that of commands.
        cutoff_hz: of the filter.
    """

    estimates: tuple[Estimate, ...]
    excitation: tuple[Excitation, ...]
    not_estimated: tuple[str, ...]
    measured: bool
    cutoff_hz: float

    def of(self, name: str) -> list[Estimate]:
        """The estimates of that name, [n] or one."""
        return [each for each in self.estimates if each.name == name]


def judge(
    arm: Arm,
    found: Regressors,
    fit: Fit,
    wider: Fit | None,
    *,
    gravity_compensation: str,
    measured: bool,
    cutoff_hz: float,
) -> Findings:
    """Return what a fit found, in words; n joints.

    ``wider`` is a fit behind a lower cutoff: what the two disagree by is added to the intervals,
    since an error of the model looks different at other frequencies.
    """
    inertia = np.diag(arm.bodies.mass_matrix(arm.chain, arm.chain.frames_at(arm.home)))
    described = np.stack(
        [np.ones(arm.joints), np.zeros(arm.joints), arm.armature, arm.damping, arm.friction], 1
    )
    held = _held_gravity(found, fit) if gravity_compensation == "robot" else 0.0
    joint, joint_error = fit.joint, _floors(arm, found, fit, inertia, wider)
    joint_error[:, 3] = np.hypot(joint_error[:, 3], held)
    # A gain that is only taken as 1 makes the links seem lighter, or heavier, by as much.
    joint_error[:, 2] = np.hypot(joint_error[:, 2], np.where(fit.free, 0.0, _GAIN_OFF * inertia))
    overall_error = np.hypot(fit.overall_error, [_FLOOR[name] for name in OVERALL])
    if wider is not None:
        overall_error = np.hypot(overall_error, np.abs(wider.overall - fit.overall))
    possible = fit.fitted & (fit.explained >= _EXPLAINED)
    possible &= (joint[:, 0] > _GAINS[0]) & (joint[:, 0] < _GAINS[1])
    possible &= ~(joint + joint_error < 0.0)[:, 2:].any(axis=1)
    doubt = _doubt(fit, possible, overall_error, gravity_compensation)
    estimates = []
    for i, name in enumerate(arm.joint_names):
        for j, what in enumerate(PER_JOINT):
            value, error = float(joint[i, j]), float(joint_error[i, j])
            useful = error <= _useful(arm, i, what, value, float(inertia[i]))
            assumed = what == "torque_gain" and bool(fit.fitted[i]) and not fit.free[i]
            estimated = bool(possible[i]) and useful and not doubt
            shown = _shown(value, error, bool(fit.fitted[i]))
            estimates.append(
                Estimate(what, name, *shown, float(described[i, j]), estimated, assumed)
            )
    for j, what in enumerate(OVERALL):
        value, error = float(fit.overall[j]), float(overall_error[j])
        estimated = not doubt and error <= _USEFUL[what]
        estimated &= what != "payload_kg" or value + error >= 0.0
        described_as = 1.0 if what == "gravity_scale" else 0.0
        shown = _shown(value, error, bool(fit.fitted.any()))
        estimates.append(Estimate(what, "", *shown, described_as, estimated))
    excitation = tuple(_excitation(found, fit, i, name) for i, name in enumerate(arm.joint_names))
    not_estimated = [
        doubt,
        _too_short(excitation),
        *(_of_joint(each, estimates, doubt) for each in excitation),
        *("" if doubt or each.joint else _of_arm(each) for each in estimates),
    ]
    return Findings(
        tuple(estimates), excitation, tuple(filter(None, not_estimated)), measured, cutoff_hz
    )


def _shown(
    value: float, error: float, fitted: bool
) -> tuple[float | None, float | None, float | None]:
    """An estimate and its interval, as far as there are any."""
    if not fitted:
        return None, None, None
    if not np.isfinite(error):
        return value, None, None
    return value, value - error, value + error


def _floors(arm: Arm, found: Regressors, fit: Fit, inertia: Array, wider: Fit | None) -> Array:
    """Half of the intervals [n, 5], never below what the method itself may be off by."""
    floor = np.zeros(fit.joint.shape)
    floor[:, 0] = np.hypot(_FLOOR["torque_gain"], timing_of_gain(found, fit))
    floor[:, 1] = _FLOOR_BIAS * arm.action_scale
    floor[:, 2:] = _FLOOR_SHARE * np.abs(fit.joint[:, 2:])
    floor[:, 2] += _FLOOR_INERTIA * inertia + TIMING_S * np.abs(fit.joint[:, 3])
    error = np.hypot(fit.joint_error, floor)
    if wider is None:
        return np.asarray(error)
    # Only where both took the gain in the same way: else another quotient is compared.
    alike = (wider.free == fit.free) & wider.fitted & fit.fitted
    apart = np.where(alike[:, None], np.abs(wider.joint - fit.joint), 0.0)
    return np.asarray(np.hypot(error, apart))


def _held_gravity(found: Regressors, fit: Fit) -> Array:
    """What a robot's own g(q) that is held for a period adds to the viscous friction, [n].

    Half a period late on average, the gravity that it does not hold, h = m Y + e ĝ, looks like
    damping: h(t − T/2) ≈ h − T/2 ḣ.
    """
    load = fit.overall[0] * found.payload + (1.0 - fit.overall[1]) * found.gravity
    late = np.zeros(load.shape[1])
    slope = np.gradient(load, found.time_s, axis=0) if len(load) > 1 else np.zeros(load.shape)
    for i in np.flatnonzero(fit.fitted).tolist():
        rows = found.usable[:, i]
        speed = np.sqrt(np.mean(found.velocity[rows, i] ** 2))
        change = np.sqrt(np.mean(slope[rows, i] ** 2))
        late[i] = 0.5 * found.torque.period_s * change / max(float(speed), 1e-9)
    return late


def _useful(arm: Arm, i: int, what: str, value: float, inertia: float) -> float:
    """Half of an interval that is still of use, in the parameter's unit."""
    authority = float(arm.action_scale[i])
    if what == "torque_gain":
        return _USEFUL_GAIN
    if what == "torque_bias":
        return _USEFUL_BIAS * authority
    share = _USEFUL_SHARE * abs(value)
    if what == "armature":
        return max(share, _USEFUL_INERTIA * (inertia + max(value, 0.0)))
    if what == "joint_damping":
        return max(share, _UNNOTICED * authority / (0.5 * float(arm.velocity_limit[i])))
    return max(share, _UNNOTICED * authority)


def _excitation(found: Regressors, fit: Fit, i: int, name: str) -> Excitation:
    rows = found.usable[:, i]
    step = float(np.median(np.diff(found.time_s))) if len(found.time_s) > 1 else 0.0

    def rms(values: Array) -> float:
        return float(np.sqrt(np.mean(values[rows, i] ** 2))) if rows.any() else 0.0

    return Excitation(
        joint=name,
        moved=float(found.moved[i]),
        velocity=rms(found.velocity),
        acceleration=rms(found.acceleration),
        seconds=float(rows.sum() * step),
        explained=float(fit.explained[i]),
        residual=float(fit.residual[i]),
    )


def _doubt(fit: Fit, possible: Bools, overall_error: Array, gravity_compensation: str) -> str:
    """Why nothing is estimated; empty where the model is that of the arm."""
    if not fit.fitted.any():
        return "Nothing is estimated: no joint moves for long enough while its torque is recorded."
    scale, delay = fit.overall[1:]
    if abs(scale - 1.0) > max(_GRAVITY, 2.0 * overall_error[1]):
        words = {
            "robot": "the recorded torque seems to hold the arm itself, for which there is "
            "--gravity-compensation policy",
            "policy": "the robot seems to add g(q) itself, for which there is "
            "--gravity-compensation robot",
        }[gravity_compensation]
        return f"Nothing is estimated: the gravity scale comes out as {scale:.2f}; {words}."
    if not EARLIEST_S + _EDGE_S < delay < LATEST_S - _EDGE_S:
        return (
            f"Nothing is estimated: the best delay is at the end of the search, {delay:.3f} s; "
            "the torques do not move this arm, or have a clock of their own."
        )
    if 2 * possible.sum() <= fit.fitted.sum():
        return (
            f"Nothing is estimated: the model is possible for {possible.sum()} of "
            f"{fit.fitted.sum()} joints; the masses of the arm as described, or the torques, seem "
            "to be of another one."
        )
    return ""


def _too_short(excitation: Sequence[Excitation]) -> str:
    longest = max(each.seconds for each in excitation)
    if longest >= _SHORT_S:
        return ""
    return (
        f"Only {longest:.1f} s can be used, what the filter and the search of the delay need at "
        "each end and gap left out: record 30 s or more, without a gap."
    )


def _of_joint(each: Excitation, estimates: Sequence[Estimate], doubt: str) -> str:
    """One sentence about a joint; empty where all of it is estimated."""
    own = [estimate for estimate in estimates if estimate.joint == each.joint]
    missing = [estimate for estimate in own if not estimate.estimated]
    if not missing:
        return ""
    name, moved = f"Joint {each.joint}", f"moved {each.moved:.2g} rad"
    if own[0].value is None:
        if each.moved < _MOVED:
            return f"{name} {moved}: nothing of it can be estimated."
        return (
            f"{name} {moved}, but hardly ever faster than 0.02 rad/s while its torque was "
            "recorded: nothing of it can be estimated."
        )
    if each.explained < _EXPLAINED:
        return (
            f"{name}: the model explains {max(each.explained, 0.0):.0%} of its torque, and "
            "nothing of it can be estimated; look for a contact, a stop, a hose, another "
            "arm or torques that did not act."
        )
    negative = [e for e in own[2:] if e.high is not None and e.high < 0.0]
    if negative:
        return (
            f"{name}: its {_list(negative)} would be negative, so that its links are lighter "
            "than described, or something differs from the model; nothing of it is estimated."
        )
    if doubt:
        return ""
    if [estimate.name for estimate in missing] == ["torque_gain"]:
        return (
            f"{name}: its own friction and rotor take so much of its torque that its gain cannot "
            "be estimated from them; they are given over the gain, as if it were 1."
        )
    return (
        f"{name}: its {_list(missing)} cannot be estimated; "
        f"it {moved}, at {each.velocity:.2g} rad/s "
        f"and {each.acceleration:.2g} rad/s² (RMS of {each.seconds:.1f} s)."
    )


def _of_arm(each: Estimate) -> str:
    """One sentence about a parameter of the whole arm; empty where it is estimated."""
    if each.estimated:
        return ""
    if each.name == "payload_kg" and each.high is not None and each.high < 0.0:
        return (
            f"The payload would be {each.value:.2f} kg: what the end effector carries is lighter "
            "than described."
        )
    reason = {
        "payload_kg": "the joints that lift the end effector must move further and faster",
        "gravity_scale": "the arm must move through configurations of other gravity torques",
        "delay_s": "the torques must change faster, or the recording be longer",
    }[each.name]
    half = "" if each.low is None or each.high is None else f" (± {(each.high - each.low) / 2:.2g}"
    half += f" {each.unit}".rstrip() + ")" if half else ""
    return f"The {_WORDS[each.name]} cannot be estimated{half}: {reason}."


def _list(estimates: Sequence[Estimate]) -> str:
    words = [_WORDS[each.name] for each in estimates]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
