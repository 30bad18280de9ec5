# SPDX-License-Identifier: Apache-2.0
"""One message of a recorded ``~/decisions``, checked before anything is replayed by it."""

from __future__ import annotations

import json
from typing import Any

_NUMBER = (int, float)
# What a replay uses of each event; the log has more (see `sac_ros.nodes.decision_log`).
_FIELDS: dict[str, dict[str, Any]] = {
    "state": {"stamp": int, "applied": bool},
    "goal": {"goal": (list, type(None)), "frame": str},
    "activate": {"sha256": str, "parameters": dict},
    "emergency_stop": {"engaged": bool},
}


def parse_decision(text: str) -> dict[str, Any]:
    """Return a decision as `DecisionLog` wrote it.

    Raises:
        ValueError: it is none; the sentence's end says why, such as ``event must be …``.
    """
    try:
        decision = json.loads(text)
    except ValueError as error:
        raise ValueError("it is no JSON") from error
    if not isinstance(decision, dict):
        raise ValueError("it is no JSON object")
    _check(decision, {"n": int, "event": str, "time": _NUMBER})
    _check(decision, _FIELDS.get(decision["event"], {}))
    if decision["event"] == "goal" and decision["goal"] is not None:
        goal = decision["goal"]
        if len(goal) != 3 or not all(isinstance(each, _NUMBER) for each in goal):
            raise ValueError(f"its goal must be three numbers or null; got {goal}")
    return decision


def _check(decision: dict[str, Any], fields: dict[str, Any]) -> None:
    for name, kind in fields.items():
        if not isinstance(decision.get(name), kind):
            raise ValueError(f"its field {name} is missing or of a wrong type")
