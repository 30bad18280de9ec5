# SPDX-License-Identifier: Apache-2.0
"""All figures of one policy on a recording."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sac_ros.bags.alignment import Aligned
from sac_ros.bags.columns import Array, finite_rows, take_rows
from sac_ros.bags.inference import Answers
from sac_ros.bags.metrics.coverage import coverage_figures
from sac_ros.bags.metrics.divergence import DivergenceFigures, divergence_figures
from sac_ros.bags.metrics.errors import ErrorFigures, all_errors
from sac_ros.bags.metrics.lag import LagFigures, Steps, lag_figures
from sac_ros.bags.metrics.latency import measure_latency
from sac_ros.bags.metrics.limits import LimitFigures, state_figures, torque_figures
from sac_ros.bags.metrics.safety import review
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
    spec = answers.runs.spec
    limit = np.array(spec.torque_limit)
    asked = answers.torque, answers.gravity, answers.answered
    states = aligned.position, aligned.velocity, aligned.time_s
    reviewed = review(*asked, *states, aligned.arrival_s, spec, aligned.spool)
    series: Series = {"policy_torque": answers.torque, "published_torque": reviewed.published}
    errors, lag, divergence = _against_recording(aligned, answers, limit, series)
    limits, recorded_limits = _limits(aligned, answers, limit)
    timed = answers.rows[np.linspace(0, len(answers.rows) - 1, _TIMED_CALLS).astype(np.intp)]
    result = ModelResult(
        label=label,
        path=str(policy.path),
        sha256=policy.sha256,
        name=spec.name,
        arm=spec.arm,
        control_rate_hz=answers.control_rate_hz,
        gravity_compensation=spec.gravity_compensation,
        torque_limit=tuple(limit.tolist()),
        samples=int(answers.answered.sum()),
        inferences=len(answers.rows),
        errors=errors,
        lag=lag,
        limits=limits,
        recorded_limits=recorded_limits,
        interventions=reviewed.interventions,
        faults=reviewed.faults,
        smoothness=_smoothness(aligned, answers, reviewed.published, limit, series),
        coverage=coverage_figures(aligned.position, aligned.velocity, answers.goal, spec),
        latency=measure_latency(policy, answers.runs.inputs(timed), answers.control_rate_hz),
        divergence=divergence,
    )
    return result, series


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
    errors = all_errors(policy, recorded, time_s, limit)
    joints = aligned.facts.joint_names
    divergence = divergence_figures(policy, recorded, time_s, segment, limit, joints)
    if len(chosen) < 2 or len(answers.rows) < 2:
        return errors, None, divergence
    lag, *curves = _lag(aligned, answers, chosen, limit, errors[0].overall.rmse_share)
    series["lag_s"], series["lag_correlation"] = curves
    return errors, lag, divergence


def _lag(
    aligned: Aligned, answers: Answers, chosen: NDArray[np.intp], limit: Array, rmse_share: float
) -> tuple[LagFigures, Array, Array]:
    """Compare the ``chosen`` commands when they came with the policy's torques when it was run."""
    ran = answers.rows[finite_rows(answers.torque)[answers.rows]]
    order = chosen[np.argsort(aligned.command_time_s[chosen], kind="stable")]
    recorded = take_rows(aligned.spool, aligned.torque, order)
    policy = take_rows(aligned.spool, answers.torque, ran)
    time_s, segment = aligned.at(ran)
    _, theirs = aligned.at(aligned.commanded[order])
    return lag_figures(
        Steps(aligned.command_time_s[order], recorded, theirs),
        Steps(time_s, policy, segment),
        aligned.period_s,
        aligned.command_jitter_s,
        limit,
        rmse_share,
    )


def _limits(
    aligned: Aligned, answers: Answers, limit: Array
) -> tuple[tuple[LimitFigures, ...], tuple[LimitFigures, ...]]:
    """Return what policy and states do to the limits, and what the recorded torque does."""
    spec = answers.runs.spec
    slew = JointLimits.of(spec, SafetyConfig()).slew

    own = take_rows(aligned.spool, answers.torque, answers.rows)
    found = torque_figures(own, *aligned.at(answers.rows), limit, slew, spec.joint_names)
    found += state_figures(aligned.position, aligned.velocity, aligned.time_s, spec)
    if not len(aligned.commanded):
        return found, ()
    recorded = aligned.torque, *aligned.at(aligned.commanded)
    return found, torque_figures(*recorded, limit, slew, spec.joint_names)


def _smoothness(
    aligned: Aligned,
    answers: Answers,
    published: NDArray[np.float32],
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
        ("published", published, usable, usable),
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
