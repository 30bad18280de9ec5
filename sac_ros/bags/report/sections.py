# SPDX-License-Identifier: Apache-2.0
"""The page's sections about the policies: one function each."""

from __future__ import annotations

from typing import Any

from sac_ros.bags.report import plots
from sac_ros.bags.report.html import (
    DASH,
    Cell,
    Markup,
    element,
    join,
    number,
    percent,
    picture,
    section,
    short_names,
    table,
)
from sac_ros.bags.result import Evaluation, ModelResult
from sac_ros.policy.safety_events import Intervention

Series = plots.Series


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
            ["best lag", *map(_lag, models)],
            ["diverges", *map(_divergence, models)],
        ]
    rows += [
        ["states beyond a limit", *map(_violations, models)],
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


def torques(evaluation: Evaluation, series: Series) -> Markup:
    """Recorded and policy torque of each joint."""
    return section(
        "Torques",
        "torques",
        picture(
            plots.torques(evaluation, series),
            "Torque of each joint over time: the recorded one and each policy's, with limits.",
        ),
        about="The policy's own torque, before the safety filter. Dashed: the limit. Shaded red: "
        "beyond it. A line breaks where the recording has a gap.",
    )


def errors(evaluation: Evaluation, series: Series) -> Markup:
    """The policies' torques against the recorded ones, and the baselines against them."""
    if not any(model.errors for model in evaluation.models):
        return section(
            "Error", "errors", element("p", "No torques were recorded: there is none to tell.")
        )
    parts: list[object] = [
        picture(
            plots.errors(evaluation, series),
            "Error of each joint's torque over time, as a share of its limit.",
        )
    ]
    for i, model in enumerate(evaluation.models):
        bars = picture(
            plots.error_bars(evaluation, i),
            f"RMSE of each joint: {model.label} and three baselines.",
        )
        parts += [element("h3", model.label), _overall(model), bars]
        parts.append(_each_joint(model, evaluation.recording.joint_names))
    return section(
        "Error",
        "errors",
        *parts,
        about="Policy minus recorded. A small error alone says little: hold_last repeats the last "
        "recorded torque, zero asks for none, mean always asks for the same. A policy "
        "should beat zero and mean; hold_last knows the recording and is hard to beat.",
    )


def limits(evaluation: Evaluation, series: Series) -> Markup:
    """How often a limit is exceeded, by how much, when and where."""
    head = ("limit", "of", "states", "share", "worst, share of limit", "at s", "joint", "longest")
    rows = []
    judged = [(model.limits, model.label) for model in evaluation.models]
    for model in evaluation.models:  # by each policy's own limits, once where they are the same
        if (model.recorded_limits, "recorded") not in judged:
            judged.append((model.recorded_limits, "recorded"))
    for found, whose in judged:
        for each in found:
            count = Cell(each.count, "bad" if each.count else "good")
            longest = number(each.longest_run_s, unit="s") if each.count else DASH
            where = (number(each.worst_s, 5), each.worst_joint or DASH)
            share = percent(each.worst) if each.count else DASH
            rows.append((each.kind, whose, count, percent(each.share), share, *where, longest))
    return section(
        "Limits",
        "limits",
        table(head, rows),
        picture(
            plots.states(evaluation, series),
            "Position and velocity of each joint over time, as shares of their ranges.",
        ),
        about="Positions and velocities are the recording's own; torques and their rates are the "
        "policy's. ±100 % is the limit.",
    )


def safety(evaluation: Evaluation) -> Markup:
    """What the safety filter would have done to the policies' torques."""
    joints = short_names(evaluation.recording.joint_names)
    parts: list[object] = []
    for model in evaluation.models:
        parts.append(element("h3", model.label))
        if not model.interventions and not model.faults:
            parts.append(element("p", "The filter would change nothing."))
            continue
        rows: list[tuple[object, ...]] = [
            (each.kind, each.count, percent(each.share), *each.joint_count)
            for each in model.interventions
        ]
        rows += [
            (f"fault: {each.kind}", Cell(each.count, "bad"), DASH, *(DASH for _ in joints))
            for each in model.faults
        ]
        timeline = plots.interventions(evaluation, model)
        parts.append(picture(timeline, "When each guard begins to act."))
        parts.append(table(("", "states", "share", *joints), rows))
    return section(
        "Safety filter",
        "safety",
        *parts,
        about="Each guard's first hundred times are drawn. A fault is taken as cleared at once, "
        "so that the rest of the recording still counts.",
    )


def coverage(evaluation: Evaluation) -> Markup:
    """How much of the recording the policies were trained for."""
    rows = [
        (
            model.label,
            percent(model.coverage.outside_share),
            percent(model.coverage.goal_outside_share),
            percent(model.coverage.no_goal_share),
            " to ".join(f"{each:g} %" for each in model.coverage.percentiles),
        )
        for model in evaluation.models
    ]
    head = ("", "states outside", "goals outside", "before a goal", "inside means, percentiles")
    return section(
        "Coverage",
        "coverage",
        table(head, rows),
        picture(plots.coverage(evaluation), "Share of samples outside the training range."),
        about="Outside the range that a policy was trained on, its torque is a guess.",
    )


def timing(evaluation: Evaluation, series: Series) -> Markup:
    """Lag and latency."""
    parts: list[object] = []
    rows: list[tuple[object, ...]]
    lagging = [model for model in evaluation.models if model.lag is not None]
    if lagging and "lag_s" in series:
        rows = [
            (
                model.label,
                _lag(model),
                percent(model.lag.rmse_share),
                percent(model.lag.compensated_rmse_share),
                *(number(None if s is None else 1e3 * s, unit="ms") for s in model.lag.lag_s),
            )
            for model in lagging
            if model.lag is not None
        ]
        names = short_names(evaluation.recording.joint_names)
        parts = [
            picture(plots.lag(evaluation, series), "Correlation of the torques over the lag."),
            table(("", "lag", "RMSE", "compensated", *names), rows),
        ]
    rows = [
        (
            model.label,
            model.latency.calls,
            *(
                number(1e6 * seconds)
                for seconds in (
                    model.latency.first_s,
                    model.latency.p50_s,
                    model.latency.p95_s,
                    model.latency.p99_s,
                    model.latency.max_s,
                )
            ),
            percent(model.latency.period_share_p99),
        )
        for model in evaluation.models
    ]
    head = ("inference, µs", "calls", "first", "p50", "p95", "p99", "max", "p99 / period")
    return section(
        "Lag and latency",
        "timing",
        *parts,
        table(head, rows),
        about="Latency is of one inference at a time on the machine that made this page, not the "
        "robot's.",
    )


def smoothness(evaluation: Evaluation, series: Series) -> Markup:
    """Chatter and jerk of the torques, policy and recording side by side."""
    parts: list[object] = []
    if "spectrum_hz" in series:
        parts.append(
            picture(plots.spectra(evaluation, series), "Power density of each joint's torque.")
        )
    head = ("", "at Hz", "RMS step / limit", "above 10 Hz", "normalised jerk", "SPARC")
    for model in evaluation.models:
        rows = [
            (
                each.name,
                number(each.rate_hz, 4),
                percent(each.rms_step_share),
                percent(max((v for v in each.power_above_10hz if v is not None), default=None)),
                number(max((v for v in each.jerk if v is not None), default=None)),
                number(min((v for v in each.sparc if v is not None), default=None)),
            )
            for each in model.smoothness
        ]
        parts += [element("h3", model.label), table(head, rows)]
    return section(
        "Smoothness",
        "smoothness",
        *parts,
        about="After resampling, of the worst joint each. Power above 10 Hz (dotted) is chatter "
        "that a simulator forgives and a gear does not. SPARC nearer zero is smoother.",
    )


# ---- figures of the overview -------------------------------------------------------------------


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


def _lag(model: ModelResult) -> str:
    if model.lag is None or model.lag.overall_s is None:
        return DASH
    return number(1e3 * model.lag.overall_s, unit="ms")


def _divergence(model: ModelResult) -> str:
    found = model.divergence
    if found is None:
        return DASH
    if found.first_s is None:
        return f"never for {found.sustained_s:g} s above {percent(found.threshold_share)}"
    return f"at {found.first_s:.3f} s ({found.joint})"


def _violations(model: ModelResult) -> Cell:
    found = [f"{each.count} {each.kind}" for each in model.limits if each.count]
    return Cell(", ".join(found), "bad") if found else Cell("none", "good")


def _largest_act(model: ModelResult) -> str:
    waiting = Intervention.NO_GOAL.value  # not an act against the policy: it was not asked
    acts = [(each.share, each.kind) for each in model.interventions if each.kind != waiting]
    if not acts:
        return "changes nothing"
    share, kind = max(acts)
    return f"{kind}, {percent(share)} of the states"


def _overall(model: ModelResult) -> Markup:
    head = ("", *_COLUMNS)
    rows = [(each.name, *_row(each.overall)) for each in model.errors]
    return table(head, rows)


def _each_joint(model: ModelResult, joints: tuple[str, ...]) -> Markup:
    rows = [(name, *_row(row)) for name, row in zip(joints, model.errors[0].joints, strict=True)]
    return table((f"{model.errors[0].name}, by joint", *_COLUMNS), rows)


_COLUMNS = (
    *("bias", "MAE", "RMSE", "p95", "max, N·m", "at s", "RMSE / limit", "max / limit"),
    *("same sign", "correlation"),
)


def _row(row: Any) -> tuple[object, ...]:
    return (
        *(number(each) for each in (row.bias, row.mae, row.rmse, row.p95, row.max)),
        number(row.max_s, 5),
        percent(row.rmse_share),
        percent(row.max_share),
        percent(row.sign_agreement),
        number(row.correlation),
    )
