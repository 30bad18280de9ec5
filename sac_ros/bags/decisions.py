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
        answered: [m] whether the policy was asked.
        restart: [m] whether its decimation began anew with this state.
    """

    goals: NDArray[np.float64]
    frames: tuple[str, ...]
    goal_row: NDArray[np.int64]
    answered: NDArray[np.bool_]
    restart: NDArray[np.bool_]


def node_view(
    decisions: Sequence[Mapping[str, Any]], stamp_ns: NDArray[np.int64]
) -> NodeView | None:
    """Return what the node saw; None where the log tells nothing of these states."""
    goals: list[list[float]] = []
    frames: list[str] = []
    row, restart = -1, True
    by_stamp: dict[int, tuple[int, bool, bool]] = {}
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
        elif event == "state" and isinstance(each.get("stamp"), int) and each["stamp"]:
            asked = bool(each.get("asked"))
            by_stamp[each["stamp"]] = (row, asked, restart)
            restart = restart and not asked
    if not by_stamp:
        return None
    unknown = (-1, False, False)
    found = [by_stamp.get(stamp, unknown) for stamp in stamp_ns.tolist()]
    if not any(asked for _, asked, _ in found):
        return None
    rows, answered, restarts = zip(*found, strict=True)
    return NodeView(
        np.array(goals, dtype=float).reshape(-1, 3),
        tuple(frames),
        np.array(rows, dtype=np.int64),
        np.array(answered, dtype=bool),
        np.array(restarts, dtype=bool),
    )


def _is_point(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 3
        and all(isinstance(each, (int, float)) for each in value)
    )
