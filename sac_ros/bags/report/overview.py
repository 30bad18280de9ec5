# SPDX-License-Identifier: Apache-2.0
"""The top of the page: the verdict in words, and the figures that decide."""

from __future__ import annotations

from sac_ros.bags.report import verdict
from sac_ros.bags.report.html import (
    DASH,
    Cell,
    Markup,
    element,
    join,
    number,
    percent,
    section,
    table,
)
from sac_ros.bags.result import Evaluation, ModelResult

# A sign beside each colour: the page is printed in grey, and read by who tells no red from green.
_SIGNS = {verdict.GOOD: "✓", verdict.MIND: "!", verdict.BAD: "✗"}


def in_words(evaluation: Evaluation) -> Markup:
    """What the figures come to: a headline and some sentences for each policy."""
    parts: list[object] = []
    for model in evaluation.models:
        items = [
            element("li", join(element("b", _SIGNS[each.meaning]), each.words), each.meaning)
            for each in verdict.findings(model)
        ]
        parts += [element("h3", verdict.headline(model)), element("ul", join(*items), "verdict")]
    missed = sum(not each.met for each in evaluation.thresholds)
    if evaluation.thresholds:
        words = f"{missed} of {len(evaluation.thresholds)} thresholds are missed."
        parts.append(element("p", words, verdict.BAD if missed else verdict.GOOD))
    return section("In words", "verdict", *parts)


def overview(evaluation: Evaluation) -> Markup:
    """The figures that decide, a column for each policy."""
    models = evaluation.models
    rows: list[list[object]] = [
        ["states answered", *(model.samples for model in models)],
        ["inferences", *(model.inferences for model in models)],
    ]
    if any(model.errors for model in models):
        rows += [
            ["RMSE of the torque, share of its limit", *map(_policy_error, models)],
            ["… of the best baseline, which knows no policy", *map(_best_baseline, models)],
            ["correlation with the recorded torque", *map(_correlation, models)],
            ["best lag", *map(lag, models)],
            ["diverges", *map(_divergence, models)],
        ]
    rows += [
        ["its torques beyond a limit", *(_beyond(m, own=True) for m in models)],
        ["recorded states beyond a limit", *(_beyond(m, own=False) for m in models)],
        [
            "states outside the training range",
            *(percent(m.coverage.outside_share) for m in models),
        ],
        ["largest act of the safety filter", *map(_largest_act, models)],
        ["inference, p99 over the period", *(percent(m.latency.period_share_p99) for m in models)],
    ]
    parts = [table(("", *(model.label for model in models)), rows)]
    if evaluation.thresholds:
        parts.append(_thresholds(evaluation))
    return section("At a glance", "overview", *parts)


def lag(model: ModelResult) -> str:
    """The best lag of all joints together."""
    if model.lag is None or model.lag.overall_s is None:
        return DASH
    return number(1e3 * model.lag.overall_s, unit="ms")


def _thresholds(evaluation: Evaluation) -> Markup:
    rows = [
        (
            f"{each.model}: {each.name}",
            number(each.value, 4),
            f"{each.limit:g}",
            Cell("met", "good") if each.met else Cell("missed", "bad"),
        )
        for each in evaluation.thresholds
    ]
    return join(element("h3", "Thresholds"), table(("", "found", "allowed", ""), rows))


def _policy_error(model: ModelResult) -> str:
    return percent(model.errors[0].overall.rmse_share) if model.errors else DASH


def _best_baseline(model: ModelResult) -> str:
    baselines = [(each.overall.rmse_share, each.name) for each in model.errors[1:]]
    if not baselines:
        return DASH
    share, name = min(baselines)
    return f"{percent(share)} ({name})"


def _correlation(model: ModelResult) -> str:
    return number(model.errors[0].overall.correlation) if model.errors else DASH


def _divergence(model: ModelResult) -> str:
    found = model.divergence
    if found is None:
        return DASH
    if found.first_s is None:
        return f"never for {found.sustained_s:g} s above {percent(found.threshold_share)}"
    return f"at {found.first_s:.3f} s ({found.joint})"


def _beyond(model: ModelResult, own: bool) -> Cell:
    limits = [each for each in model.limits if (each.kind in verdict.OWN_LIMITS) == own]
    found = [f"{each.count} {each.kind}" for each in limits if each.count]
    return Cell(", ".join(found), "bad") if found else Cell("none", "good")


def _largest_act(model: ModelResult) -> str:
    acts = verdict.acts(model)
    if not acts:
        return "changes nothing"
    share, kind = acts[0]
    return f"{kind}, {percent(share)} of the states"
