# SPDX-License-Identifier: Apache-2.0
"""Learning curves of a factor's variants beside those of the default configuration."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.ablation.page import figure_name, groups
from benchmarks.ablation.summary import RunResult, by_label
from benchmarks.ablation.variants import DEFAULT
from benchmarks.figure_style import BLUE, GREEN, GREY, ORANGE, legend, panels, save

_VIOLET = "#7c3aed"
_COLOURS = (BLUE, ORANGE, GREEN, _VIOLET)


def save_curves(runs: Sequence[RunResult], directory: Path) -> list[Path]:
    """Draws a PNG for every factor; returns their paths."""
    directory.mkdir(parents=True, exist_ok=True)
    variants = by_label(runs)
    paths = []
    for group in groups(runs):
        mine = {
            label: found
            for label, found in variants.items()
            if label == DEFAULT.label or found[0]["group"] == group
        }
        paths.append(directory / figure_name(group))
        save(_figure(mine), paths[-1])
    return paths


def _figure(variants: dict[str, list[RunResult]]) -> Figure:
    figure, (success, error) = panels(["Success", "Precision"])
    changed = [label for label in variants if label != DEFAULT.label]
    colours = {label: _COLOURS[i % len(_COLOURS)] for i, label in enumerate(changed)}
    for label, runs in variants.items():
        for index, run in enumerate(runs):
            _draw(success, error, run, colours.get(label, GREY), label if index == 0 else None)
    success.axhline(95, color=GREY, linewidth=0.8, linestyle=":")
    success.set(xlabel="CPU time (s)", ylabel="held-out goals within 5 cm (%)", ylim=(-3, 103))
    error.set(xlabel="environment steps (1000)", ylabel="median distance (mm)", yscale="log")
    legend(success, "lower right")
    return figure


def _draw(success: Axes, error: Axes, run: RunResult, colour: str, label: str | None) -> None:
    points = run["points"]
    success.plot(
        [point["cpu_seconds"] for point in points],
        [100.0 * point["success_5cm"] for point in points],
        color=colour,
        linewidth=1.1,
        label=label,
    )
    error.plot(
        [point["env_steps"] / 1000.0 for point in points],
        [1000.0 * point["median_error_m"] for point in points],
        color=colour,
        linewidth=1.1,
    )
