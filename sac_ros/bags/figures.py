# SPDX-License-Identifier: Apache-2.0
"""The figures that ``--fail-on`` bounds and ``--compare`` sets side by side, by name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from sac_ros.bags.result import DECISIONS, OWN_LIMITS, Evaluation, ModelResult, Threshold
from sac_ros.policy.safety_events import Fault
from sac_ros.utils.errors import ConfigurationError

FIGURES = {
    "rmse": "torque error, root mean square, N·m",
    "mae": "torque error, mean, N·m",
    "p95": "torque error, 95th percentile, N·m",
    "max": "torque error, largest, N·m",
    "bias": "|mean torque error|, N·m",
    "rmse_fraction": "torque error over the limit, root mean square",
    "max_fraction": "torque error over the limit, largest",
    "rmse_authority": "torque error over the action scale, root mean square",
    "max_authority": "torque error over the action scale, largest",
    "decorrelation": "1 − correlation of what moves the arm: 0 alike, 1 unlike, 2 opposite",
    "saturation": "share of states with the policy's torque at a bound",
    "violations": "policy torques beyond torque or rate limit, or not finite",
    "interventions": "samples in which the safety filter's most frequent guard acts",
    "faults": "faults of the safety filter",
    "arm_faults": "faults of the states, the arm or the policy: not of time, nor by people",
    "unanswered": "share of the states with a goal that got no torque, since a fault stood",
    "outside": "share of states outside the training range",
    "lag": "|lag|, s",
    "latency": "99th percentile of one inference, s",
    "dropped": "joint states that could not be used",
    "verdict": "0: it may go on the robot; 1: in shadow first; 2: no",
}
"""Name of each figure, and what it is."""

AS_VERDICT = {"shadow": 0.0, "no": 1.0}
"""What ``--fail-on`` takes for short: fail where the verdict is that, or worse."""

OF_TIME_OR_PEOPLE = (
    *(Fault.WATCHDOG, Fault.SLOW_STATES, Fault.LATE_POLICY, Fault.GOAL_TIMEOUT),
    *(Fault.EMERGENCY_STOP, Fault.OTHER_PUBLISHER),
)
_OF_ERROR = (
    *("rmse", "mae", "p95", "max", "bias", "rmse_fraction", "max_fraction"),
    *("rmse_authority", "max_authority"),
)


def figures_of(evaluation: Evaluation, model: ModelResult) -> dict[str, float | None]:
    """Return the value of each of `FIGURES`; None where it is unknown."""
    row = model.errors[0].overall if model.errors else None
    lag = model.lag.overall_s if model.lag else None
    alike = row.motion_correlation if row else None
    own = (limit.count for limit in model.limits if limit.kind in OWN_LIMITS)
    return {
        **{name: None if row is None else abs(getattr(row, name)) for name in _OF_ERROR},
        "decorrelation": None if alike is None else 1.0 - alike,
        "saturation": model.saturation[0].fraction,
        "violations": float(sum(own)),
        "interventions": float(max((each.count for each in model.interventions), default=0)),
        "faults": float(sum(each.count for each in model.faults)),
        "arm_faults": float(
            sum(each.count for each in model.faults if each.kind not in OF_TIME_OR_PEOPLE)
        ),
        "unanswered": model.unanswered_fraction,
        "outside": model.coverage.outside_fraction,
        "lag": None if lag is None else abs(lag),
        "latency": model.latency.p99_s,
        "dropped": float(sum(evaluation.recording.states.dropped.values())),
        "verdict": float(DECISIONS.index(model.verdict.decision)) if model.verdict else None,
    }


def parse_thresholds(text: str) -> dict[str, float]:
    """Read ``name=value,...``; a ConfigurationError names what is not of that form.

    The names of `AS_VERDICT` need no value.
    """
    found: dict[str, float] = {}
    for part in filter(None, text.split(",")):
        if part in AS_VERDICT:
            found["verdict"] = AS_VERDICT[part]
            continue
        name, equals, number = part.partition("=")
        if name not in FIGURES:
            raise ConfigurationError(f"--fail-on takes {', '.join(FIGURES)}; got {name!r}")
        if name in found:
            raise ConfigurationError(f"--fail-on must name each figure once; got {name} twice")
        try:
            value = float(number) if equals else math.nan
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            needs = f"needs a number, as {name}=0.5; got {part!r}"
            raise ConfigurationError(f"--fail-on {name} {needs}")
        found[name] = value
    return found


def judge(evaluation: Evaluation, thresholds: Mapping[str, float]) -> tuple[Threshold, ...]:
    """Compare every model with every threshold; a figure that is unknown is missed."""
    found = []
    for model in evaluation.models:
        figures = figures_of(evaluation, model)
        for name, limit in thresholds.items():
            value = figures[name]
            if value is not None and not math.isfinite(value):
                value = None
            met = value is not None and value <= limit
            found.append(Threshold(name, model.label, limit, value, met))
    return tuple(found)


def compare(before: Evaluation, after: Evaluation) -> dict[str, Any]:
    """Return the figures of every pair of models, in their order.

    ``options`` are those that change figures and differ: ``--fail-on`` only bounds them. A figure
    that is unknown, or an option that was not given, is None.
    """
    models = []
    for old, new in zip(before.models, after.models, strict=False):
        figures, of_new = {}, figures_of(after, new)
        for name, a in figures_of(before, old).items():
            b = of_new[name]
            change = None if a is None or b is None else b - a
            figures[name] = {"a": a, "b": b, "change": change}
        same = old.sha256 == new.sha256
        models.append({"a": old.label, "b": new.label, "same_file": same, "figures": figures})
    bags = [[bag.sha256 for bag in each.bags] for each in (before, after)]
    names = sorted((before.options.keys() | after.options.keys()) - {"fail_on"})
    options = {n: {"a": before.options.get(n), "b": after.options.get(n)} for n in names}
    return {
        "same_bags": bags[0] == bags[1],
        "same_joints": before.recording.joint_names == after.recording.joint_names,
        "options": {n: pair for n, pair in options.items() if pair["a"] != pair["b"]},
        "unmatched_models": abs(len(before.models) - len(after.models)),
        "models": models,
    }


def comparison_text(found: dict[str, Any]) -> str:
    """Return a comparison as text."""
    lines = []
    if not found["same_bags"]:
        lines.append("warning: the two are about different bags")
    if not found["same_joints"]:
        lines.append("warning: the two are about different joints")
    for name, each in found["options"].items():
        a, b = ("not given" if value is None else value for value in each.values())
        lines.append(f"warning: --{name.replace('_', '-')} differs: {a} -> {b}")
    if found["unmatched_models"]:
        lines.append(f"warning: {found['unmatched_models']} models have no counterpart")
    for model in found["models"]:
        same = " (the same file)" if model["same_file"] else ""
        lines.append(f"{model['a']} -> {model['b']}{same}")
        lines += [
            f"  {name:<14}{_cell(row['a'])}{_cell(row['b'])}{_cell(row['change'], '+')}  "
            f"{FIGURES[name]}"
            for name, row in model["figures"].items()
        ]
    return "\n".join(lines)


def _cell(value: float | None, sign: str = "") -> str:
    return f"{'unknown':>12}" if value is None else format(value, f"{sign}12.5g")
