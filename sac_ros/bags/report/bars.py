# SPDX-License-Identifier: Apache-2.0
"""Bars as SVG inside the page: sharp on any screen and on paper, and there without a script."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

INK, GREY = "#1e293b", "#94a3b8"
_WIDTH, _HEIGHT = 940, 210  # px
_LEFT, _TOP, _BOTTOM = 62, 30, 22  # px around the bars
_HATCHES = {
    "////": '<path d="M0 6L6 0" stroke="#1e293b" stroke-width=".8"/>',
    "...": '<circle cx="3" cy="3" r="1" fill="#1e293b"/>',
    "xxx": '<path d="M0 6L6 0M0 0L6 6" stroke="#1e293b" stroke-width=".8"/>',
    "---": '<path d="M0 3H6" stroke="#1e293b" stroke-width=".8"/>',
    "ooo": '<circle cx="3" cy="3" r="1.8" fill="none" stroke="#1e293b" stroke-width=".8"/>',
}
HATCHES = ("", *_HATCHES)
"""On a grey print, and for readers with a colour deficiency, hatching shows what colours do."""


@dataclass(frozen=True)
class Bars:
    """What is drawn in one colour: a bar for each joint, in percent."""

    label: str
    shares: Sequence[float | None]
    colour: str
    hatch: str = ""


def bars(
    alternative: str,
    unit: str,
    joints: Sequence[str],
    panels: Sequence[tuple[str, Sequence[Bars]]],
) -> str:
    """Return panels (title, bars) beside each other, with one scale and one legend."""
    series = panels[0][1]
    label = escape(alternative)
    parts = [f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}" ']
    parts.append('font-size="11"><defs>')
    # The same ids mean the same pattern wherever they stand on the page.
    for each in series:
        if each.hatch:
            parts.append(
                f'<pattern id="{_pattern(each)}" width="6" height="6" '
                f'patternUnits="userSpaceOnUse"><rect width="6" height="6" fill="{each.colour}"/>'
                f"{_HATCHES[each.hatch]}</pattern>"
            )
    parts.append("</defs>")
    parts += _legend(series)
    highest = max((s or 0.0 for _, drawn in panels for b in drawn for s in b.shares), default=0.0)
    ticks = _ticks(100.0 * highest)
    width = (_WIDTH - _LEFT - 10 * (len(panels) - 1)) / len(panels)
    for number, (title, drawn) in enumerate(panels):
        left = _LEFT + number * (width + 10)
        parts += _panel(title, joints, drawn, ticks, (left, width), labelled=number == 0)
    parts.append(
        f'<text transform="translate(11 {_HEIGHT / 2}) rotate(-90)" text-anchor="middle">'
    )
    parts.append(f"{escape(unit)}</text></svg>")
    return "".join(parts)


def _panel(
    title: str,
    joints: Sequence[str],
    drawn: Sequence[Bars],
    ticks: Sequence[float],
    place: tuple[float, float],
    labelled: bool,
) -> list[str]:
    left, width = place
    floor = _HEIGHT - _BOTTOM
    scale = (floor - _TOP) / ticks[-1]
    parts = []
    for tick in ticks:
        y = floor - tick * scale
        parts.append(f'<path d="M{left:.1f} {y:.1f}h{width:.1f}" stroke="{GREY}" opacity=".4"/>')
        if labelled:
            parts.append(f'<text x="{left - 6:.1f}" y="{y + 4:.1f}" text-anchor="end">')
            parts.append(f"{tick:g}</text>")
    slot = width / len(joints)
    bar = 0.8 * slot / len(drawn)
    for i, each in enumerate(drawn):
        fill = f"url(#{_pattern(each)})" if each.hatch else each.colour
        for joint, share in enumerate(each.shares):
            height = 100.0 * (share or 0.0) * scale
            x = left + slot * joint + 0.1 * slot + i * bar
            parts.append(
                f'<rect x="{x:.1f}" y="{floor - height:.1f}" width="{0.92 * bar:.1f}" '
                f'height="{height:.1f}" fill="{fill}" stroke="{INK}" stroke-width=".5"/>'
            )
    for joint, name in enumerate(joints):
        x = left + slot * (joint + 0.5)
        size = min(11.0, 1.7 * slot / max(1, len(name)))
        parts.append(f'<text x="{x:.1f}" y="{floor + 14}" text-anchor="middle" ')
        parts.append(f'font-size="{size:.1f}">{escape(name)}</text>')
    if title:
        parts.append(f'<text x="{left + 4:.1f}" y="{_TOP + 4}" font-weight="600">')
        parts.append(f"{escape(title)}</text>")
    return parts


def _legend(series: Sequence[Bars]) -> list[str]:
    parts, x = [], float(_LEFT)
    for each in series:
        fill = f"url(#{_pattern(each)})" if each.hatch else each.colour
        parts.append(f'<rect x="{x:.0f}" y="4" width="18" height="10" fill="{fill}" ')
        parts.append(f'stroke="{INK}" stroke-width=".5"/><text x="{x + 23:.0f}" y="13">')
        parts.append(f"{escape(each.label)}</text>")
        x += 40 + 6.5 * len(each.label)
    return parts


def _pattern(bars: Bars) -> str:
    return f"hatch-{list(_HATCHES).index(bars.hatch)}-{bars.colour[1:]}"


def _ticks(highest: float) -> list[float]:
    """Return round ticks from 0 to just above the highest value, at least to 5 %."""
    highest = max(highest, 5.0)
    power = 10.0 ** math.floor(math.log10(highest / 4))
    step = next(f * power for f in (1.0, 2.0, 5.0, 10.0) if highest / (f * power) <= 5.0)
    return [step * i for i in range(math.ceil(highest / step - 1e-9) + 1)]
