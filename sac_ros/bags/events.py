# SPDX-License-Identifier: Apache-2.0
"""policy_node's own log of a deployment: which states it answered, and with which goal.

A goal and a state that come at nearly the same time are recorded in either order; only the node
knows which it saw first. See `sac_ros.policy.event_log` for the events.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sac_ros.cdr import TEXT, read_layout

_NUMBER = (int, float)
_NO_TURN = (0.0, 0.0, 0.0, 1.0)  # the quaternion of a goal without one
# What is used of each event; the log has more.
_FIELDS: dict[str, dict[str, Any]] = {
    "state": {"stamp": int, "applied": bool},
    "goal": {"goal": (list, type(None)), "frame": str},
    "activate": {"sha256": str, "parameters": dict},
    "swap": {"sha256": str},
    "set_parameter": {"name": str, "value": (*_NUMBER, bool)},
    "other_publishers": {"names": list},
    "emergency_stop": {"engaged": bool},
}


def read_event(cdr: bytes) -> dict[str, Any]:
    """Return a message of ``~/events`` as `EventLog` wrote it.

    Raises:
        ValueError: it is none; the sentence's end says why, such as ``it is no JSON``.
    """
    try:
        record = json.loads(read_layout(cdr, TEXT).texts["data"])
    except (ValueError, RecursionError) as error:
        raise ValueError("it is no JSON") from error
    if not isinstance(record, dict):
        raise ValueError("it is no JSON object")
    _check(record, {"n": int, "event": str, "time": _NUMBER})
    _check(record, _FIELDS.get(record["event"], {}))
    goal = record["goal"] if record["event"] == "goal" else None
    if goal is not None and (
        len(goal) not in (3, 7) or not all(isinstance(v, _NUMBER) for v in goal)
    ):
        raise ValueError(f"its goal must be three numbers, seven or null; got {goal}")
    if not isinstance(record.get("stamp", 0), int):
        raise ValueError(f"its stamp must be ns; got {record['stamp']!r}")
    if record["event"] == "state" and not 0 <= record["stamp"] < 2**63:
        raise ValueError(f"its stamp must be ns in 63 bits; got {record['stamp']}")
    return record


def _check(record: dict[str, Any], fields: dict[str, Any]) -> None:
    for name, kind in fields.items():
        if not isinstance(record.get(name), kind):
            raise ValueError(f"its field {name} is missing or of a wrong type")


@dataclass(frozen=True)
class NodeView:
    """The recording as the node saw it; m states.

    Attributes:
        goals: [g, 7] that it accepted, m and quaternion, with their `frames`.
        goal_row: [m] the goal that stood; −1 where none did.
        asked_ns: [k] the stamps of all states for which the policy was asked, recorded or not.
        asked_row: [k] which recorded state that is; −1 where the recorder missed it.
        run: [k] which of the states asked about gave the torque: the policy ran on that one and
            its torque was held since. −1 where that cannot be told, since events were lost.
        restart: [k] whether the policy began anew with it: no last action, a run at once.
    """

    goals: NDArray[np.float64]
    frames: tuple[str, ...]
    goal_row: NDArray[np.int64]
    asked_ns: NDArray[np.int64]
    asked_row: NDArray[np.int64]
    run: NDArray[np.int64]
    restart: NDArray[np.bool_]


def _ran_on(stamp: int | None, asked: Sequence[tuple[int, bool, int]]) -> int:
    """Return which state the policy ran on: the next that is asked about, or one of a stamp."""
    if stamp is None:
        return len(asked)
    for place in range(len(asked) - 1, -1, -1):
        if asked[place][0] <= stamp:
            return place if asked[place][0] == stamp else -1
    return -1


def node_view(events: Sequence[Mapping[str, Any]], stamp_ns: NDArray[np.int64]) -> NodeView | None:
    """Return what the node saw; None where the log tells nothing of these states.

    Which state the policy ran on is told by the node's own count of its runs. The decimation
    itself cannot be repeated to the last state: it goes by the rate at which the states came to
    the node, which no recorder sees.
    """
    goals: list[list[float]] = []
    frames: list[str] = []
    goal_of: dict[int, int] = {}
    asked: list[tuple[int, bool, int]] = []  # stamp, restart, run
    row, restart = -1, True
    run, count, last = -1, None, 0
    for each in events:
        event, refused = each["event"], each.get("refused")
        whole, last = each["n"] == last + 1, each["n"]
        if event == "goal" and each["goal"] is not None and not refused:
            goals.append([*each["goal"], *_NO_TURN][:7])
            frames.append(each["frame"])
            row = len(goals) - 1
        elif event in ("activate", "swap") or (event == "clear_fault" and not refused):
            restart = True
            if event == "activate":
                run, count = -1, 0
        elif event == "deactivate":
            row, restart = -1, True
        elif event == "state":
            if each.get("inferences") != count:  # without a loss, it was this state or an earlier
                told = whole and count is not None
                run = _ran_on(each.get("ran_on"), asked) if told else -1
            count = each.get("inferences")
            if each["stamp"]:
                goal_of[each["stamp"]] = row
            if each["stamp"] and each.get("has_policy_torque", each.get("asked")):
                asked.append((each["stamp"], restart, run))
                restart = False
    if not asked:
        return None
    stamps = stamp_ns.tolist()
    rows = {stamp: place for place, stamp in enumerate(stamps)}
    if not any(stamp in rows for stamp, _, _ in asked):
        return None
    return NodeView(
        goals=np.array(goals, dtype=float).reshape(-1, 7),
        frames=tuple(frames),
        goal_row=np.array([goal_of.get(stamp, -1) for stamp in stamps], dtype=np.int64),
        asked_ns=np.array([stamp for stamp, _, _ in asked], dtype=np.int64),
        asked_row=np.array([rows.get(stamp, -1) for stamp, _, _ in asked], dtype=np.int64),
        run=np.array([run for _, _, run in asked], dtype=np.int64),
        restart=np.array([anew for _, anew, _ in asked], dtype=bool),
    )
