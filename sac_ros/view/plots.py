# SPDX-License-Identifier: Apache-2.0
"""The plots of the page: the last seconds of torques and distance, and training curves."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np

from sac_ros.robots.arm import Arm
from sac_ros.view.joint_bars import short_names
from sac_ros.view.state import Array, ViewState

if TYPE_CHECKING:
    import viser

_SPAN_S = 10.0
_COLOURS = ("#1971c2", "#e8590c", "#2f9e44", "#c2255c", "#6741d9", "#0c8599", "#f08c00")
_LEGEND = {"show": True, "live": False}
_HEIGHT = 150  # px
_PADDING = (8, 14, 0, 0)  # px: top, right, bottom, left
_BOTH_SIDES = {
    "min": {"pad": 0.1, "soft": -5, "mode": 1},
    "max": {"pad": 0.1, "soft": 5, "mode": 1},
}
_FROM_ZERO = {"min": {"pad": 0, "soft": 0, "mode": 1}, "max": {"pad": 0.1, "soft": 20, "mode": 1}}


class LastSeconds:
    """Torques in percent of their limits, and the distance to the goal in mm, over time."""

    def __init__(self, gui: viser.GuiApi, arm: Arm, rate: float) -> None:
        """Adds both plots; `add` is called ``rate`` times a second."""
        self._limit = arm.torque_limit
        self._rows: deque[Array] = deque(maxlen=round(_SPAN_S * rate))
        joints = short_names(arm.joint_names)
        empty = np.zeros(1)
        x = {"x": {"time": False, "range": (-_SPAN_S, 0.0)}}
        self._torques = gui.add_uplot(
            (empty, *(empty for _ in joints)),
            _series(joints),
            title="torque, % of limit",
            scales={**x, "y": {"range": _BOTH_SIDES}},
            legend=_LEGEND,
            padding=_PADDING,
            height=_HEIGHT,
        )
        self._distance = gui.add_uplot(
            (empty, empty),
            _series(["end effector to goal"]),
            title="distance to the goal, mm",
            scales={**x, "y": {"range": _FROM_ZERO}},
            legend={"show": False},
            padding=_PADDING,
            height=_HEIGHT,
        )

    def add(self, now: float, state: ViewState) -> None:
        """Note a moment, s."""
        torque = np.full(len(self._limit), np.nan) if state.torque is None else state.torque
        limit = self._limit if state.torque_limit is None else state.torque_limit
        with np.errstate(divide="ignore", invalid="ignore"):
            fraction = 100.0 * torque / limit
        self._rows.append(np.concatenate(([now], fraction, [1000.0 * state.distance])))

    def draw(self, now: float) -> None:
        """Send what was noted to the page."""
        if self._rows:
            table = np.array(self._rows).T
            time = table[0] - now
            self._torques.data = (time, *table[1:-1])
            self._distance.data = (time, table[-1])


class TrainingCurves:
    """Success and median error of a run's evaluations over environment steps."""

    def __init__(self, gui: viser.GuiApi) -> None:
        """Adds both plots."""
        nothing = np.zeros(1)
        x = {"x": {"time": False}}
        self._success = gui.add_uplot(
            (nothing, nothing, nothing),
            _series(["within 5 cm", "within 2 cm"]),
            title="success, %",
            scales={**x, "y": {"range": (0.0, 100.0)}},
            legend=_LEGEND,
            padding=_PADDING,
            height=_HEIGHT,
        )
        self._error = gui.add_uplot(
            (nothing, nothing),
            _series(["median error"]),
            title="median error, mm",
            scales={**x, "y": {"distr": 3}},
            legend={"show": False},
            padding=_PADDING,
            height=_HEIGHT,
        )

    def draw(self, curves: Array) -> None:
        """Show the points [p, 4] of `Progress.curves`."""
        if len(curves):
            steps, at_5_cm, at_2_cm, error = curves.T
            self._success.data = (steps, 100.0 * at_5_cm, 100.0 * at_2_cm)
            self._error.data = (steps, 1000.0 * error)


def _series(labels: list[str]) -> Any:
    lines = [
        {"label": label, "stroke": _COLOURS[i % len(_COLOURS)], "width": 1.5}
        for i, label in enumerate(labels)
    ]
    return ({}, *lines)
