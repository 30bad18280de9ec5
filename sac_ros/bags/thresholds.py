# SPDX-License-Identifier: Apache-2.0
"""``--fail-on``: figures that a build can be made to fail by."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from sac_ros.bags.result import Evaluation, ModelResult, Threshold
from sac_ros.utils.errors import ConfigurationError

Figure = Callable[[Evaluation, ModelResult], float | None]


def _error(field: str) -> Figure:
    def value(_evaluation: Evaluation, model: ModelResult) -> float | None:
        return abs(getattr(model.errors[0].overall, field)) if model.errors else None

    return value


def _violations(_evaluation: Evaluation, model: ModelResult) -> float:
    """What the policy itself did: where the recorded robot was is not its doing."""
    own = ("torque", "torque_rate", "non_finite")
    return float(sum(limit.count for limit in model.limits if limit.kind in own))


def _lag(_evaluation: Evaluation, model: ModelResult) -> float | None:
    if model.lag is None or model.lag.overall_s is None:
        return None
    return abs(model.lag.overall_s)


FIGURES: dict[str, tuple[Figure, str]] = {
    "rmse": (_error("rmse"), "torque error, root mean square, N·m"),
    "mae": (_error("mae"), "torque error, mean, N·m"),
    "p95": (_error("p95"), "torque error, 95th percentile, N·m"),
    "max": (_error("max"), "torque error, largest, N·m"),
    "bias": (_error("bias"), "|mean torque error|, N·m"),
    "rmse_share": (_error("rmse_share"), "torque error over the limit, root mean square"),
    "max_share": (_error("max_share"), "torque error over the limit, largest"),
    "violations": (_violations, "policy torques beyond torque or rate limit, or not finite"),
    "interventions": (
        lambda _, model: float(max((each.count for each in model.interventions), default=0)),
        "samples in which the safety filter's most frequent guard acts",
    ),
    "faults": (
        lambda _, model: float(sum(each.count for each in model.faults)),
        "faults of the safety filter",
    ),
    "outside": (
        lambda _, model: model.coverage.outside_share,
        "share of states outside the training range",
    ),
    "lag": (_lag, "|lag|, s"),
    "latency": (lambda _, model: model.latency.p99_s, "99th percentile of one inference, s"),
    "dropped": (
        lambda evaluation, _: float(sum(evaluation.recording.states.dropped.values())),
        "joint states that could not be used",
    ),
}
"""Name to the figure of a model, and what it is."""


def parse_thresholds(text: str) -> dict[str, float]:
    """Read ``name=value,...``.

    Raises:
        ConfigurationError: a name is unknown or stands twice, or a value is no number.
    """
    found: dict[str, float] = {}
    for part in filter(None, text.split(",")):
        name, equals, number = part.partition("=")
        if name not in FIGURES:
            raise ConfigurationError(f"--fail-on knows {', '.join(FIGURES)}; got {name!r}")
        if name in found:
            raise ConfigurationError(f"--fail-on must name each figure once; got {name} twice")
        try:
            value = float(number) if equals else math.nan
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise ConfigurationError(
                f"--fail-on {name} needs a number, as {name}=0.5; got {part!r}"
            )
        found[name] = value
    return found


def judge(evaluation: Evaluation, thresholds: Mapping[str, float]) -> tuple[Threshold, ...]:
    """Compare every model with every threshold; a figure that cannot be told is missed."""
    found = []
    for model in evaluation.models:
        for name, limit in thresholds.items():
            value = FIGURES[name][0](evaluation, model)
            told = value is not None and math.isfinite(value)
            met = told and value is not None and value <= limit
            found.append(Threshold(name, model.label, limit, value if told else None, met))
    return tuple(found)
