# SPDX-License-Identifier: Apache-2.0
"""Where in the goal box a policy is exact and where not, as SVG inside the page."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from sac_ros.training.page.contents import Goal

INK, GREY = "#1e293b", "#94a3b8"
CLASSES = ((2.0, "#1a9850"), (5.0, "#91cf60"), (10.0, "#fee08b"), (20.0, "#fc8d59"))
WORST = "#d73027"  # 20 mm and more
_VIEWS = {
    "top": ("seen from above", 0, 1, "x", "y"),
    "side": ("seen from the side", 0, 2, "x", "z"),
}
_SIZE, _MARGIN = 460, 44  # px


def goal_map(goals: Sequence[Goal], box: NDArray[np.float64], view: str) -> str:
    """The goals from above (`top`: x, y) or from the `side` (x, z), coloured by their error.

    A goal that was not reached is a cross. Circles are the larger the larger the error is, so
    that a grey print shows the same.
    """
    title, across, up, *names = _VIEWS[view]
    places = np.array([(each.x, each.y, each.z) for each in goals])
    corners = np.concatenate([box, places, np.zeros((1, 3))])[:, [across, up]]
    low, high = corners.min(axis=0), corners.max(axis=0)
    scale = (_SIZE - 2 * _MARGIN) / float(max(high - low))
    height = scale * float(high[1] - low[1]) + 2 * _MARGIN

    def at(x: float, y: float) -> tuple[float, float]:
        return _MARGIN + scale * (x - low[0]), height - _MARGIN - scale * (y - low[1])

    words = escape(f"The goals {title}, coloured by their error.")
    parts = [
        f'<svg viewBox="0 0 {_SIZE} {height:.0f}" role="img" aria-label="{words}" font-size="12">'
    ]
    (left, top), (right, bottom) = at(box[0, across], box[1, up]), at(box[1, across], box[0, up])
    parts.append(
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" '
        f'height="{bottom - top:.1f}" fill="#f8fafc" stroke="{GREY}" stroke-dasharray="4 3"/>'
    )
    for value in box:
        x, y = at(value[across], box[0, up])
        parts.append(
            f'<text x="{x:.1f}" y="{y + 16:.1f}" text-anchor="middle" fill="{GREY}">'
            f"{value[across]:g}</text>"
        )
        x, y = at(box[0, across], value[up])
        parts.append(
            f'<text x="{x - 5:.1f}" y="{y + 4:.1f}" text-anchor="end" fill="{GREY}">'
            f"{value[up]:g}</text>"
        )
    x, y = at(0.0, 0.0)
    parts.append(f'<path d="M{x - 9:.1f} {y:.1f}h18M{x:.1f} {y - 9:.1f}v18" stroke="{INK}"/>')
    parts.append(f'<text x="{x + 8:.1f}" y="{y - 6:.1f}">base</text>')
    # The worst on top: they are what is looked for.
    for number, each in sorted(enumerate(goals, start=1), key=lambda pair: pair[1].error_m):
        place = (each.x, each.y, each.z)
        parts.append(_mark(number, each, at(place[across], place[up])))
    parts.append(
        f'<text x="{_MARGIN}" y="16" font-weight="600">{title}: {names[1]} over {names[0]}, m'
        "</text></svg>"
    )
    return "".join(parts)


def legend() -> str:
    """What the colours mean."""
    parts = ['<svg class="legend" viewBox="0 0 570 22" role="img" font-size="12" ']
    parts.append('aria-label="Colours of the map">')
    words = [f"&lt; {limit:g} mm" for limit, _ in CLASSES] + [f"≥ {CLASSES[-1][0]:g} mm"]
    for i, word in enumerate(words):
        colour = CLASSES[i][1] if i < len(CLASSES) else WORST
        x = 8 + 92 * i
        parts.append(f'<circle cx="{x}" cy="11" r="{4 + i}" fill="{colour}" stroke="{INK}"/>')
        parts.append(f'<text x="{x + 13}" y="15">{word}</text>')
    parts.append(f'<path d="M468 6l10 10m0-10l-10 10" stroke="{WORST}" stroke-width="3"/>')
    parts.append('<text x="484" y="15">not reached</text></svg>')
    return "".join(parts)


def worst(goals: Sequence[Goal], number: int = 5) -> list[tuple[int, Goal]]:
    """The goals with the largest errors and their numbers from 1, the worst first."""
    ranked = sorted(enumerate(goals, start=1), key=lambda pair: -pair[1].error_m)
    return ranked[:number]


def _mark(number: int, goal: Goal, place: tuple[float, float]) -> str:
    x, y = place
    error = 1e3 * goal.error_m
    index = next((i for i, (limit, _) in enumerate(CLASSES) if error < limit), len(CLASSES))
    colour = CLASSES[index][1] if index < len(CLASSES) else WORST
    words = f"goal {number}: ({goal.x:.2f}, {goal.y:.2f}, {goal.z:.2f}) m, {error:.1f} mm"
    if not goal.reached:
        return (
            f'<path d="M{x - 6:.1f} {y - 6:.1f}l12 12m0 -12l-12 12" stroke="{colour}" '
            f'stroke-width="3"><title>{words}, not reached</title></path>'
        )
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{4 + index}" fill="{colour}" stroke="{INK}" '
        f'stroke-width=".8"><title>{words}</title></circle>'
    )
