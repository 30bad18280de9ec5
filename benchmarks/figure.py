# SPDX-License-Identifier: Apache-2.0
"""A measured figure: one number for each repetition, and their median."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """Something measured once a repetition; None where a repetition did not get there."""

    name: str
    unit: str
    repetitions: tuple[float | None, ...]

    @property
    def median(self) -> float | None:
        """The median, a missing value counting as larger than all others; None if it is missing.

        Missing values are times that were not reached before the cut, so large is what they are.
        """
        values = [float("inf") if each is None else each for each in self.repetitions]
        middle = statistics.median(values)
        return None if middle == float("inf") else middle


def ratio(name: str, above: Figure, below: Figure, unit: str = "x") -> Figure:
    """`above` / `below`, repetition by repetition: what shared a moment is what is divided.

    With the unit % the quotient is given in percent.
    """
    factor = 100.0 if unit == "%" else 1.0
    quotients = [
        None if top is None or bottom is None else factor * top / bottom
        for top, bottom in zip(above.repetitions, below.repetitions, strict=True)
    ]
    return Figure(name, unit, tuple(quotients))


def table(title: str, figures: Sequence[Figure]) -> str:
    """The figures as text: the median, and the range of the repetitions."""
    width = max(len(figure.name) for figure in figures)
    lines = [title]
    for figure in figures:
        known = [each for each in figure.repetitions if each is not None]
        spread = f"{_short(min(known))} to {_short(max(known))}" if known else "-"
        missing = len(figure.repetitions) - len(known)
        note = f", {missing} of {len(figure.repetitions)} not reached" if missing else ""
        median = "-" if figure.median is None else _short(figure.median)
        lines.append(f"  {figure.name:{width}}  {median:>9} {figure.unit:10} ({spread}{note})")
    return "\n".join(lines)


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
