# SPDX-License-Identifier: Apache-2.0
"""The learning curves of a page, as `plots.js` draws them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sac_ros.pages.columns import Columns, json_for_script
from sac_ros.training.page.contents import Contents, Curve

Figure = dict[str, Any]

INK, GREY, BLUE, ORANGE = "#1e293b", "#94a3b8", "#2563eb", "#ea8c0c"
_MOST_POINTS = 800  # of a line: about as many as a plot has pixels across
_LOSSES = (
    ("critic loss", "train/critic_loss"),
    ("actor loss", "train/actor_loss"),
    ("value loss", "train/value_loss"),
    ("temperature α", "train/ent_coef"),
    ("entropy, nat", "train/entropy"),
    ("mean Q", "train/q_mean"),
)


def page_figures(contents: Contents) -> str:
    """All figures as JSON for a script element."""
    columns = Columns()
    return json_for_script(_Figures(contents, columns).all(), columns)


class _Figures:
    """The figures of a run over its environment steps."""

    def __init__(self, contents: Contents, columns: Columns) -> None:
        self._contents, self._columns = contents, columns
        self._axis: Figure = {
            "label": "environment steps, thousands",
            "unit": "thousand steps",
            "sync": "steps",
            "from": 0.0,
            "to": max(contents.env_steps, 1) / 1e3,
        }
        self._marks: list[Figure] = []
        if contents.best is not None:
            words = "exported" if contents.state == "finished" else "best so far"
            self._marks.append({"x": contents.exported / 1e3, "words": words, "stroke": INK})

    def all(self) -> dict[str, Figure]:
        """Every figure that there is something to see in, by its name on the page."""
        found = {}
        if self._contents.points:
            found = {"success": self._success(), "error": self._error(), "return": self._return()}
        if "train/critic_loss" in self._contents.curves:
            found["losses"] = self._losses()
        return found

    def _success(self) -> Figure:
        within_5, within_2 = (self._point(f"success_{size}cm", 100.0) for size in (5, 2))
        lines = [self._line(within_5, 0), self._line(within_2, 1)]
        groups = [_evaluated("within 5 cm", GREY), _evaluated("within 2 cm and still", BLUE)]
        if (training := self._contents.curves.get("rollout/success_rate")) is not None:
            lines.append(self._line((training[0], 100.0 * training[1]), 2))
            groups.append(_group("training episodes, within 5 cm", ORANGE, 1.0))
        bar = 100.0 * self._contents.config.good.success_rate
        panel = {**self._panel("", lines, [bar]), "range": [-3, 105]}
        return self._figure("% of the held-out goals", groups, [panel])

    def _error(self) -> Figure:
        errors = [self._point("median_error_m", 1e3), self._point("p95_error_m", 1e3)]
        groups = [_evaluated("median", BLUE), _evaluated("95th percentile", GREY)]
        bar = 1e3 * self._contents.config.good.median_error_m
        lines = [self._line(each, i) for i, each in enumerate(errors)]
        figure = self._figure("mm, distance at the end", groups, [self._panel("", lines, [bar])])
        return {**figure, "log": True}

    def _return(self) -> Figure:
        lines = [self._line(self._point("mean_return"), 0)]
        groups = [_evaluated("held-out goals", BLUE)]
        if (training := self._contents.curves.get("rollout/ep_rew_mean")) is not None:
            lines.append(self._line(training, 1))
            groups.append(_group("training episodes", ORANGE, 1.0))
        return self._figure("return", groups, [self._panel("", lines)])

    def _losses(self) -> Figure:
        curves = self._contents.curves
        panels = [
            self._panel(title, [self._line(curves[tag], 0)])
            for title, tag in _LOSSES
            if tag in curves and np.any(curves[tag][1])
        ]
        return {
            **self._figure("", [_group("of the last update", BLUE, 1.2)], panels),
            "across": 2,
            "narrowest": 260,
        }

    # ---- pieces --------------------------------------------------------------------------------

    def _figure(self, unit: str, groups: list[Figure], panels: list[Figure]) -> Figure:
        return {"x": self._axis, "unit": unit, "groups": groups, "panels": panels}

    def _panel(self, title: str, lines: list[Figure], levels: Sequence[float] = ()) -> Figure:
        return {"title": title, "lines": lines, "verticals": self._marks, "levels": list(levels)}

    def _point(self, name: str, scale: float = 1.0) -> Curve:
        points = self._contents.points
        steps = np.array([each.env_steps for each in points], dtype=float)
        return steps, scale * np.array([getattr(each, name) for each in points])

    def _line(self, curve: Curve, group: int) -> Figure:
        steps, values = _thinned(*curve)
        x, y = self._columns.places(steps / 1e3), self._columns.values(values)
        return {"x": x, "y": y, "g": group}


def _thinned(steps: NDArray[Any], values: NDArray[Any]) -> Curve:
    """Means over so many in a row that the line fits on a screen."""
    size = -(-len(steps) // _MOST_POINTS)
    if size <= 1:
        return steps, values
    starts = np.arange(0, len(steps), size)
    counts = np.diff(np.append(starts, len(steps)))
    return np.add.reduceat(steps, starts) / counts, np.add.reduceat(values, starts) / counts


def _evaluated(label: str, stroke: str) -> Figure:
    """A line with a dot for each evaluation: there may be only one."""
    return {**_group(label, stroke), "points": True}


def _group(label: str, stroke: str, width: float = 2.0) -> Figure:
    return {"label": label, "stroke": stroke, "width": width, "dash": [], "on": True}
