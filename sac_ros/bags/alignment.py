# SPDX-License-Identifier: Apache-2.0
"""States, the goal that stood for each, and the command that answered it, row by row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sac_ros.bags.arrival import arrival_times
from sac_ros.bags.clock import GAP_PERIODS, Timeline, choose_clock, state_times
from sac_ros.bags.columns import Array, Spool, blocks, finite_rows, take_rows
from sac_ros.bags.discovery import OWN_TORQUES, last_part
from sac_ros.bags.recording import ReadingOptions, Recording
from sac_ros.bags.result import RecordingFacts, StreamFacts
from sac_ros.utils.errors import BagError

_SAME_STAMPS = 0.5  # of the commands; own times meet a state's by chance, and states get lost
_ABSURD = 1e9  # no angle, speed or torque is as large; damage is, and its square overflows


@dataclass
class Aligned:
    """The m states that carry figures, and what belongs to each; n joints in the policy's order.

    Attributes:
        time_s: [m] s since the recording's first state, on the chosen clock.
        received_ns: [m] when each was recorded.
        segment: [m] counts up after every gap.
        period_s: the median interval of the states.
        position, velocity: [m, n] rad, rad/s.
        effort: [m, n] N·m, as measured; None where it is not filled.
        number: [m] ascending, the state's place among all messages of its topic.
        commanded: [c] the states that a command answers, ascending.
        torque: [c, n] N·m, those commands.
        command_time_s: [c] when they came: with a stamp the state's time, else of arrival.
        command_jitter_s: what those times are uncertain by.
        steps: one sentence for each way in which the clock was set.
        facts: what was dropped on the way, and what else is worth a line.
        spool: where large arrays go.
    """

    time_s: Array
    received_ns: NDArray[np.int64]
    segment: NDArray[np.int32]
    period_s: float
    position: Array
    velocity: Array
    effort: NDArray[np.float32] | None
    number: NDArray[np.int64]
    commanded: NDArray[np.intp]
    torque: Array
    command_time_s: Array
    command_jitter_s: float
    steps: tuple[str, ...]
    facts: RecordingFacts
    spool: Spool

    def at(self, rows: NDArray[np.intp]) -> tuple[Array, NDArray[np.int32]]:
        """Return the times and segments of some states."""
        return self.time_s[rows], self.segment[rows]


def align(recording: Recording, options: ReadingOptions) -> Aligned:
    """Join the streams of a recording.

    A command with a state's stamp belongs to that state. Without stamps, or with those of another
    time, it belongs to the newest state that was recorded before it, at most three periods old.

    Raises:
        BagError: nothing is left between start and end.
    """
    columns, topic, spool = recording.states.columns, recording.states.topic, recording.spool
    clock = choose_clock(columns, options.clock, topic)
    line = state_times(columns, clock.name)
    dropped = recording.states.dropped + line.dropped
    inside = _usable(columns, line, options, dropped)
    if not len(inside):
        end_s = "the end" if options.end_s is None else f"{options.end_s:g} s"
        raise BagError(
            f"{topic} has no usable joint state between --start {options.start_s or 0:g} s and "
            f"--end {end_s}: it has {len(line.time_s)} in "
            f"{line.time_s[-1] if len(line.time_s) else 0:.3f} s"
        )
    kept, time_s = (take_rows(spool, each, inside) for each in (line.kept, line.time_s))
    received = take_rows(spool, columns["received_ns"], kept)
    stamp = take_rows(spool, columns["stamp_ns"], kept)
    join = _command_join(recording)
    commanded, answers, lost = _commands(recording, received, stamp, options, join)
    names, torque = recording.joint_names, np.empty((0, len(recording.joint_names)))
    if recording.commands is not None:
        torque = take_rows(spool, recording.commands.columns["effort"], answers)
    for part in blocks(len(torque)):
        torque[part][~(np.abs(torque[part]) < _ABSURD)] = np.nan  # counted as not finite
    came = time_s[commanded], 0.0
    if recording.commands is not None and _command_join(recording) == "receipt" and len(answers):
        arrived = take_rows(spool, recording.commands.columns["received_ns"], answers)
        came = arrival_times(arrived, received, time_s)
    filled = bool(_varies(columns["effort"]).any())
    goals = recording.goals
    if recording.activation:
        source = f"as policy_node took them, from {recording.topics.events}"
    else:
        source = f"from {goals.topic}" if goals else "none were recorded"
    about = line.period_s, line.gaps, line.longest_gap_s
    facts = RecordingFacts(
        joint_names=names,
        clock=clock,
        states=recording.states.facts(len(kept), dropped, *about),
        commands=_command_facts(recording, len(commanded), lost, line),
        command_kind=recording.command_kind or None,
        command_join=join,
        goals=goals.facts(len(goals.columns["received_ns"]), goals.dropped, 0.0)
        if goals
        else None,
        goal_source=source,
        start_s=float(time_s[0]),
        end_s=float(time_s[-1]),
        first_command_s=float(time_s[commanded[0]]) if len(commanded) else None,
        last_command_s=float(time_s[commanded[-1]]) if len(commanded) else None,
        effort_filled=filled,
        still_joints=tuple(np.array(names)[~_varies(columns["velocity"])].tolist()),
    )
    return Aligned(
        time_s=time_s,
        received_ns=received,
        segment=take_rows(spool, line.segment, inside),
        period_s=line.period_s,
        position=take_rows(spool, columns["position"], kept),
        velocity=take_rows(spool, columns["velocity"], kept),
        effort=_measured(spool, columns["effort"], kept) if filled else None,
        number=take_rows(spool, columns["number"], kept),
        commanded=commanded,
        torque=torque,
        command_time_s=came[0],
        command_jitter_s=came[1],
        steps=line.steps,
        facts=facts,
        spool=spool,
    )


def _measured(spool: Spool, effort: NDArray[Any], kept: NDArray[np.intp]) -> NDArray[np.float32]:
    """Return the rows of an effort that are drawn; what no joint has is NaN."""
    rows = spool.empty((len(kept), *effort.shape[1:]), np.float32)
    for part in blocks(len(kept)):
        taken = effort[kept[part]]
        rows[part] = np.where(np.abs(taken) < _ABSURD, taken, np.nan)
    return rows


def _usable(
    columns: Mapping[str, NDArray[Any]],
    line: Timeline,
    options: ReadingOptions,
    dropped: Counter[str],
) -> NDArray[np.intp]:
    """Return which states of the timeline are usable, and count what is not finite."""
    end_s = np.inf if options.end_s is None else options.end_s
    chosen = np.flatnonzero((line.time_s >= (options.start_s or 0.0)) & (line.time_s <= end_s))
    finite = np.ones(len(chosen), dtype=bool)
    for part in blocks(len(chosen)):
        rows = line.kept[chosen[part]]
        for name in ("position", "velocity"):
            finite[part] &= finite_rows(columns[name][rows], _ABSURD)
    dropped[f"not finite, or {_ABSURD:g} and more"] += int((~finite).sum())
    return chosen[finite]


def _command_join(recording: Recording) -> str | None:
    """Return ``stamp`` or ``receipt``, by what a command finds its state; None without any.

    A controller may stamp its commands with its own time. policy_node never does: a torque of its
    own that answers no state lost that state.
    """
    if recording.commands is None:
        return None
    stamps = recording.commands.columns["stamp_ns"]
    if not stamps.any():
        return "receipt"
    if last_part(recording.commands.topic) in OWN_TORQUES:
        return "stamp"
    same = np.isin(stamps, recording.states.columns["stamp_ns"]) & (stamps != 0)
    return "stamp" if same.mean() >= _SAME_STAMPS else "receipt"


def _commands(
    recording: Recording,
    received: NDArray[np.int64],
    stamp: NDArray[np.int64],
    options: ReadingOptions,
    join: str | None,
) -> tuple[NDArray[np.intp], NDArray[np.intp], Counter[str]]:
    """Return the states with a command, the command of each, and why how many have no state.

    ``received`` and ``stamp`` [m] are of the states that carry figures. Only the commands that
    came with them, between start and end, are asked about.
    """
    if recording.commands is None:
        return np.empty(0, np.intp), np.empty(0, np.intp), Counter()
    columns, every = recording.commands.columns, recording.states.columns["received_ns"]
    arrived = columns["received_ns"]
    asked = np.ones(len(arrived), dtype=bool)
    later = every[every > received[-1]]
    if options.start_s is not None:
        asked &= arrived >= received[0]
    if options.end_s is not None and len(later):
        asked &= arrived < later[0]
    rows = np.flatnonzero(asked)
    if join == "stamp":
        wanted, why = columns["stamp_ns"][rows], "answers no state in the bag"
        order = np.argsort(stamp, kind="stable")
        state = order[np.minimum(np.searchsorted(stamp[order], wanted), len(stamp) - 1)]
        found = (stamp[state] == wanted) & (wanted != 0)
    else:
        wanted, why = arrived[rows], "no state shortly before it"
        period_ns = float(np.median(np.diff(every))) if len(every) > 1 else np.inf
        state = np.searchsorted(received, wanted, side="right") - 1
        age = wanted - received[np.maximum(state, 0)]
        found = (state >= 0) & (age <= GAP_PERIODS * period_ns)
    rows, state = rows[found], state[found]
    states, first = np.unique(state, return_index=True)
    lost = Counter({why: int((~found).sum())})
    lost["an earlier one answers the same state"] = len(rows) - len(states)
    return states, rows[first], lost


def _command_facts(
    recording: Recording, used: int, lost: Counter[str], line: Timeline
) -> StreamFacts | None:
    if (commands := recording.commands) is None:
        if (topic := recording.command_topic) is None:
            return None
        return StreamFacts(topic.name, topic.type, (), topic.messages, 0, {}, None, 0, 0.0)
    received, states = commands.columns["received_ns"], recording.states.columns["received_ns"]
    # Commands have the recorder's times only; the states have the rate of the chosen clock.
    span = float(states[-1] - states[0])
    scale = float(line.time_s[-1]) / span if span > 0.0 else 1e-9
    period = float(np.median(np.diff(received))) * scale if len(received) > 1 else 0.0
    return commands.facts(used, commands.dropped + lost, period)


def _varies(column: Array) -> NDArray[np.bool_]:
    """Return of each joint whether its values ever change: a constant is no measurement."""
    varies = np.zeros(column.shape[1], dtype=bool)
    for part in blocks(len(column)):
        varies |= (column[part] != column[0]).any(axis=0) & np.isfinite(column[part]).any(axis=0)
    return varies
