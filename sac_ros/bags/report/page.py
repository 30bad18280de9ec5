# SPDX-License-Identifier: Apache-2.0
"""``report.html``: one file with its plots inside, for a colleague, a browser or a printer.

``page.html`` is its template. Every figure is one of ``summary.json``.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from sac_ros.bags.metrics.limits import LimitFigures
from sac_ros.bags.report import plots, verdict
from sac_ros.bags.result import ANSWERS, OPEN_LOOP, OWN_LIMITS, Evaluation, ModelResult
from sac_ros.pages.format import number, short_names
from sac_ros.pages.page import render
from sac_ros.utils.atomic_write import atomic_write


def report_html(evaluation: Evaluation, series: plots.Series) -> str:
    """Return the page, the same for the same evaluation and series (see `sac_ros.bags.files`)."""
    names = ", ".join(model.label for model in evaluation.models)
    bags = ", ".join(Path(bag.path).name for bag in evaluation.bags)
    return render(
        "sac_ros.bags.report",
        "page.html",
        figures=plots.page_data(evaluation, series),
        filters={
            "milliseconds": _milliseconds,
            "lag": _lag,
            "largest": lambda values: max(_known(values), default=None),
            "smallest": lambda values: min(_known(values), default=None),
        },
        title=f"{names} on {bags}",
        open_loop=OPEN_LOOP,
        answers=ANSWERS,
        evaluation=evaluation,
        series=series,
        plots=plots,
        verdict=verdict,
        own_limits=OWN_LIMITS,
        short_names=short_names,
        recorded_limits=_recorded_limits,
    )


def save_report(evaluation: Evaluation, series: plots.Series, folder: Path) -> None:
    """Write ``report.html`` into an existing folder, whole or not at all."""
    with atomic_write(folder / "report.html") as partial:
        partial.write_text(report_html(evaluation, series), encoding="utf-8")


def _milliseconds(seconds: float | None) -> str:
    return number(None if seconds is None else 1e3 * seconds, unit="ms")


def _lag(model: ModelResult) -> str:
    """Return the best lag of all joints together, and how well it is known."""
    lag = model.lag
    if lag is None or lag.overall_s is None:
        return "unknown"
    return f"{_milliseconds(lag.overall_s)} ± {_milliseconds(lag.resolution_s)}"


def _known(values: Iterable[float | None]) -> list[float]:
    return [each for each in values if each is not None]


def _recorded_limits(model: ModelResult) -> tuple[LimitFigures, ...]:
    """What the recording does to a policy's limits, whatever the policy would do."""
    states = [each for each in model.limits if each.kind not in OWN_LIMITS]
    return (*states, *model.recorded_limits)
