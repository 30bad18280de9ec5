# SPDX-License-Identifier: Apache-2.0
"""What the safety filter would have made of a policy's torques, for all states at once.

The guards are the filter's own functions, on arrays of thousands of states. Only the state machine
around them is told differently: the soft start is over, a fault is counted and taken as cleared at
once (latched, the first would hide all that follows), and the policy tracks wherever it has a
goal. A test holds the torques to those of `SafetyFilter`, bit for bit, where no fault occurs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from sac_ros.bags.columns import Array, Spool, blocks, finite_rows
from sac_ros.bags.metrics.limits import runs
from sac_ros.policy import guards
from sac_ros.policy.detectors.timeouts import SLOW_FAULT
from sac_ros.policy.safety_config import JointLimits, SafetyConfig
from sac_ros.policy.safety_events import Fault, Intervention
from sac_ros.policy.schedule import ArrivalRate
from sac_ros.policy.spec import PolicySpec

_TOLD = 100  # times of one kind; who wants all of them compares the series
_KINDS = (
    Intervention.NO_GOAL,
    Intervention.POSITION_LIMIT,
    Intervention.VELOCITY_LIMIT,
    Intervention.TOO_FAST,
    Intervention.CLAMP,
    Intervention.SLEW,
)


@dataclass(frozen=True)
class InterventionFigures:
    """What the safety filter would have changed, by one of its guards."""

    kind: Annotated[str, "as `sac_ros.policy.safety_events.Intervention` names it."]
    count: Annotated[int, "samples in which it acts."]
    share: Annotated[float, "over all samples."]
    joint_count: Annotated[tuple[int, ...], "[n] samples in which it changes that joint's torque."]
    first_s: Annotated[tuple[float, ...], "when it begins to act, the first hundred times."]


@dataclass(frozen=True)
class FaultFigures:
    """A fault that would have latched in the safety filter."""

    kind: Annotated[str, "as `sac_ros.policy.safety_events.Fault` names it."]
    count: Annotated[int, "how often, each taken as cleared at once."]
    first_s: Annotated[tuple[float, ...], "when, the first hundred."]


@dataclass(frozen=True)
class SafetyReview:
    """The torques [m, n] float32 after the filter, and what it did to them."""

    published: NDArray[np.float32]
    interventions: tuple[InterventionFigures, ...]
    faults: tuple[FaultFigures, ...]


def review(
    torque: NDArray[np.float32],
    gravity: NDArray[np.float32] | None,
    answered: NDArray[np.bool_],
    position: Array,
    velocity: Array,
    time_s: Array,
    arrival_s: Array,
    spec: PolicySpec,
    spool: Spool,
) -> SafetyReview:
    """Apply the safety filter to a policy's torques.

    Torques [m, n] N·m are NaN where the policy has no goal, and ``gravity`` is the g(q) in them,
    None where the robot adds it; ``answered`` [m] tells whether the policy has a torque. The slew
    limit goes by ``time_s`` [m], the watchdog by ``arrival_s`` [m]. ``spec`` is that of the
    policy, its joints in the order of the recording, as position and velocity [m, n] are.
    """
    config = SafetyConfig()
    limits = JointLimits.of(spec, config)
    m, n = torque.shape
    published = spool.empty((m, n), np.float32)
    acts = {kind: np.zeros(m, dtype=bool) for kind in _KINDS}
    by_joint = {kind: np.zeros(n, dtype=np.int64) for kind in _KINDS}
    over, broken = np.zeros((2, m), dtype=bool)
    last: Array | None = None
    for part in blocks(m):
        carried = None if gravity is None else gravity[part].astype(np.float64)
        asked = torque[part].astype(np.float64)
        wanted, acted = _guarded(asked, carried, position[part], velocity[part], limits, config)
        before = time_s[max(part.start - 1, 0)]
        elapsed = np.clip(np.diff(time_s[part], prepend=before), 0.0, config.watchdog_s)
        step = limits.slew * elapsed[:, np.newaxis]
        last = wanted[0] if last is None else last
        final, slewed = limit_slew(wanted, last, step)
        acted[Intervention.SLEW] = slewed
        last = final[-1]
        published[part] = final
        for kind, changed in acted.items():
            acts[kind][part] = changed.any(axis=1)
            by_joint[kind] += changed.sum(axis=0)
        over[part] = (np.abs(velocity[part]) > limits.velocity).any(axis=1)
        broken[part] = answered[part] & ~finite_rows(torque[part])
    interventions = tuple(
        InterventionFigures(
            kind=kind.value,
            count=int(acts[kind].sum()),
            share=float(acts[kind].mean()),
            joint_count=tuple(by_joint[kind].tolist()),
            first_s=tuple(time_s[runs(acts[kind])[0][:_TOLD]].tolist()),
        )
        for kind in _KINDS
        if acts[kind].any()
    )
    starts, ends = runs(over)
    rows = {
        Fault.WATCHDOG: np.flatnonzero(np.diff(arrival_s) > config.watchdog_s) + 1,
        Fault.SLOW_STATES: _slow(arrival_s, spec.control_rate_hz, config.watchdog_s),
        Fault.OVER_SPEED: starts[time_s[ends] - time_s[starts] >= config.over_speed_s],
        Fault.POLICY_OUTPUT: runs(broken)[0],
    }
    faults = tuple(
        FaultFigures(kind.value, len(each), tuple(time_s[each[:_TOLD]].tolist()))
        for kind, each in rows.items()
        if len(each)
    )
    return SafetyReview(published, interventions, faults)


def limit_slew(wanted: Array, last: Array, step: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Limit how fast torques [k, n] change, each joint by itself.

    y_i = clip(w_i, y_{i−1} − s_i, y_{i−1} + s_i). Between two torques that differ by no more than
    a step nothing is to be done, so only the ramps are walked through.
    Returns the torques, and where they differ from those wanted.
    """
    final = wanted.copy()
    before = np.vstack([last[np.newaxis], wanted[:-1]])
    jumps = (wanted > before + step) | (wanted < before - step)
    for j in np.flatnonzero(jumps.any(axis=0)).tolist():
        values, steps = wanted[:, j].tolist(), step[:, j].tolist()
        row = -1
        for start in np.flatnonzero(jumps[:, j]).tolist():
            if start < row:
                continue  # a ramp from before has not come to its end here yet
            row = start
            held = float(final[start - 1, j]) if start else float(last[j])
            while row < len(values):
                value = min(max(values[row], held - steps[row]), held + steps[row])
                if value == values[row]:
                    break
                held = value
                final[row, j] = held
                row += 1
    return final, final != wanted


def _guarded(
    torque: Array,
    gravity: Array | None,
    position: Array,
    velocity: Array,
    limits: JointLimits,
    config: SafetyConfig,
) -> tuple[Array, dict[Intervention, NDArray[np.bool_]]]:
    """Return torques after all guards but the slew limit, and where each guard acts."""
    tracks = finite_rows(torque)
    usable = tracks[:, np.newaxis]
    clamped = guards.clamp(torque, limits)
    clamps = usable & (clamped != torque)
    held = None if gravity is None else guards.clamp(gravity, limits)
    wanted = clamped if held is None else clamped - held
    wanted = np.where(usable, wanted, 0.0)
    wanted[~tracks] = guards.braking_torque(position[~tracks], velocity[~tracks], limits)
    final, steps = guards.guarded(wanted, held, position, velocity, limits, config.position_margin)
    acted = {kind: before != after for kind, before, after in steps}
    acted[Intervention.CLAMP] |= clamps
    return final, {Intervention.NO_GOAL: np.broadcast_to(~usable, torque.shape), **acted}


def _slow(arrival_s: Array, control_rate_hz: float, watchdog_s: float) -> NDArray[np.intp]:
    """Return the states with which their rate falls below half of the policy's.

    A pause longer than the watchdog has its own fault and is left out, as in the filter.
    """
    intervals = np.diff(arrival_s)
    if not np.any(intervals > 1.0 / (SLOW_FAULT * control_rate_hz)):
        return np.empty(0, dtype=np.intp)  # an average is never longer than its longest
    rate, slow = ArrivalRate(), np.zeros(len(arrival_s), dtype=bool)
    newest = -np.inf
    for row, now in enumerate(arrival_s.tolist()):
        if now - newest > watchdog_s:
            rate.reset()
        rate.arrived(now)
        newest = now
        slow[row] = rate.settled and rate.hz < SLOW_FAULT * control_rate_hz
    return runs(slow)[0]
