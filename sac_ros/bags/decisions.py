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
        run: [k] which of the states asked about gave the torque: the policy ran on that one and
            its torque was held since. −1 where that cannot be told, since decisions were lost.
        restart: [k] whether the policy began anew with it: no last action, a run at once.
    """

    goals: NDArray[np.float64]
    frames: tuple[str, ...]
    goal_row: NDArray[np.int64]
    asked_ns: NDArray[np.int64]
    asked_row: NDArray[np.int64]
    run: NDArray[np.int64]
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
    runs, run_of = _Runs(), []
    for each in decisions:
        event = each["event"]
        runs.note(each, len(asked))
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
                run_of.append(runs.newest)
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
        run=np.array(run_of, dtype=np.int64),
        restart=np.array([anew for _, anew in asked], dtype=bool),
    )


class _Runs:
    """Which state the policy ran on, from the node's own count of its runs.

    The decimation itself cannot be repeated to the last state: it goes by the rate at which the
    states came to the node, which no recorder sees.

    Attributes:
        newest: the number of the last state asked about on which it ran; −1 where unknown.
    """

    def __init__(self) -> None:
        self.newest = -1
        self._count: int | None = None
        self._last: Any = 0

    def note(self, decision: Mapping[str, Any], number: int) -> None:
        """Note a decision; ``number`` is that of the next state asked about."""
        whole = isinstance(self._last, int) and decision.get("n") == self._last + 1
        self._last = decision.get("n")
        if decision["event"] == "activate":
            self.newest, self._count = -1, 0
        elif decision["event"] == "state":
            count = decision.get("inferences")
            if count != self._count:  # without a loss, it was this state
                self.newest = number if whole and self._count is not None else -1
            self._count = count


def _is_stamp(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**63


def _is_point(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 3
        and all(isinstance(each, (int, float)) for each in value)
    )
