# SPDX-License-Identifier: Apache-2.0
"""The sentences of the page as HTML: status, goal, events, training. All of them are escaped."""

from __future__ import annotations

import math
from html import escape

from sac_ros.view.state import EventLine, Progress, ViewState

STALE_S = 1.0
"""A joint state older than this is no state of now."""

_BOX = "padding:4px 10px;font-size:13px;line-height:1.45"
_COLOURS = {"tracking": "#2b8a3e", "damping": "#e67700", "stopped": "#c92a2a"}
_GREY, _RED = "#868e96", "#c92a2a"
_LINES = 40  # of events


def box(text: str, part: str) -> str:
    """A piece of HTML with the page's margins; tests find it by `part`."""
    return f'<div style="{_BOX}" data-part="{part}">{text}</div>'


def waiting(text: str) -> str:
    """The page before an arm is known."""
    return box(f'<span style="color:{_GREY}">{escape(text)}</span>', "status")


def status(arm: str, state: ViewState) -> str:
    """Which arm, which policy, which mode, and what its nodes report of themselves."""
    words = f"<b>{escape(arm)}</b>"
    if state.spec is not None:
        words += f" &nbsp; policy {escape(state.spec.name)}"
    if state.mode:
        colour = _COLOURS.get(state.mode, _GREY)
        words += (
            f' &nbsp; <span style="background:{colour};color:white;border-radius:4px;'
            f'padding:1px 7px">{escape(state.mode)}</span>'
        )
    for node, sentence in state.summary.items():
        words += f'<br><span style="color:{_GREY}">{escape(node)}:</span> {escape(sentence)}'
    if math.isinf(state.state_age_s):
        words += f'<br><span style="color:{_GREY}">no joint states yet</span>'
    elif state.state_age_s > STALE_S:
        age = f"{state.state_age_s:.0f} s"
        words += f'<br><span style="color:{_RED}">no joint states for {age}</span>'
    return box(words, "status")


def goal(state: ViewState, refusal: str, hint: str) -> str:
    """Where the goal is, how far the end effector is from it, and since when.

    Args:
        state: what is known of it.
        refusal: why a dragged goal is refused; empty: it is not.
        hint: what can be done with the goal here.
    """
    words = []
    if state.goal is not None:
        x, y, z = state.goal[:3].tolist()
        words.append(f"x {x:.3f} &nbsp; y {y:.3f} &nbsp; z {z:.3f} m")
        if math.isfinite(state.distance):
            words.append(f"<b>{1000.0 * state.distance:.1f} mm</b> from it")
        if state.reached_after_s is not None and state.spec is not None:
            near = f"within {1000.0 * state.spec.goal.tolerance:.3g} mm"
            words.append(f"{near} after {state.reached_after_s:.2f} s")
        elif math.isfinite(state.goal_age_s):
            words.append(f"given {state.goal_age_s:.1f} s ago")
    else:
        words.append(f'<span style="color:{_GREY}">no goal yet</span>')
    for text in filter(None, (refusal, state.goal_note)):
        words.append(f'<span style="color:{_RED}">{escape(text)}</span>')
    if hint:
        words.append(f'<span style="color:{_GREY}">{escape(hint)}</span>')
    return box("<br>".join(words), "goal")


def events(lines: list[EventLine]) -> str:
    """The newest lines first, with their age relative to the newest."""
    if not lines:
        return box(f'<span style="color:{_GREY}">none yet</span>', "events")
    first = lines[0].time
    rows = [
        f'<div style="color:{_RED if line.severe else "inherit"}">'
        f'<span style="color:{_GREY};font-variant-numeric:tabular-nums">'
        f"{line.time - first:8.2f} s</span> &nbsp;{escape(line.text)}</div>"
        for line in reversed(lines[-_LINES:])
    ]
    style = "max-height:11em;overflow-y:auto;font-size:12px"
    return box(f'<div style="{style}">{"".join(rows)}</div>', "events")


def training(progress: Progress) -> str:
    """Where a training stands, in the words of its diagnostics."""
    values = progress.values
    done, whole = _count(values.get("env_steps")), _count(values.get("total_steps"))
    steps, updates = values.get("env_steps_per_second"), values.get("updates_per_second")
    held_out, training = values.get("success_rate"), values.get("training_success_rate")
    rows = [
        f"{values.get('phase', '')}: {done} of {whole} steps",
        f"{_count(steps)} steps/s, {_count(updates)} updates/s",
        f"success {_percent(held_out)}, in training {_percent(training)}",
        values.get("run", ""),
    ]
    return box("<br>".join(escape(row) for row in rows), "training")


def _count(text: str | None) -> str:
    try:
        return f"{int(float(text or '')):,}"
    except (ValueError, OverflowError):
        return "–"


def _percent(text: str | None) -> str:
    try:
        value = float(text or "")
    except ValueError:
        return "–"
    return f"{100.0 * value:.0f} %" if math.isfinite(value) else "–"
