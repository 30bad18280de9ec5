# SPDX-License-Identifier: Apache-2.0
"""policy_node's `~/events` as lines to read; `sac_ros.policy.event_log` has their fields."""

from __future__ import annotations

import json
from typing import Any

from sac_ros.view.state import EventLine

_FREQUENT = ('"event": "state"', '"event": "tick"')


def is_frequent(text: str) -> bool:
    """Return whether an event is one of the 500 a second that answer joint states."""
    return any(each in text[:60] for each in _FREQUENT)


def read_event(text: str) -> dict[str, Any]:
    """Return an event's fields; empty where it is no event."""
    try:
        event = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(event, dict) or not isinstance(event.get("time"), (int, float)):
        return {}
    return event


def line_of(event: dict[str, Any]) -> EventLine | None:
    """Return the line for an event that is none of the frequent ones; None: there is no word."""
    sentence = _SENTENCES.get(str(event.get("event")))
    if sentence is None:
        return None
    text, severe = sentence(event)
    return EventLine(float(event["time"]), text, severe)


def _goal(event: dict[str, Any]) -> tuple[str, bool]:
    if refused := event.get("refused"):
        return f"goal refused: {refused}", True
    numbers = [each for each in event.get("goal") or [] if isinstance(each, (int, float))]
    return f"goal {', '.join(f'{each:.3f}' for each in numbers[:3])} m", False


def _clear_fault(event: dict[str, Any]) -> tuple[str, bool]:
    if refused := event.get("refused"):
        return f"faults not cleared: {refused}", True
    return "faults cleared", False


def _others(event: dict[str, Any]) -> tuple[str, bool]:
    names = ", ".join(map(str, event.get("names") or []))
    return (f"commanded by others too: {names}", True) if names else ("commanded alone", False)


_SENTENCES = {
    "activate": lambda event: (f"activated, policy {str(event.get('sha256'))[:8]}", False),
    "deactivate": lambda _: ("deactivated", False),
    "goal": _goal,
    "swap": lambda event: (f"policy changed to {event.get('model_path')}", False),
    "set_parameter": lambda event: (f"{event.get('name')} set to {event.get('value')}", False),
    "other_publishers": _others,
    "emergency_stop": lambda event: (
        f"emergency stop {'engaged' if event.get('engaged') else 'released'}",
        bool(event.get("engaged")),
    ),
    "clear_fault": _clear_fault,
}
