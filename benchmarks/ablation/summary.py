# SPDX-License-Identifier: Apache-2.0
"""The figures of a variant, from its runs with several seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.figure import Figure
from benchmarks.learning_curve import LearningCurve, Point

RunResult = dict[str, Any]  # what `one_run` writes


@dataclass(frozen=True)
class Measure:
    """One column of the table: what is taken of a run, in `unit`; None if it did not get there."""

    name: str
    unit: str
    of: Callable[[RunResult], float | None]

    def figure(self, runs: Sequence[RunResult]) -> Figure:
        """Over the runs of one variant."""
        return Figure(self.name, self.unit, tuple(self.of(run) for run in runs))


def solved_at(run: RunResult) -> Point | None:
    """The evaluation at which the task was solved, its seconds those of the CPU."""
    points = [
        Point(point["cpu_seconds"], point["env_steps"], point["success_5cm"])
        for point in run["points"]
    ]
    return LearningCurve(run["label"], run["seed"], points).solved_at


def _final(key: str, factor: float) -> Callable[[RunResult], float]:
    return lambda run: factor * run["final"][key]


def _cpu_seconds(run: RunResult) -> float | None:
    point = solved_at(run)
    return None if point is None else point.seconds


def _env_steps(run: RunResult) -> float | None:
    point = solved_at(run)
    return None if point is None else point.env_steps / 1000.0


TIME = Measure("solved after", "CPU s", _cpu_seconds)
MEASURES = (
    TIME,
    Measure("solved after", "1000 steps", _env_steps),
    Measure("within 5 cm", "%", _final("success_5cm", 100.0)),
    Measure("within 2 cm", "%", _final("success_2cm", 100.0)),
    Measure("median error", "mm", _final("median_error_m", 1000.0)),
    Measure("RMS Δτ", "N·m", _final("rms_torque_step", 1.0)),
    Measure("RMS Δτ of action 1", "%", _final("rms_torque_step_fraction", 100.0)),
    Measure("torque above 10 Hz", "%", _final("torque_power_above_10hz", 100.0)),
    Measure("overspeed", "%", _final("overspeed_fraction", 100.0)),
)


def time_ratio(runs: Sequence[RunResult], default: Sequence[RunResult]) -> float | None:
    """Median CPU time to solve over that of the default configuration; None if either lacks it.

    Of medians, not seed by seed: runs of two configurations share no luck by having one seed.
    """
    time, default_time = TIME.figure(runs).median, TIME.figure(default).median
    return None if time is None or default_time is None else time / default_time


def by_label(runs: Sequence[RunResult]) -> dict[str, list[RunResult]]:
    """The runs of each variant, in the order in which they are given."""
    grouped: dict[str, list[RunResult]] = {}
    for run in runs:
        grouped.setdefault(run["label"], []).append(run)
    return grouped
