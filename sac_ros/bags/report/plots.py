# SPDX-License-Identifier: Apache-2.0
"""The page's plots, as SVG inside the page: sharp on any screen and on paper."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sac_ros.bags.report.format import short_names
from sac_ros.bags.report.thinning import spans, thin
from sac_ros.bags.result import Evaluation, ModelResult

Array = NDArray[Any]
Series = dict[str, Array]

INK, GREY = "#1e293b", "#94a3b8"  # grey is what was recorded
WRONG = "#dc2626"  # for what is wrong, and nothing else
MODELS = ("#2563eb", "#ea8c0c", "#059669", "#9333ea", "#0891b2", "#a16207")
# Each policy has its own dashes too, and each baseline its own hatching: on a grey print, and to
# who tells few colours apart, the plots say the same.
_DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), "-.", (0, (8, 2)), (0, (3, 1, 1, 1, 1, 1)))
_HATCHES = ("", "////", "...", "xxx", "---", "ooo")
_BASELINES = {"hold_last": ("#64748b", ""), "zero": ("#e2e8f0", "////"), "mean": ("#fff", "...")}
_SMALL = 0.001  # % of the limit: below it an error is rounding, and drawn as the flat line it is
_WIDTH, _ROW = 9.6, 1.25  # inches


def colour(model: int) -> str:
    """The colour of a model by its number."""
    return MODELS[model % len(MODELS)]


def _style(model: int, width: float = 1.0) -> dict[str, Any]:
    dashes = _DASHES[model % len(_DASHES)]
    return {"color": colour(model), "linestyle": dashes, "linewidth": width}


def torques(evaluation: Evaluation, series: Series) -> str:
    """Recorded and policy torque of each joint; red where a limit of torque is exceeded."""
    joints = evaluation.recording.joint_names
    figure, rows = _rows(joints, "N·m")
    for joint, axes in enumerate(rows):
        if "recorded_torque" in series:
            recorded = series["recorded_torque"][:, joint]
            _line(axes, series, recorded, color=GREY, linewidth=3.0, label="recorded")
        for i, model in enumerate(evaluation.models):
            values = series[f"policy_torque_{i}"][:, joint]
            _line(axes, series, values, **_style(i), label=model.label)
        _limits(axes, evaluation.models, joint)
        _mark(axes, evaluation, series, _beyond(evaluation, series, joint))
    return _svg(figure, rows[0])


def errors(evaluation: Evaluation, series: Series) -> str:
    """Each joint's error as a share of its limit over time, and where a policy diverges."""
    joints = evaluation.recording.joint_names
    figure, rows = _rows(joints, "% of limit")
    for joint, axes in enumerate(rows):
        axes.axhline(0.0, color=GREY, linewidth=0.6)
        for i, model in enumerate(evaluation.models):
            error = series[f"policy_torque_{i}"][:, joint] - series["recorded_torque"][:, joint]
            share = 100.0 * error / model.torque_limit[joint]
            _line(axes, series, share, **_style(i), label=model.label)
            if model.divergence is not None and model.divergence.joint == joints[joint]:
                at, coordinates = model.divergence.first_s or 0.0, ("data", "axes fraction")
                axes.axvline(at, color=WRONG, linewidth=1.2, linestyle=":")
                _note(axes, "diverges", (at, 1.0), coordinates, (3, -9), fontsize=8, color=WRONG)
        low, high = axes.get_ylim()
        axes.set_ylim(min(low, -_SMALL), max(high, _SMALL))
    return _svg(figure, rows[0])


def error_bars(evaluation: Evaluation, number: int) -> str:
    """RMSE of each joint as a share of its limit, beside those of the baselines."""
    model = evaluation.models[number]
    figure, axes = _panel(2.6)
    bars = []
    for each in model.errors:
        shade, hatch = _BASELINES.get(each.name, (colour(number), ""))
        bars.append((each.name, [row.rmse_share for row in each.joints], shade, hatch))
    _bars(axes, evaluation.recording.joint_names, bars)
    axes.set_ylabel("RMSE, % of limit")
    return _svg(figure, axes)


def states(evaluation: Evaluation, series: Series) -> str:
    """Position and velocity of each joint as shares of their ranges; red beyond ±100 %."""
    joints = evaluation.recording.joint_names
    figure, rows = _rows(joints, "% of range")
    limits = {each.kind: each.limit for each in evaluation.models[0].limits}
    for joint, axes in enumerate(rows):
        low, high = limits["position"][joint]
        position = 200.0 * (series["position"][:, joint] - low) / (high - low) - 100.0
        velocity = 100.0 * series["velocity"][:, joint] / limits["velocity"][joint]
        _line(axes, series, position, color="#93c5fd", linewidth=2.6, label="position")
        _line(axes, series, velocity, color=INK, linewidth=0.8, label="velocity")
        for sign in (-100.0, 100.0):
            axes.axhline(sign, color=WRONG, linewidth=0.8, linestyle="--")
        beyond = (np.abs(position) > 100.0) | (np.abs(velocity) > 100.0)
        _mark(axes, evaluation, series, beyond)
    return _svg(figure, rows[0])


def interventions(evaluation: Evaluation, model: ModelResult) -> str:
    """When each guard of the safety filter begins to act, and when a fault would latch."""
    acts = [(each.kind, each.first_s, MODELS[0], "|") for each in model.interventions]
    acts += [(f"fault: {each.kind}", each.first_s, WRONG, "x") for each in model.faults]
    figure, axes = _panel(0.7 + 0.24 * len(acts))
    for place, (_, times, shade, sign) in enumerate(acts):
        axes.plot(times, [place] * len(times), sign, color=shade, markersize=9, clip_on=False)
    axes.set_yticks(range(len(acts)), [kind for kind, *_ in acts])
    axes.set_ylim(len(acts) - 0.4, -0.6)
    axes.set_xlim(evaluation.recording.start_s, evaluation.recording.end_s)
    axes.set_xlabel("s since the first joint state")
    return _svg(figure)


def coverage(evaluation: Evaluation) -> str:
    """Share of samples that are outside the training range, by joint."""
    figure = Figure(figsize=(_WIDTH, 2.3), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, name in zip(panels, ("position", "velocity"), strict=True):
        _plain(axes)
        axes.set_title(name, loc="left", fontsize=10, color=INK)
        bars = []
        for i, model in enumerate(evaluation.models):
            shares = getattr(model.coverage, f"{name}_outside")
            bars.append((model.label, shares, colour(i), _HATCHES[i % len(_HATCHES)]))
        _bars(axes, evaluation.recording.joint_names, bars)
    panels[0].set_ylabel("% of samples")
    panels[0].set_ylim(0.0, max(5.0, panels[0].get_ylim()[1]))
    return _svg(figure, panels[0] if len(evaluation.models) > 1 else None)


def lag(evaluation: Evaluation, series: Series) -> str:
    """Cross-correlation of each policy's torque with the recorded one, over the lag."""
    figure, axes = _panel(2.4)
    for i, model in enumerate(evaluation.models):
        curves = series[f"lag_correlation_{i}"]
        milliseconds = 1e3 * series["lag_s"]
        for joint in range(curves.shape[1]):
            label = f"{model.label}, each joint" if joint == 0 else None
            axes.plot(milliseconds, curves[:, joint], **_style(i, 0.8), label=label)
        if model.lag is not None and model.lag.overall_s is not None:
            axes.axvline(1e3 * model.lag.overall_s, color=colour(i), linewidth=1.4, linestyle="--")
    axes.set_xlabel("how late the policy is, ms")
    axes.set_ylabel("correlation")
    return _svg(figure, axes)


def spectra(evaluation: Evaluation, series: Series) -> str:
    """Power density of each joint's torque over frequency; chatter stands on the right."""
    joints = evaluation.recording.joint_names
    across = 4 if len(joints) > 4 else len(joints)
    down = -(-len(joints) // across)
    figure = Figure(figsize=(_WIDTH, 1.9 * down + 0.3), layout="constrained")
    grid = list(figure.subplots(down, across, sharex=True, squeeze=False).flat)
    frequency = series["spectrum_hz"]
    above = frequency > 0.0
    for joint, axes in enumerate(grid):
        _plain(axes)
        if joint >= len(joints):
            axes.set_visible(False)
            continue
        lines = [("spectrum_recorded", {"color": GREY, "linewidth": 3.0}, "recorded")]
        for i, model in enumerate(evaluation.models):
            lines.append((f"spectrum_policy_{i}", _style(i), model.label))
        for name, style, label in lines:
            power = series[name][above, joint] if name in series else np.zeros(0)
            if (power > 0.0).any():
                shown = np.where(power > 0.0, power, np.nan)
                axes.loglog(frequency[above], shown, **style, label=label)
        axes.axvline(10.0, color=GREY, linewidth=0.8, linestyle=":")
        axes.set_title(short_names(joints)[joint], loc="left", fontsize=9, color=INK)
        axes.tick_params(labelsize=7, labelbottom=joint + across >= len(joints))
    figure.supxlabel("Hz", fontsize=9, color=INK)
    figure.supylabel("(N·m)²/Hz", fontsize=9, color=INK)
    return _svg(figure, grid[0])


# ---- helpers -----------------------------------------------------------------------------------


def _line(axes: Axes, series: Series, values: Array, **look: Any) -> None:
    axes.plot(*thin(series["time_s"], values, series["segment"]), **look)


def _beyond(evaluation: Evaluation, series: Series, joint: int) -> Array:
    """Return where any torque is beyond its limit, or a policy's, while it has a goal, not finite.

    A policy without a torque that is not to blame for it has no `non_finite` in its figures.
    """
    found = np.zeros(len(series["time_s"]), dtype=bool)
    for i, model in enumerate(evaluation.models):
        limit = model.torque_limit[joint]
        torque = series[f"policy_torque_{i}"][:, joint]
        found |= np.abs(torque) > limit
        if any(each.kind == "non_finite" and each.joint_count[joint] for each in model.limits):
            found |= ~np.isfinite(torque) & np.isfinite(series["goal"]).all(axis=1)
        if "recorded_torque" in series:
            found |= np.abs(series["recorded_torque"][:, joint]) > limit
    return found


def _limits(axes: Axes, models: Sequence[ModelResult], joint: int) -> None:
    """Draw torque limits that are near; of those far away only say where they are."""
    low, high = axes.get_ylim()
    limit = min(model.torque_limit[joint] for model in models)
    shown = False
    for sign in (-limit, limit):
        if low - 0.5 * (high - low) <= sign <= high + 0.5 * (high - low):
            axes.axhline(sign, color=WRONG, linewidth=0.8, linestyle="--")
            shown = True
    words = f"limit ±{limit:g} N·m" + ("" if shown else ", off the scale")
    look = {"ha": "right", "fontsize": 7.5, "color": WRONG if shown else INK}
    _note(axes, words, (1.0, 1.0), "axes fraction", (0, 2), **look)


def _mark(axes: Axes, evaluation: Evaluation, series: Series, beyond: Array) -> None:
    """Shade where something is beyond a limit, at least a hair wide."""
    time, rate = series["time_s"], evaluation.recording.states.rate_hz
    hair = 0.001 * float(time[-1] - time[0]) if len(time) else 0.0
    for start, length in spans(time, beyond, max(1.0 / rate if rate else 0.0, hair)):
        axes.axvspan(start, start + length, color=WRONG, alpha=0.35, linewidth=0)


def _rows(joints: Sequence[str], unit: str) -> tuple[Figure, list[Axes]]:
    """A figure with a panel below the other for each joint, over the same time."""
    figure = Figure(figsize=(_WIDTH, _ROW * len(joints) + 0.7), layout="constrained")
    rows = list(figure.subplots(len(joints), 1, sharex=True, squeeze=False)[:, 0])
    for axes, joint in zip(rows, joints, strict=True):
        _plain(axes)
        axes.set_title(joint, loc="left", fontsize=9, color=INK, pad=2)
        axes.margins(x=0.0)
        axes.ticklabel_format(axis="y", style="plain", useOffset=False)
    rows[-1].set_xlabel("s since the first joint state")
    figure.supylabel(unit, fontsize=9, color=INK)
    return figure, rows


def _panel(height: float) -> tuple[Figure, Axes]:
    """A figure with one panel; ``height`` in inches."""
    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    axes = figure.subplots()
    _plain(axes)
    return figure, axes


def _bars(
    axes: Axes, joints: Sequence[str], each: Sequence[tuple[str, Sequence[float], str, str]]
) -> None:
    """Draw (label, share of each joint, colour, hatching) side by side, in percent."""
    place, width = np.arange(len(joints)), 0.8 / len(each)
    for i, (label, shares, shade, hatch) in enumerate(each):
        look: dict[str, Any] = {"color": shade, "hatch": hatch, "edgecolor": INK, "linewidth": 0.5}
        shift = (i - (len(each) - 1) / 2) * width
        percent = [100.0 * share for share in shares]
        axes.bar(place + shift, percent, width * 0.92, label=label, **look)
    axes.set_xticks(place, short_names(joints))


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)
    axes.tick_params(colors=INK, labelsize=8, length=3)
    axes.xaxis.label.set(color=INK, fontsize=9)
    axes.yaxis.label.set(color=INK, fontsize=9)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)


def _note(axes: Axes, words: str, at: Any, coordinates: Any, offset: Any, **look: Any) -> None:
    axes.annotate(
        words, at, xycoords=coordinates, xytext=offset, textcoords="offset points", **look
    )


def _svg(figure: Figure, labelled: Axes | None = None) -> str:
    """Return the figure as a data URI, the same for the same figure: no date, no random ids.

    The legend above it is that of the labelled axes.
    """
    if labelled is not None:
        handles, labels = labelled.get_legend_handles_labels()
        look: dict[str, Any] = {"fontsize": 9, "frameon": False, "labelcolor": INK}
        columns = max(1, len(labels))
        figure.legend(handles, labels, loc="outside upper left", ncols=columns, **look)
    buffer = io.BytesIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "sac_ros"}):
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(buffer.getvalue()).decode()}"
