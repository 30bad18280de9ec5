# SPDX-License-Identifier: Apache-2.0
"""What the page's plots show. ``plots.js`` draws it, with uPlot, and has nothing of robots.

A figure has panels over one x axis; a panel has lines, each of a group (what it shows) and perhaps
of a joint: groups and joints can be switched off. Lines are numbers of `Columns`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sac_ros.bags.metrics.safety import BIT
from sac_ros.bags.report.bars import HATCHES, Bars, bars
from sac_ros.bags.report.thinning import Thinner, spans
from sac_ros.bags.result import Evaluation, ModelResult
from sac_ros.pages.columns import Columns, json_for_script
from sac_ros.pages.format import short_names

Array = NDArray[Any]
Series = dict[str, Array]
Plot = dict[str, Any]

INK, GREY = "#1e293b", "#94a3b8"  # grey is what was recorded
MEASURED = "#0f766e"
WRONG = "#dc2626"  # for what is wrong, and nothing else
MODELS = ("#2563eb", "#ea8c0c", "#059669", "#9333ea", "#0891b2", "#a16207")
# Each policy has its own dashes too: on a grey print, and for readers with a colour
# deficiency, the plots show the same.
_DASHES = ((), (7, 2), (2, 2), (7, 2, 2, 2), (12, 3), (4, 2, 2, 2, 2, 2))
_BASELINES = {"hold_last": ("#64748b", ""), "zero": ("#e2e8f0", "////"), "mean": ("#fff", "...")}
_SMALL = 0.001  # % of the limit: below it an error is rounding, and drawn as the flat line it is
_ACTING = 0.5  # share of the states from which on shades of the filter hide more than they show

_POINTS = 240_000  # of all lines over time together: some 3 MB
_LARGEST = 4_400_000  # bytes of all figures; what else is in a page is a tenth of it
_FEWEST_BINS, _MOST_BINS = 50, 8_000


def colour(model: int) -> str:
    """The colour of a model by its number."""
    return MODELS[model % len(MODELS)]


def page_data(evaluation: Evaluation, series: Series) -> str:
    """Return all figures as JSON for a script element, thinned until they fit into a page."""
    bins = _bins(evaluation, series)
    while True:
        columns = Columns()
        text = json_for_script(_Figures(evaluation, series, columns, bins).all(), columns)
        if len(text) < _LARGEST or bins <= _FEWEST_BINS:
            return text
        bins //= 2


def error_bars(evaluation: Evaluation, number: int, alternative: str) -> str:
    """RMSE of each joint as a share of its limit, beside those of the baselines."""
    drawn = []
    for each in evaluation.models[number].errors:
        shade, hatch = _BASELINES.get(each.name, (colour(number), ""))
        drawn.append(Bars(each.name, [row.rmse_fraction for row in each.joints], shade, hatch))
    joints = short_names(evaluation.recording.joint_names)
    return bars(alternative, "RMSE, % of limit", joints, [("", drawn)])


def coverage_bars(evaluation: Evaluation, alternative: str) -> str:
    """Share of samples that are outside the training range, by joint."""
    panels = []
    for name in ("position", "velocity"):
        drawn = [
            Bars(
                model.label,
                getattr(model.coverage, f"{name}_outside"),
                colour(i),
                HATCHES[i % len(HATCHES)],
            )
            for i, model in enumerate(evaluation.models)
        ]
        panels.append((name, drawn))
    joints = short_names(evaluation.recording.joint_names)
    return bars(alternative, "% of samples", joints, panels)


def _bins(evaluation: Evaluation, series: Series) -> int:
    """Return into how many bins each line over time is thinned, two points in each."""
    recorded = "recorded_torque" in series
    models, joints = len(evaluation.models), len(evaluation.recording.joint_names)
    lines = joints * (2 + recorded + ("recorded_effort" in series) + models * (1 + recorded))
    return max(_FEWEST_BINS, min(_MOST_BINS, _POINTS // (2 * lines)))


class _Figures:
    """The figures of one evaluation, whose numbers go into the columns."""

    def __init__(
        self, evaluation: Evaluation, series: Series, columns: Columns, bins: int
    ) -> None:
        self._evaluation, self._series = evaluation, series
        self._columns = columns
        self._joint = -1
        self._of_joint: Series = {}
        self._thinner = Thinner(series["time_s"], series["segment"], bins)
        self._joints = evaluation.recording.joint_names
        self._models = evaluation.models
        facts = evaluation.recording
        time = series["time_s"]
        end = max(facts.end_s, facts.start_s + 1e-3)
        self._time = {
            "label": "s since the first joint state",
            "unit": "s",
            "sync": "time",
            "from": facts.start_s,
            "to": end,
        }
        self._hair = 0.001 * float(time[-1] - time[0]) if len(time) else 0.0

    def all(self) -> dict[str, Plot]:
        """Return every figure that the evaluation has, by its name on the page."""
        found = {"torques": self._torques(), "states": self._states()}
        if "recorded_torque" in self._series:
            found["errors"] = self._errors()
        for i, model in enumerate(self._models):
            if model.interventions or model.faults:
                found[f"interventions_{i}"] = self._interventions(i, model)
        if "lag_s" in self._series and any(model.lag for model in self._models):
            found["lag"] = self._lag()
        if "spectrum_hz" in self._series:
            found["spectra"] = self._spectra()
        return found

    def _torques(self) -> Plot:
        """Recorded and policy torque of each joint; red where a limit of torque is exceeded."""
        shown = [("recorded_torque", _group("recorded", GREY, 3.0))]
        shown.append(("recorded_effort", _group("measured effort", MEASURED, 1.2)))
        shown += [(f"policy_torque_{i}", self._policy(i)) for i in range(len(self._models))]
        shown = [each for each in shown if each[0] in self._series]
        panels = []
        for joint in range(len(self._joints)):
            drawn = [self._line(self._column(s[0], joint), i) for i, s in enumerate(shown)]
            limit = min(model.torque_limit[joint] for model in self._models)
            panels.append(
                {
                    **self._panel(joint, drawn),
                    "note": f"limit ±{limit:g} N·m",
                    "levels": [-limit, limit],
                    "wrong": self._wrong(self._beyond(joint)),
                }
            )
        groups = [group for _, group in shown]
        return self._over_time("N·m", groups, panels, shades=self._shades())

    def _errors(self) -> Plot:
        """Each joint's error as a share of its limit, and where a policy diverges."""
        panels = []
        groups = [self._policy(i) for i in range(len(self._models))]
        for joint, name in enumerate(self._joints):
            lines, verticals = [], []
            for i, model in enumerate(self._models):
                policy = self._column(f"policy_torque_{i}", joint)
                error = policy - self._column("recorded_torque", joint)
                lines.append(self._line(error, i, 100.0 / model.torque_limit[joint]))
                if model.divergence is not None and model.divergence.joint == name:
                    at = model.divergence.first_s or 0.0
                    verticals.append({"x": at, "words": "diverges", "stroke": WRONG, "group": i})
            panels.append({**self._panel(joint, lines), "verticals": verticals, "least": _SMALL})
        return self._over_time("% of limit", groups, panels, shades=self._shades())

    def _states(self) -> Plot:
        """Position and velocity of each joint as shares of their ranges; red beyond ±100 %."""
        limits = {each.kind: each.limit for each in self._models[0].limits}
        panels = []
        for joint in range(len(self._joints)):
            low, high = limits["position"][joint]
            top = limits["velocity"][joint]
            position, velocity = (self._column(name, joint) for name in ("position", "velocity"))
            lines = [self._line(position, 0, 200.0 / (high - low), (low + high) / 2)]
            lines.append(self._line(velocity, 1, 100.0 / top))
            beyond = (position < low) | (position > high) | (np.abs(velocity) > top)
            panels.append(
                {
                    **self._panel(joint, lines),
                    "levels": [-100, 100],
                    "wrong": self._wrong(beyond),
                }
            )
        groups = [_group("position", "#93c5fd", 2.6), _group("velocity", INK, 1.0)]
        return self._over_time("% of range", groups, panels)

    def _interventions(self, number: int, model: ModelResult) -> Plot:
        """When each guard of the safety filter acts, and when a fault would latch."""
        acts = self._series[f"interventions_{number}"]
        lanes: list[Plot] = []
        for kind, bit in BIT.items():
            if any(each.kind == kind.value for each in model.interventions):
                lanes.append(
                    {
                        "label": kind.value,
                        "stroke": MODELS[0],
                        "spans": self._spans((acts & bit) != 0),
                    }
                )
        for each in model.faults:
            times = [round(at, 4) for at in each.first_s]
            lanes.append({"label": f"fault: {each.kind}", "stroke": WRONG, "times": times})
        return {"x": self._time, "unit": "", "groups": [], "panels": [{"lanes": lanes}]}

    def _lag(self) -> Plot:
        """Cross-correlation of each policy's torque with the recorded one, over the lag."""
        milliseconds = 1e3 * self._series["lag_s"]
        lines, verticals = [], []
        for i, model in enumerate(self._models):
            curves = self._series[f"lag_correlation_{i}"]
            for joint in range(curves.shape[1]):
                lines.append(self._curve(milliseconds, curves[:, joint], i, joint))
            if model.lag is not None and model.lag.overall_s is not None:
                at = 1e3 * model.lag.overall_s
                verticals.append({"x": at, "words": "", "stroke": colour(i), "group": i})
        axis: Plot = {"label": "how late the policy is, ms", "unit": "ms", "sync": "lag"}
        axis |= {"from": float(milliseconds[0]), "to": float(milliseconds[-1])}
        return {
            "x": axis,
            "unit": "correlation",
            "groups": [self._policy(i) for i in range(len(self._models))],
            "joints": list(short_names(self._joints)),
            "panels": [{"title": "", "lines": lines, "verticals": verticals}],
        }

    def _spectra(self) -> Plot:
        """Power density of each joint's torque over frequency; chatter stands on the right."""
        frequency = self._series["spectrum_hz"]
        above = frequency > 0.0
        groups: list[Plot] = []
        lines: list[list[Plot]] = [[] for _ in self._joints]
        shown = [("spectrum_recorded", _group("recorded", GREY, 3.0))]
        shown += [(f"spectrum_policy_{i}", self._policy(i)) for i in range(len(self._models))]
        for name, group in shown:
            if name not in self._series:
                continue
            for joint, drawn in enumerate(lines):
                power = self._series[name][above, joint]
                power = np.where(power > 0.0, power, np.nan)  # the logarithm of zero
                drawn.append(self._curve(frequency[above], power, len(groups)))
            groups.append(group)
        names = short_names(self._joints)
        mark = {"x": 10.0, "words": "", "stroke": GREY}
        axis: Plot = {"label": "Hz", "unit": "Hz", "sync": "hz", "log": True}
        axis |= {"from": float(frequency[above][0]), "to": float(frequency[-1])}
        return {
            "x": axis,
            "unit": "(N·m)²/Hz",
            "log": True,
            "across": 4 if len(names) > 4 else len(names),
            "groups": groups,
            "joints": list(names),
            "panels": [
                {"title": name, "joint": joint, "lines": drawn, "verticals": [mark]}
                for joint, (name, drawn) in enumerate(zip(names, lines, strict=True))
            ],
        }

    # ---- pieces --------------------------------------------------------------------------------

    def _over_time(
        self, unit: str, groups: list[Plot], panels: list[Plot], shades: Sequence[Plot] = ()
    ) -> Plot:
        numbers = count(len(groups))
        groups = [*groups, *(each["shown_as"] for each in shades)]
        shaded = [{"group": next(numbers), "spans": each["spans"]} for each in shades]
        return {
            "x": self._time,
            "unit": unit,
            "groups": groups,
            "joints": list(short_names(self._joints)),
            "shades": shaded,
            "panels": panels,
        }

    def _panel(self, joint: int, lines: list[Plot]) -> Plot:
        return {"title": self._joints[joint], "joint": joint, "lines": lines}

    def _policy(self, number: int) -> Plot:
        dash = _DASHES[number % len(_DASHES)]
        return _group(self._models[number].label, colour(number), 1.4, dash)

    def _column(self, name: str, joint: int) -> Array:
        """Return one joint's values of a series, side by side in memory; kept until the next."""
        if joint != self._joint:
            self._joint = joint
            self._of_joint.clear()
        if name not in self._of_joint:
            self._of_joint[name] = np.ascontiguousarray(self._series[name][:, joint])
        return self._of_joint[name]

    def _line(self, values: Array, group: int, scale: float = 1.0, middle: float = 0.0) -> Plot:
        """Return the line of values less their middle, times a scale: only what is drawn of it."""
        time, thinned = self._thinner.thin(values)
        y = self._columns.values(scale * (thinned - middle))
        return {"x": self._columns.places(time), "y": y, "g": group}

    def _curve(self, places: Array, values: Array, group: int, joint: int | None = None) -> Plot:
        x, y = self._columns.places(places), self._columns.values(values)
        return {"x": x, "y": y, "g": group, **({} if joint is None else {"joint": joint})}

    def _shades(self) -> list[Plot]:
        """Where the safety filter changes a policy's torque."""
        found = []
        for i, model in enumerate(self._models):
            acting = self._series[f"interventions_{i}"] != 0
            if acting.any():
                label = (
                    "filter acts" if len(self._models) == 1 else f"filter acts on {model.label}"
                )
                group = _group(label, colour(i), 0.0)
                group["on"] = bool(acting.mean() < _ACTING)
                found.append({"shown_as": group, "spans": self._spans(acting)})
        return found

    def _spans(self, flags: Array) -> list[list[float]]:
        """Return [start, length] of each run, at least a hair wide."""
        rate = self._evaluation.recording.states.rate_hz
        shortest = max(1.0 / rate if rate else 0.0, self._hair)
        found = spans(self._series["time_s"], flags, shortest)
        return [[round(start, 4), round(length, 4)] for start, length in found]

    def _wrong(self, flags: Array) -> list[list[float]]:
        return self._spans(flags) if flags.any() else []

    def _beyond(self, joint: int) -> Array:
        """Return where a torque is beyond its limit, or one of a policy with a goal not finite.

        A policy without a torque that is not to blame for it has no `non_finite` in its figures.
        """
        series = self._series
        found = np.zeros(len(series["time_s"]), dtype=bool)
        for i, model in enumerate(self._models):
            limit = model.torque_limit[joint]
            torque = self._column(f"policy_torque_{i}", joint)
            found |= np.abs(torque) > limit
            if any(e.kind == "non_finite" and e.joint_count[joint] for e in model.limits):
                found |= ~np.isfinite(torque) & np.isfinite(series["goal"]).all(axis=1)
        if "recorded_torque" in series:
            least = min(model.torque_limit[joint] for model in self._models)
            found |= np.abs(self._column("recorded_torque", joint)) > least
        return found


def _group(label: str, stroke: str, width: float, dash: Sequence[int] = ()) -> Plot:
    """What can be switched on and off together, and how it looks; of width 0: shades."""
    return {"label": label, "stroke": stroke, "width": width, "dash": list(dash), "on": True}
