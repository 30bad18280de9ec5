# SPDX-License-Identifier: Apache-2.0
"""Torques and positions of all joints against their limits, as one small piece of HTML."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import takewhile

import numpy as np

from sac_ros.robots.arm import Arm
from sac_ros.view.state import Array, ViewState

_NEAR = 0.8  # of the torque limit: orange from here on
_AT = 0.99  # of the torque limit: red
_MARGIN = 0.05  # of the range of positions: orange at both ends
_BLUE, _ORANGE, _RED, _PALE = "#228be6", "#f08c00", "#e03131", "#e9ecef"
_GRID = "display:grid;grid-template-columns:2.6em 1fr 4.4em 1fr 3.4em;gap:3px 8px;"
_STYLE = f"{_GRID}align-items:center;font-size:12px;padding:4px 10px;line-height:1.35"
_TRACK = f"position:relative;height:11px;border-radius:3px;background:{_PALE};overflow:hidden"
_HEAD = "color:#868e96;font-size:11px"
_NUMBER = "text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap"


def short_names(names: Sequence[str]) -> list[str]:
    """The names without what all of them begin with, such as 1 to 7 of `lbr_iiwa_joint_1`."""
    alike = takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    common = len(list(alike)) if len(names) > 1 else 0
    return [name[common:] or name for name in names]


def joint_bars(arm: Arm, state: ViewState) -> str:
    """The HTML for a state: a row per joint, a dash for what nobody publishes."""
    limit = arm.torque_limit if state.torque_limit is None else state.torque_limit
    heads = ("joint", "torque, of its limit", "N·m", "position, of its range", "°")
    rows = [
        f'<div style="{_HEAD}{";text-align:right" if head in ("N·m", "°") else ""}">{head}</div>'
        for head in heads
    ]
    for joint, name in enumerate(short_names(arm.joint_names)):
        limited = joint in state.limited
        title = escape(arm.joint_names[joint], quote=True)
        mark = f"color:{_RED};font-weight:700" if limited else ""
        rows.append(
            f'<div style="overflow:hidden;text-overflow:ellipsis;{mark}" title="{title}">'
            f"{escape(name)}</div>"
            f"{_torque_bar(state.torque, limit, joint)}"
            f"{_position_bar(state.position, arm.position_limit, joint)}"
        )
    return f'<div style="{_STYLE}" data-part="joints">{"".join(rows)}</div>'


def _torque_bar(torque: Array | None, limit: Array, joint: int) -> str:
    most = f'title="limit {limit[joint]:.4g} N·m"'
    if torque is None or not np.isfinite(torque[joint]):
        return f'<div style="{_TRACK}" {most}></div><div style="{_NUMBER}">–</div>'
    fraction = float(torque[joint] / limit[joint]) if limit[joint] > 0.0 else 0.0
    size = min(abs(fraction), 1.0)
    colour = _RED if size >= _AT else _ORANGE if size >= _NEAR else _BLUE
    left = 50.0 - 50.0 * size if fraction < 0.0 else 50.0
    return (
        f'<div style="{_TRACK}" {most}>'
        f'<div style="position:absolute;left:{left:.1f}%;width:{50.0 * size:.1f}%;height:100%;'
        f'background:{colour}"></div>'
        '<div style="position:absolute;left:50%;width:1px;height:100%;background:#868e96"></div>'
        f'</div><div style="{_NUMBER}">{_rounded(float(torque[joint]), 1)}</div>'
    )


def _position_bar(position: Array | None, limit: Array, joint: int) -> str:
    low, high = limit[joint].tolist()
    ends = f'title="{np.rad2deg(low):.0f}° to {np.rad2deg(high):.0f}°"'
    if position is None:
        return f'<div style="{_TRACK}" {ends}></div><div style="{_NUMBER}">–</div>'
    place = min(max((float(position[joint]) - low) / (high - low), 0.0), 1.0)
    colour = _BLUE if _MARGIN < place < 1.0 - _MARGIN else _ORANGE
    return (
        f'<div style="{_TRACK}" {ends}>'
        f'<div style="position:absolute;left:calc({100.0 * place:.1f}% - 3px);width:6px;'
        f'height:100%;border-radius:3px;background:{colour}"></div>'
        f'</div><div style="{_NUMBER}">{_rounded(float(np.rad2deg(position[joint])), 0)}</div>'
    )


def _rounded(value: float, digits: int) -> str:
    """A number without the sign of a zero."""
    return f"{round(value, digits) + 0.0:.{digits}f}"
