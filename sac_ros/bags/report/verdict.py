# SPDX-License-Identifier: Apache-2.0
"""What the figures of a policy come to, in words: the first thing on the page.

Nothing is computed here: each sentence follows from figures of ``summary.json``, and cites them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sac_ros.bags.metrics.errors import ErrorFigures
from sac_ros.bags.metrics.limits import LimitFigures
from sac_ros.bags.report.format import number, percent
from sac_ros.bags.result import OWN_LIMITS, ModelResult
from sac_ros.policy.safety_events import Intervention

GOOD, MIND, BAD = "good", "mind", "bad"

_SAME = 1e-5  # of the torque limit: what float32 inference leaves between two machines
_BLIND = ("zero", "mean")  # baselines that know nothing of the robot, not even its last torque
_HALF = 0.5  # of their error: who only leaves out the offset has not followed the motion
# Of 14 positions and velocities, each beyond its 1st to 99th percentile in 2 % of the training,
# some one is in up to a quarter of it.
_AS_IN_TRAINING, _MOSTLY_OUTSIDE = 0.25, 0.75
_ROOMY, _FULL = 0.5, 1.0  # of the control period, which holds more than the inference


class Finding(NamedTuple):
    """One sentence, and whether it is ``good``, to ``mind`` or ``bad``."""

    meaning: str
    words: str


def headline(model: ModelResult) -> str:
    """Return in a few words how the policy stands to the recording."""
    return f"{model.label} {_closeness(model)[0]}"


def findings(model: ModelResult) -> list[Finding]:
    """Return the sentences about one policy, in the order of the page's sections."""
    found = [_closeness(model)[1], _divergence(model), *_limits(model), *_safety(model)]
    found += [*_coverage(model), _latency(model)]
    return [each for each in found if each is not None]


def acts(model: ModelResult) -> list[tuple[float, str]]:
    """Return the share of the states in which each guard acts against the policy, largest first.

    Waiting for a goal is no such act: the policy was not asked.
    """
    each = ((act.share, act.kind) for act in model.interventions)
    return sorted((a for a in each if a[1] != Intervention.NO_GOAL.value), reverse=True)


def _closeness(model: ModelResult) -> tuple[str, Finding]:
    if not model.errors:
        words = "No torques were recorded, so how close it is to them cannot be told."
        return "has nothing to be compared with", Finding(MIND, words)
    policy = model.errors[0].overall
    if policy.max_share < _SAME:
        words = f"The largest difference from a recorded torque is {number(policy.max)} N·m."
        return "asks for the recorded torques", Finding(GOOD, words)
    blind = [each for each in model.errors[1:] if each.name in _BLIND]
    others = [each for each in model.errors[1:] if each.name not in _BLIND]
    rmse = f"RMSE {percent(policy.rmse_share)} of the limit"
    if any(policy.rmse_share > _HALF * each.overall.rmse_share for each in blind):
        words = (
            "Its error is more than half that of predictions that know nothing of the robot: "
            f"{rmse}, {_of(blind)}."
        )
        return "asks for other torques than the recorded ones", Finding(BAD, words)
    if any(policy.rmse_share > each.overall.rmse_share for each in others):
        words = (
            f"Its error is less than half that of {_of(blind)}, but repeating the last recorded "
            f"torque is closer: {rmse}, {_of(others)}."
        )
        return "resembles the recorded torques", Finding(MIND, words)
    words = (
        f"It is closer to the recorded torques than any baseline: {rmse}, {_of(model.errors[1:])}."
    )
    return "stays close to the recorded torques", Finding(GOOD, words)


def _of(baselines: Sequence[ErrorFigures]) -> str:
    return ", ".join(f"{each.name} {percent(each.overall.rmse_share)}" for each in baselines)


def _divergence(model: ModelResult) -> Finding | None:
    found = model.divergence
    if found is None or found.first_s is None:
        return None
    off = f"{found.joint} is off by more than {percent(found.threshold_share)} of its limit"
    return Finding(
        BAD, f"From {found.first_s:.3f} s on {off} for {found.sustained_s:g} s or longer."
    )


def _limits(model: ModelResult) -> list[Finding]:
    own = [each for each in model.limits if each.count and each.kind in OWN_LIMITS]
    robot = [each for each in model.limits if each.count and each.kind not in OWN_LIMITS]
    found = [
        Finding(BAD, f"It goes beyond a limit: {'; '.join(map(_beyond, own))}.")
        if own
        else Finding(GOOD, "It asks for no torque and no change of torque beyond a limit.")
    ]
    if robot:
        words = f"The recorded robot itself was beyond a limit: {'; '.join(map(_beyond, robot))}."
        found.append(Finding(MIND, words))
    return found


def _beyond(limit: LimitFigures) -> str:
    words = f"{limit.kind.replace('_', ' ')} in {limit.count} states"
    if limit.worst is not None:
        words += f", at worst {percent(limit.worst)} of the limit ({limit.worst_joint})"
    return words


def _safety(model: ModelResult) -> list[Finding]:
    found = []
    if model.faults:
        faults = ", ".join(f"{each.kind} {each.count}×" for each in model.faults)
        found.append(Finding(BAD, f"The safety filter would have stopped the robot: {faults}."))
    if changes := acts(model):
        kinds = ", ".join(f"{kind} {percent(share)}" for share, kind in changes)
        words = f"The safety filter would have changed its torques: {kinds} of the states."
        found.append(Finding(MIND, words))
    return found or [Finding(GOOD, "The safety filter would have changed nothing.")]


def _coverage(model: ModelResult) -> list[Finding]:
    coverage = model.coverage
    share = coverage.outside_share
    low, high = (f"{each:g}" for each in coverage.percentiles)
    words = (
        f"{percent(share)} of the states lie outside what it was trained on (percentiles {low} "
        f"to {high} of each joint)"
    )
    if share <= _AS_IN_TRAINING:
        found = [Finding(GOOD, f"{words}; much the same holds in training.")]
    else:
        meaning = BAD if share >= _MOSTLY_OUTSIDE else MIND
        found = [Finding(meaning, f"{words}; there its torque is a guess.")]
    if coverage.goal_outside_share > 0.0:
        goals = percent(coverage.goal_outside_share)
        found.append(Finding(MIND, f"In {goals} of the states the goal lies outside, too."))
    return found


def _latency(model: ModelResult) -> Finding:
    latency = model.latency
    share = latency.period_share_p99
    meaning = GOOD if share < _ROOMY else MIND if share < _FULL else BAD
    words = f"One inference takes {number(1e6 * latency.p99_s)} µs (p99), {percent(share)} of its "
    return Finding(meaning, words + "period, on the machine that made this page.")
