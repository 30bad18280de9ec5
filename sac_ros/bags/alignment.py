# SPDX-License-Identifier: Apache-2.0
"""States, the goal that stood for each, and the command that answered it, row by row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sac_ros.bags.clock import GAP_PERIODS, Timeline, choose_clock, state_times
from sac_ros.bags.columns import Spool, blocks, finite_rows, take_rows
from sac_ros.bags.decisions import NodeView, node_view
from sac_ros.bags.recording import Recording
from sac_ros.bags.result import RecordingFacts, StreamFacts
from sac_ros.bags.streams import Stream
from sac_ros.utils.errors import BagError

Array = NDArray[np.float64]

NO_GOAL = -1
"""The row of `Aligned.goal_row` for a state before the first goal."""


ABSURD = 1e9
"""No angle, speed or torque is as large: what is was made by damage, and its square overflows."""


@dataclass
class Aligned:
    """The m states that carry figures, and what belongs to each; n joints in the policy's order.

    Attributes:
        time_s: [m] s since the recording's first state, on the chosen clock.
        received_ns: [m] when each was recorded.
        stamp_ns: [m] of its header; 0 without.
        segment: [m] counts up after every gap.
        period_s: the median interval of the states.
        position, velocity: [m, n] rad, rad/s.
        goals: [g, 3] as recorded, with `goal_frames` [g], and `goal_row` [m] into them.
        view: what policy_node's own log tells; None where the bag has none.
        commanded: [c] the states that a command answers, ascending.
        torque: [c, n] N·m, those commands.
        facts: what was dropped on the way, and the rest that is worth telling.
    """

    time_s: Array
    received_ns: NDArray[np.int64]
    stamp_ns: NDArray[np.int64]
    segment: NDArray[np.int32]
    period_s: float
    position: Array
    velocity: Array
    goals: Array
    goal_frames: tuple[str, ...]
    goal_row: NDArray[np.int64]
    view: NodeView | None
    commanded: NDArray[np.intp]
    torque: Array
    facts: RecordingFacts


def align(
    recording: Recording,
    joint_names: tuple[str, ...],
    clock: str,
    start_s: float | None,
    end_s: float | None,
    spool: Spool,
) -> Aligned:
    """Join the streams of a recording.

    A command with a stamp belongs to the state with the same stamp; one without, to the newest
    state that was recorded before it, at most three periods old. A goal stands from the first
    state recorded after it.

    Args:
        recording: what was read.
        joint_names: [n] the policy's.
        clock: see `choose_clock`.
        start_s: seconds since the first state from which on states count; None: all.
        end_s: until which they count; None: all.
        spool: where the arrays go.

    Raises:
        BagError: nothing is left between start and end.
    """
    columns = recording.columns["states"]
    chosen = choose_clock(columns, clock, recording.states.topic)
    line = state_times(columns, chosen.name)
    dropped = recording.states.dropped + line.dropped
    kept, inside = _usable(columns, line, start_s, end_s, dropped)
    if not len(kept):
        raise BagError(
            f"{recording.states.topic} has no usable joint state between --start "
            f"{start_s or 0:g} s and --end {'the end' if end_s is None else f'{end_s:g} s'}: it "
            f"has {len(line.time_s)} in {line.time_s[-1] if len(line.time_s) else 0:.3f} s"
        )
    received = take_rows(spool, columns["received_ns"], kept)
    stamp = take_rows(spool, columns["stamp_ns"], kept)
    commands = recording.columns.get("commands")
    lost: Counter[str] = Counter()
    commanded, answers = np.empty(0, np.intp), np.empty(0, np.intp)
    if commands is not None:
        every = columns["received_ns"]  # of all states: a part may have one
        period_ns = float(np.median(np.diff(every))) if len(every) > 1 else np.inf
        exact = recording.named_commands and bool(np.any(commands["stamp_ns"]))
        pair = _by_stamp if exact else _by_time
        asked = np.flatnonzero(_asked(commands["received_ns"], received, every, start_s, end_s))
        times = {name: commands[name][asked] for name in ("stamp_ns", "received_ns")}
        commanded, answers, lost = pair(times, stamp if exact else received, period_ns)
        answers = asked[answers]
    torque = (
        take_rows(spool, commands["effort"], answers)
        if commands is not None
        else np.empty((0, len(joint_names)))
    )
    view = node_view(recording.decisions, stamp)
    for part in blocks(len(torque)):
        torque[part][~(np.abs(torque[part]) < ABSURD)] = np.nan  # counted as not finite
    goals, frames, goal_row = (
        (view.goals, view.frames, view.goal_row) if view else _goals(recording, received)
    )
    time_s = line.time_s[inside]
    facts = RecordingFacts(
        joint_names=joint_names,
        clock=chosen,
        states=_facts(recording.states, recording.joints, len(kept), dropped, line.period_s, line),
        commands=_command_facts(recording, len(commanded), lost, columns, line),
        goals=_goal_facts(recording),
        goal_source=_goal_source(recording, view is not None),
        start_s=float(time_s[0]),
        end_s=float(time_s[-1]),
        first_command_s=float(time_s[commanded[0]]) if len(commanded) else None,
        last_command_s=float(time_s[commanded[-1]]) if len(commanded) else None,
        effort_filled=bool(_varies(columns["effort"]).any()),
        still_joints=tuple(
            name
            for name, moves in zip(joint_names, _varies(columns["velocity"]), strict=True)
            if not moves
        ),
    )
    return Aligned(
        time_s=time_s,
        received_ns=received,
        stamp_ns=stamp,
        segment=line.segment[inside],
        period_s=line.period_s,
        position=take_rows(spool, columns["position"], kept),
        velocity=take_rows(spool, columns["velocity"], kept),
        goals=goals,
        goal_frames=frames,
        goal_row=goal_row,
        view=view,
        commanded=commanded,
        torque=torque,
        facts=facts,
    )


def _usable(
    columns: Mapping[str, NDArray[Any]],
    line: Timeline,
    start_s: float | None,
    end_s: float | None,
    dropped: Counter[str],
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the rows of usable states among all, and among those of the timeline."""
    inside = np.ones(len(line.time_s), dtype=bool)
    if start_s is not None:
        inside &= line.time_s >= start_s
    if end_s is not None:
        inside &= line.time_s <= end_s
    chosen = np.flatnonzero(inside)
    finite = np.ones(len(chosen), dtype=bool)
    for part in blocks(len(chosen)):
        rows = line.kept[chosen[part]]
        for name in ("position", "velocity"):
            finite[part] &= finite_rows(columns[name][rows], ABSURD)
    if not finite.all():
        dropped[f"not finite, or {ABSURD:g} and more"] += int((~finite).sum())
    chosen = chosen[finite]
    return line.kept[chosen], chosen


def _asked(
    arrived: NDArray[np.int64],
    part: NDArray[np.int64],
    every: NDArray[np.int64],
    start_s: float | None,
    end_s: float | None,
) -> NDArray[np.bool_]:
    """Tell which commands are asked about: all, or those that came with the chosen states.

    From when each command (``arrived``), each state of the part and each at all were received, ns.
    """
    asked = np.ones(len(arrived), dtype=bool)
    if start_s is not None:
        asked &= arrived >= part[0]
    later = every[every > part[-1]]
    if end_s is not None and len(later):
        asked &= arrived < later.min()
    return asked


Pairs = tuple[NDArray[np.intp], NDArray[np.intp], Counter[str]]
"""States, the command of each, and the reason to how many commands have none."""


def _by_stamp(
    commands: Mapping[str, NDArray[Any]], stamp: NDArray[np.int64], _period_ns: float
) -> Pairs:
    order = np.argsort(stamp, kind="stable")
    wanted = commands["stamp_ns"]
    place = np.minimum(np.searchsorted(stamp[order], wanted), len(stamp) - 1)
    state = order[place]
    found = (stamp[state] == wanted) & (wanted != 0)
    lost = Counter({"answers no state in the bag": int((~found).sum())})
    return _first_each(state, found, lost)


def _by_time(
    commands: Mapping[str, NDArray[Any]], received: NDArray[np.int64], period_ns: float
) -> Pairs:
    wanted = commands["received_ns"]
    state = np.searchsorted(received, wanted, side="right") - 1
    age = wanted - received[np.maximum(state, 0)]
    found = (state >= 0) & (age <= GAP_PERIODS * period_ns)
    lost = Counter({"no state shortly before it": int((~found).sum())})
    return _first_each(state, found, lost)


def _first_each(state: NDArray[np.intp], found: NDArray[np.bool_], lost: Counter[str]) -> Pairs:
    rows = np.flatnonzero(found)
    states, first = np.unique(state[rows], return_index=True)
    lost["an earlier one answers the same state"] = len(rows) - len(states)
    return states, rows[first], +lost


def _goals(
    recording: Recording, received: NDArray[np.int64]
) -> tuple[Array, tuple[str, ...], NDArray[np.int64]]:
    """Return the goals, their frames, and the row of the goal that stood for each state."""
    none = np.full(len(received), NO_GOAL, dtype=np.int64)
    if recording.goals is None:
        return np.empty((0, 3)), (), none
    columns = recording.columns["goals"]
    frames = tuple(recording.goals.frames[int(each)] for each in columns["frame"][:, 0])
    since = np.searchsorted(columns["received_ns"], received, side="right") - 1
    return columns["goal"], frames, since.astype(np.int64)


def _goal_source(recording: Recording, by_node: bool) -> str:
    if by_node and recording.roles.decisions:
        return f"as policy_node took them, from {recording.roles.decisions.name}"
    return f"from {recording.goals.topic}" if recording.goals else "none were recorded"


def _facts(
    stream: Stream,
    joints: tuple[str, ...],
    used: int,
    dropped: Counter[str],
    period_s: float,
    line: Timeline | None,
) -> StreamFacts:
    return StreamFacts(
        topic=stream.topic,
        type=stream.kind,
        joints=joints,
        read=stream.read,
        used=used,
        dropped=dict(sorted((+dropped).items())),
        rate_hz=1.0 / period_s if period_s > 0.0 else None,
        gaps=line.gaps if line else 0,
        longest_gap_s=line.longest_gap_s if line else 0.0,
    )


def _command_facts(
    recording: Recording,
    used: int,
    lost: Counter[str],
    states: Mapping[str, NDArray[Any]],
    line: Timeline,
) -> StreamFacts | None:
    if recording.commands is None:
        return None
    received = recording.columns["commands"]["received_ns"]
    # Commands have the recorder's times only; the states tell how fast the chosen clock runs.
    span = float(states["received_ns"][-1] - states["received_ns"][0])
    scale = float(line.time_s[-1]) / span if span > 0.0 else 1e-9
    period = float(np.median(np.diff(received))) * scale if len(received) > 1 else 0.0
    dropped = recording.commands.dropped + lost
    return _facts(recording.commands, recording.joints, used, dropped, period, None)


def _goal_facts(recording: Recording) -> StreamFacts | None:
    if recording.goals is None:
        return None
    count = len(recording.columns["goals"]["received_ns"])
    return _facts(recording.goals, (), count, recording.goals.dropped, 0.0, None)


def _varies(column: Array) -> NDArray[np.bool_]:
    """Tell of each joint whether its values ever change: a constant is no measurement."""
    varies = np.zeros(column.shape[1], dtype=bool)
    for part in blocks(len(column)):
        varies |= (column[part] != column[0]).any(axis=0) & np.isfinite(column[part]).any(axis=0)
    return varies
