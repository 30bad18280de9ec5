# SPDX-License-Identifier: Apache-2.0
"""What is in bags, before any policy: topics, joints, rates and health."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from sac_ros.bags.clock import choose_clock, state_times
from sac_ros.bags.columns import Spool
from sac_ros.bags.reader.bag import Bag
from sac_ros.bags.recording import names_in, read_streams, topics_of
from sac_ros.bags.result import BagFacts, ClockFacts, StreamFacts
from sac_ros.bags.streams import JointStream
from sac_ros.cdr import JOINT_STATE
from sac_ros.utils.errors import BagError

_FIELDS = ("position", "velocity", "effort")


@dataclass(frozen=True)
class JointStates:
    """One topic of joint states."""

    stream: Annotated[StreamFacts, "its joints, rate, gaps, and messages that are of no use."]
    clock: Annotated[
        ClockFacts | None, "that of the rate and the gaps; None where none is usable."
    ]
    filled: Annotated[dict[str, str], "of each field: ``measured``, ``constant`` or ``empty``."]
    still_joints: Annotated[tuple[str, ...], "those whose velocity never changes."]
    steps: Annotated[tuple[str, ...], "one sentence for each way in which the clock was set."] = ()


@dataclass(frozen=True)
class Contents:
    """Everything that ``evaluate_bag`` reports of bags without a policy."""

    bags: Annotated[tuple[BagFacts, ...], "in the order of their beginning."]
    joint_states: Annotated[tuple[JointStates, ...], "every topic of that type, of all bags."]


def read_contents(bags: Sequence[Bag], spool: Spool) -> Contents:
    """Look through bags, which are joined into one recording."""
    streams = []
    for topic in topics_of(bags).values():
        if topic.type == JOINT_STATE and topic.messages:
            try:
                names = names_in(bags, topic)
            except BagError:  # no message of it can be read, as its facts will show
                names = []
            streams.append(JointStream(topic, spool, names, ()))
    read_streams(bags, streams)
    states = tuple(map(_joint_states, streams))
    return Contents(tuple(bag.facts({}) for bag in bags), states)


def _joint_states(stream: JointStream) -> JointStates:
    columns, dropped = stream.columns, stream.dropped
    if not len(columns["received_ns"]):
        nothing = dict.fromkeys(_FIELDS, "empty")
        return JointStates(stream.facts(0, dropped, 0.0), None, nothing, ())
    clock = choose_clock(columns, "", stream.topic)
    line = state_times(columns, clock.name)
    about = line.period_s, line.gaps, line.longest_gap_s
    still = ~_changes(columns["velocity"])
    return JointStates(
        stream=stream.facts(len(line.kept), dropped + line.dropped, *about),
        clock=clock,
        filled={field: _filled(columns[field]) for field in _FIELDS},
        still_joints=tuple(np.array(stream.joints)[still].tolist()),
        steps=line.steps,
    )


def _changes(column: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.asarray(np.any(column != column[0], axis=0) & np.isfinite(column).any(axis=0))


def _filled(column: NDArray[np.float64]) -> str:
    if not np.isfinite(column).any():
        return "empty"
    return "measured" if _changes(column).any() else "constant"


def contents_text(contents: Contents) -> str:
    """Return the contents for a terminal."""
    lines: list[str] = []
    for bag in contents.bags:
        size = f"{bag.bytes / 1e6:.1f} MB, {bag.duration_s:.3f} s"
        lines.append(f"bag {bag.path}: {bag.storage}, {size}")
        width = max((len(topic.name) for topic in bag.topics), default=0)
        for topic in bag.topics:
            lines.append(f"  {topic.name:<{width}}  {topic.messages:>8}  {topic.type}")
        lines += [f"  warning: {warning}" for warning in bag.warnings]
    for each in contents.joint_states:
        lines += ["", *_states_text(each)]
    if not contents.joint_states:
        lines += ["", f"no topic of type {JOINT_STATE}: there is nothing to evaluate"]
    return "\n".join(lines)


def _states_text(states: JointStates) -> list[str]:
    stream = states.stream
    rate = "" if stream.rate_hz is None else f" at {stream.rate_hz:.1f} Hz"
    lines = [f"{stream.topic}: {stream.used} of {stream.read} joint states usable{rate}"]
    lines.append(f"  joints    {', '.join(stream.joints) or 'none can be read'}")
    if states.clock:
        lines.append(f"  clock     {states.clock.name}: {states.clock.why}")
    words = ", ".join(f"{field} {how}" for field, how in states.filled.items())
    lines.append(f"  fields    {words}")
    if states.still_joints and states.filled["velocity"] == "measured":
        lines.append(f"  still     the velocity of {', '.join(states.still_joints)} never changes")
    lines += [f"  clock     {step}" for step in states.steps]
    if stream.gaps:
        lines.append(f"  gaps      {stream.gaps}, the longest {stream.longest_gap_s:.3f} s")
    lines += [f"  not used  {count}: {why}" for why, count in stream.dropped.items()]
    return lines
