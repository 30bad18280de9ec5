# SPDX-License-Identifier: Apache-2.0
"""The page's sections about the policies: one function each."""

from __future__ import annotations

from sac_ros.bags.metrics.errors import ErrorRow
from sac_ros.bags.metrics.limits import LimitFigures
from sac_ros.bags.report import plots
from sac_ros.bags.report.html import (
    DASH,
    Cell,
    Markup,
    element,
    number,
    percent,
    picture,
    section,
    short_names,
    table,
)
from sac_ros.bags.report.overview import lag
from sac_ros.bags.report.verdict import OWN_LIMITS
from sac_ros.bags.result import Evaluation, ModelResult

Series = plots.Series

_TIMES = 5  # of a guard, in words; the plot beside them has a hundred


def torques(evaluation: Evaluation, series: Series) -> Markup:
    """Recorded and policy torque of each joint."""
    return section(
        "Torques",
        "torques",
        picture(
            plots.torques(evaluation, series),
            "Torque of each joint over time: the recorded one and each policy's, with limits.",
        ),
        about="The policy's own torque, before the safety filter. Dashed red: the limit. Shaded "
        "red: beyond it, or not finite. A line breaks where the recording has a gap.",
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
        overall = [(each.name, *_row(each.overall)) for each in model.errors]
        policy = model.errors[0]
        pairs = zip(evaluation.recording.joint_names, policy.joints, strict=True)
        joints = [(name, *_row(row)) for name, row in pairs]
        parts += [element("h3", model.label), table(("", *_COLUMNS), overall), bars]
        parts.append(table((f"{policy.name}, by joint", *_COLUMNS), joints))
    return section(
        "Error",
        "errors",
        *parts,
        about="Policy minus recorded, in N·m where nothing else is said. A small error alone says "
        "little: hold_last repeats the last recorded torque, zero asks for none, mean always asks "
        "for the same. A policy should beat zero and mean; hold_last knows the recording and is "
        "hard to beat.",
    )


def limits(evaluation: Evaluation, series: Series) -> Markup:
    """How often a limit is exceeded, by how much, when and where."""
    head = ("limit", "of", "states", "share", "worst / limit", "at s", "joint", "longest")
    rows: list[tuple[object, ...]] = []
    for model in evaluation.models:
        rows += [_limit(each, model.label) for each in model.limits if each.kind in OWN_LIMITS]
    first = evaluation.models[0]
    for model in evaluation.models:  # by each policy's own limits, once where they agree
        by = "" if model is first else f", limits of {model.label}"
        if not by or _of_recording(model) != _of_recording(first):
            rows += [_limit(each, f"recording{by}") for each in _of_recording(model)]
    return section(
        "Limits",
        "limits",
        table(head, rows),
        picture(
            plots.states(evaluation, series),
            "Position and velocity of each joint over time, as shares of their ranges.",
        ),
        about="A state counts when any joint is beyond its limit. Worst: the value farthest "
        "beyond, as a share of the limit. Longest: the longest time without a state inside. The "
        "plot shows the recording: ±100 % is the limit, shaded red is beyond it.",
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
            (each.kind, each.count, percent(each.share), *each.joint_count, _when(each.first_s))
            for each in model.interventions
        ]
        rows += [
            (
                f"fault: {each.kind}",
                Cell(each.count, "bad"),
                *(DASH for _ in ("share", *joints)),
                _when(each.first_s),
            )
            for each in model.faults
        ]
        timeline = plots.interventions(evaluation, model)
        parts.append(picture(timeline, "When each guard begins to act."))
        parts.append(table(("", "states", "share", *joints, "begins at, s"), rows))
    return section(
        "Safety filter",
        "safety",
        *parts,
        about="What the filter's guards, with their default settings, would have done to the "
        "policy's torques: in how many states, to which joints, from when on. The first hundred "
        "times of each are drawn. A fault (✗) is taken as cleared at once, so that the rest of "
        "the recording still counts.",
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
                lag(model),
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
            table(("", "lag", "RMSE / limit", "compensated", *names), rows),
        ]
    latencies = ("first", "p50", "p95", "p99", "max")
    rows = [
        (
            model.label,
            model.latency.calls,
            *(number(1e6 * getattr(model.latency, f"{name}_s")) for name in latencies),
            percent(model.latency.period_share_p99),
        )
        for model in evaluation.models
    ]
    head = ("inference, µs", "calls", *latencies, "p99 / period")
    return section(
        "Lag and latency",
        "timing",
        *parts,
        table(head, rows),
        about="Lag: where the policy's torque resembles the recorded one most; positive: it is "
        "late. Compensated: the error after shifting by the lag of all joints (upright dashes). "
        "Latency is of one inference at a time on the machine that made this page, not the "
        "robot's; the first call, which warms up, stands apart.",
    )


def smoothness(evaluation: Evaluation, series: Series) -> Markup:
    """Chatter and jerk of the torques, policy and recording side by side."""
    parts: list[object] = []
    if "spectrum_hz" in series:
        parts.append(
            picture(plots.spectra(evaluation, series), "Power density of each joint's torque.")
        )
    head = (
        *("", "at Hz", "RMS step / limit", "RMS step, N·m", "largest step, N·m"),
        *("above 10 Hz", "normalised jerk", "SPARC"),
    )
    for model in evaluation.models:
        rows = [
            (
                each.name,
                number(each.rate_hz, 4),
                percent(each.rms_step_share),
                number(_largest(each.rms_step)),
                number(_largest(each.max_step)),
                percent(_largest(each.power_above_10hz)),
                number(_largest(each.jerk)),
                number(_smallest(each.sparc)),
            )
            for each in model.smoothness
        ]
        parts += [element("h3", model.label), table(head, rows)]
    return section(
        "Smoothness",
        "smoothness",
        *parts,
        about="After resampling to the policy's rate, of all joints (share of the limit) or of "
        "the worst one (the others). Published: through the safety filter. Power above 10 Hz "
        "(right of the dotted line) is chatter that a simulator forgives and a gear does not. "
        "SPARC nearer zero is smoother.",
    )


# ---- helpers -----------------------------------------------------------------------------------


def _largest(values: tuple[float | None, ...]) -> float | None:
    return max((each for each in values if each is not None), default=None)


def _smallest(values: tuple[float | None, ...]) -> float | None:
    return min((each for each in values if each is not None), default=None)


def _when(times: tuple[float, ...]) -> Cell:
    shown = ", ".join(f"{each:.3f}" for each in times[:_TIMES])
    return Cell(f"{shown}, …" if len(times) > _TIMES else shown, "words")


def _of_recording(model: ModelResult) -> tuple[LimitFigures, ...]:
    """What the recording does to a policy's limits, whatever the policy would do."""
    states = [each for each in model.limits if each.kind not in OWN_LIMITS]
    return (*states, *model.recorded_limits)


def _limit(found: LimitFigures, of: str) -> tuple[object, ...]:
    count = Cell(found.count, "bad" if found.count else "good")
    if not found.count:
        return (found.kind, Cell(of, "words"), count, percent(found.share), *[DASH] * 4)
    return (
        found.kind,
        Cell(of, "words"),
        count,
        percent(found.share),
        percent(found.worst),
        number(found.worst_s, 5),
        Cell(found.worst_joint or DASH, "words"),
        number(found.longest_run_s, unit="s") if found.longest_run_s > 0.0 else "one state",
    )


_COLUMNS = (
    *("bias", "MAE", "RMSE", "p95", "max", "at s", "RMSE / limit", "max / limit"),
    *("same sign", "correlation"),
)


def _row(row: ErrorRow) -> tuple[object, ...]:
    return (
        *(number(each) for each in (row.bias, row.mae, row.rmse, row.p95, row.max)),
        number(row.max_s, 5),
        percent(row.rmse_share),
        percent(row.max_share),
        percent(row.sign_agreement),
        number(row.correlation),
    )
