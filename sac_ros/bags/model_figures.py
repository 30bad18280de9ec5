# SPDX-License-Identifier: Apache-2.0
"""All figures of one policy on a recording."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sac_ros.bags.alignment import Aligned
from sac_ros.bags.columns import Array, blocks, finite_rows, take_rows
from sac_ros.bags.inference import Answers
from sac_ros.bags.metrics.coverage import coverage_figures
from sac_ros.bags.metrics.divergence import DivergenceFigures, divergence_figures
from sac_ros.bags.metrics.dynamics import (
    MOST,
    EffectFigures,
    GravityFigures,
    effect_figures,
    gravity_figures,
    gravity_of,
)
from sac_ros.bags.metrics.errors import ErrorFigures, all_errors
from sac_ros.bags.metrics.goals import goal_figures
from sac_ros.bags.metrics.lag import LagFigures, Steps, lag_figures
from sac_ros.bags.metrics.latency import measure_latency
from sac_ros.bags.metrics.limits import LimitFigures, rate_figures, state_figures, torque_figures
from sac_ros.bags.metrics.saturation import saturated, saturation_figures
from sac_ros.bags.metrics.smoothness import SmoothnessFigures, smoothness_figures, windows
from sac_ros.bags.result import ModelResult
from sac_ros.policy.runtime import Policy
from sac_ros.policy.safety_config import JointLimits, SafetyConfig

_TIMED_CALLS = 501  # the first one warms up

Series = dict[str, NDArray[Any]]


def model_result(
    label: str, policy: Policy, aligned: Aligned, answers: Answers
) -> tuple[ModelResult, Series]:
    """Return the figures of one policy, and its series without the model's number."""
    spec = answers.spec
    limit = np.array(spec.torque_limit)
    series: Series = {"policy_torque": answers.torque, "published_torque": answers.published}
    series["interventions"] = answers.acts
    errors, lag, divergence = _against_recording(aligned, answers, limit, series)
    limits, recorded_limits = _limits(aligned, answers, limit)
    gravity, effect = _on_the_arm(aligned, answers)
    authority = np.array(spec.authority)
    at_bound = saturated(answers.torque, limit, authority, answers.gravity)
    saturation = [saturation_figures("policy", at_bound[answers.answered])]
    if len(aligned.torque):
        saturation.append(saturation_figures("recorded", saturated(aligned.torque, limit)))
    goals = goal_figures(
        answers.goal, _error(aligned, answers), at_bound, aligned.time_s, authority
    )
    timed = answers.rows[np.linspace(0, len(answers.rows) - 1, _TIMED_CALLS).astype(np.intp)]
    result = ModelResult(
        label=label,
        path=str(policy.path),
        sha256=policy.sha256,
        name=spec.name,
        arm=spec.arm,
        control_rate_hz=answers.control_rate_hz,
        gravity_compensation=spec.gravity_compensation,
        joint_names=spec.joint_names,
        torque_limit=tuple(limit.tolist()),
        action_scale=spec.authority,
        unanswered_fraction=_unanswered(answers),
        samples=int(answers.answered.sum()),
        inferences=len(answers.rows),
        errors=errors,
        lag=lag,
        limits=limits,
        recorded_limits=recorded_limits,
        interventions=answers.safety.interventions(aligned.time_s),
        faults=answers.safety.faults(aligned.time_s),
        smoothness=_smoothness(aligned, answers, limit, series),
        coverage=coverage_figures(aligned.position, aligned.velocity, answers.goal, spec),
        latency=measure_latency(
            policy, _inputs(policy, aligned, answers, timed), answers.control_rate_hz
        ),
        divergence=divergence,
        saturation=tuple(saturation),
        gravity=gravity,
        effect=effect,
        goals=goals,
    )
    return result, series


def _unanswered(answers: Answers) -> float:
    """Return how many of the states with a goal got no torque, as a share of those known."""
    asked = int(finite_rows(answers.goal).sum()) - answers.unknown
    return max(0.0, 1.0 - int(answers.answered.sum()) / asked) if asked > 0 else 0.0


def _error(aligned: Aligned, answers: Answers) -> NDArray[np.float32]:
    """Return policy minus recorded [m, n] N·m; NaN where there is none."""
    error: NDArray[np.float32] = aligned.spool.empty(answers.torque.shape, np.float32)
    for part in blocks(len(error)):
        error[part] = np.nan
    for part in blocks(len(aligned.commanded)):
        rows = aligned.commanded[part]
        error[rows] = answers.torque[rows] - aligned.torque[part]
    return error


def _on_the_arm(
    aligned: Aligned, answers: Answers
) -> tuple[GravityFigures | None, EffectFigures | None]:
    """Return what the error means to the arm, of a few thousand states evenly chosen."""
    usable = finite_rows(answers.torque)[aligned.commanded] & finite_rows(aligned.torque)
    chosen = np.flatnonzero(usable)
    if not len(chosen):
        return None, None
    chosen = chosen[:: -(-len(chosen) // MOST)]
    rows, spec = aligned.commanded[chosen], answers.spec
    error = answers.torque[rows] - aligned.torque[chosen]
    position = np.asarray(aligned.position[rows])
    model = gravity_of(spec)
    weight = model(position) if model else None
    if answers.gravity is not None:
        weight = answers.gravity[rows].astype(np.float64)
    gravity = None if weight is None else gravity_figures(error, weight)
    return gravity, effect_figures(error, position, spec)


def _against_recording(
    aligned: Aligned, answers: Answers, limit: Array, series: Series
) -> tuple[tuple[ErrorFigures, ...], LagFigures | None, DivergenceFigures | None]:
    """Compare the torques of the samples that have a recorded one and the policy's."""
    both = answers.answered[aligned.commanded] & finite_rows(aligned.torque)
    both &= finite_rows(answers.torque)[aligned.commanded]
    chosen = np.flatnonzero(both)
    if not len(chosen):
        return (), None, None
    rows = aligned.commanded[chosen]
    time_s, segment = aligned.at(rows)
    policy = take_rows(aligned.spool, answers.torque, rows)
    recorded = take_rows(aligned.spool, aligned.torque, chosen)
    authority, weight = np.array(answers.spec.authority), answers.gravity
    held = None if weight is None else take_rows(aligned.spool, weight, rows)
    errors = all_errors(policy, recorded, time_s, limit, authority, held, aligned.spool)
    joints = aligned.facts.joint_names
    divergence = divergence_figures(policy, recorded, time_s, segment, limit, joints)
    if len(chosen) < 2 or len(answers.rows) < 2:
        return errors, None, divergence
    lag, *curves = _lag(aligned, answers, chosen, limit, errors[0].overall.rmse_fraction)
    series["lag_s"], series["lag_correlation"] = curves
    return errors, lag, divergence


def _inputs(
    policy: Policy, aligned: Aligned, answers: Answers, rows: NDArray[np.intp]
) -> tuple[NDArray[np.float32], ...]:
    """Return position, velocity [c, n] and goal [c, k] of some states, in the policy's order."""
    own = [aligned.facts.joint_names.index(name) for name in policy.spec.joint_names]
    states = (
        each[rows][:, own].astype(np.float32) for each in (aligned.position, aligned.velocity)
    )
    return (*states, answers.goal[rows])


def _lag(
    aligned: Aligned,
    answers: Answers,
    chosen: NDArray[np.intp],
    limit: Array,
    rmse_fraction: float,
) -> tuple[LagFigures, Array, Array]:
    """Compare the ``chosen`` commands when they came with the policy's torques when it was run."""
    ran = answers.rows[finite_rows(answers.torque)[answers.rows]]
    order = chosen[np.argsort(aligned.command_time_s[chosen], kind="stable")]
    recorded = take_rows(aligned.spool, aligned.torque, order)
    policy = take_rows(aligned.spool, answers.torque, ran)
    time_s, segment = aligned.at(ran)
    _, theirs = aligned.at(aligned.commanded[order])
    return lag_figures(
        Steps(aligned.command_time_s[order], recorded, theirs, aligned.spool),
        Steps(time_s, policy, segment, aligned.spool),
        aligned.period_s,
        aligned.command_jitter_s,
        limit,
        rmse_fraction,
    )


def _limits(
    aligned: Aligned, answers: Answers, limit: Array
) -> tuple[tuple[LimitFigures, ...], tuple[LimitFigures, ...]]:
    """Return what policy and states do to the limits, and what the recorded torque does."""
    spec = answers.spec
    slew = JointLimits.of(spec, SafetyConfig()).slew

    rows, joints = answers.rows, spec.joint_names
    own, (time_s, segment) = take_rows(aligned.spool, answers.torque, rows), aligned.at(rows)
    found = torque_figures(own, time_s, limit, joints)
    found += (rate_figures(own, time_s, segment, slew, joints),)
    found += state_figures(aligned.position, aligned.velocity, aligned.time_s, spec)
    if not len(aligned.commanded):
        return found, ()
    recorded = torque_figures(aligned.torque, aligned.time_s[aligned.commanded], limit, joints)
    # At the policy's runs too: the command that acts there, of the same stretch without a gap.
    acts = np.searchsorted(aligned.commanded, rows, side="right") - 1
    known = (acts >= 0) & (aligned.segment[aligned.commanded[np.maximum(acts, 0)]] == segment)
    held = take_rows(aligned.spool, aligned.torque, acts[known])
    rate = rate_figures(held, time_s[known], segment[known], slew, joints)
    return found, (*recorded, rate)


def _smoothness(
    aligned: Aligned,
    answers: Answers,
    limit: Array,
    series: Series,
) -> tuple[SmoothnessFigures, ...]:
    """Return the figures of policy, published and recorded torques, all at the control rate."""
    rate = answers.control_rate_hz
    usable = np.flatnonzero(finite_rows(answers.torque))
    commands = np.flatnonzero(finite_rows(aligned.torque))
    found = []
    for name, torque, chosen, rows in (
        ("policy", answers.torque, usable, usable),
        ("published", answers.published, usable, usable),
        ("recorded", aligned.torque, commands, aligned.commanded[commands]),
    ):
        if not len(rows):
            continue
        torques = take_rows(aligned.spool, torque, chosen)
        grid = windows(*aligned.at(rows), rate, torques)
        figures, hz, power = smoothness_figures(name, (each for (each,) in grid), rate, limit)
        found.append(figures)
        if name != "published":
            series["spectrum_hz"], series[f"spectrum_{name}"] = hz, power
    return tuple(found)
