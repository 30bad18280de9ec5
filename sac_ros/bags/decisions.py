# SPDX-License-Identifier: Apache-2.0
"""policy_node's own log of a deployment: which states it answered, and with which goal.

A goal and a state that come at nearly the same time are recorded in either order; only the node
knows which it saw first. See `sac_ros.nodes.decision_log` for the events.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class NodeView:
    """The recording as the node saw it; m states.

    Attributes:
        goals: [g, 3] that it accepted, with their `frames`.
        goal_row: [m] the goal that stood; −1 where none did.
        asked_ns: [k] the stamps of all states for which the policy was asked, recorded or not.
        asked_row: [k] which recorded state that is; −1 where the recorder missed it.
        restart: [k] whether the decimation began anew with it.
    """

    goals: NDArray[np.float64]
    frames: tuple[str, ...]
    goal_row: NDArray[np.int64]
    asked_ns: NDArray[np.int64]
    asked_row: NDArray[np.int64]
    restart: NDArray[np.bool_]


def node_view(
    decisions: Sequence[Mapping[str, Any]], stamp_ns: NDArray[np.int64]
) -> NodeView | None:
    """Return what the node saw; None where the log tells nothing of these states."""
    goals: list[list[float]] = []
    frames: list[str] = []
    row, restart = -1, True
    goal_of: dict[int, int] = {}
    asked: list[tuple[int, bool]] = []
    for each in decisions:
        event = each["event"]
        if event == "goal" and not each.get("refused"):
            if _is_point(each.get("goal")):
                goals.append(each["goal"])
                frames.append(str(each.get("frame", "")))
                row = len(goals) - 1
        elif event in ("activate", "swap") or (event == "clear_fault" and not each.get("refused")):
            restart = True
        elif event == "deactivate":
            row, restart = -1, True
        elif event == "state" and _is_stamp(each.get("stamp")):
            goal_of[each["stamp"]] = row
            if each.get("asked"):
                asked.append((each["stamp"], restart))
                restart = False
    if not asked:
        return None
    stamps = stamp_ns.tolist()
    rows = {stamp: place for place, stamp in enumerate(stamps)}
    if not any(stamp in rows for stamp, _ in asked):
        return None
    return NodeView(
        goals=np.array(goals, dtype=float).reshape(-1, 3),
        frames=tuple(frames),
        goal_row=np.array([goal_of.get(stamp, -1) for stamp in stamps], dtype=np.int64),
        asked_ns=np.array([stamp for stamp, _ in asked], dtype=np.int64),
        asked_row=np.array([rows.get(stamp, -1) for stamp, _ in asked], dtype=np.int64),
        restart=np.array([anew for _, anew in asked], dtype=bool),
    )


def _is_stamp(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**63


def _is_point(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 3
        and all(isinstance(each, (int, float)) for each in value)
    )
