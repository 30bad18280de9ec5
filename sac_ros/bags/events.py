# SPDX-License-Identifier: Apache-2.0
"""What happened to a policy_node, read from bags in the order in which it happened.

Its own log, ``~/events``, gives the exact order: a goal and a state that come at nearly the same
time are recorded in either, and which the node saw first is in its log alone. Without a log the
states and goals are taken by time. See `sac_ros.policy.event_log` for the events.
"""

from __future__ import annotations

import heapq
import json
import struct
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

from sac_ros.bags.clock import StateClock
from sac_ros.bags.reader.bag import Bag
from sac_ros.cdr import JOINT_STATE, POSE, TEXT, CdrError, read_layout
from sac_ros.policy.runtime import Policy
from sac_ros.utils.errors import BagError, PolicyFileError

_NUMBER = (int, float)
_NO_TURN = (0.0, 0.0, 0.0, 1.0)  # the quaternion of a goal without one
_LATE_NS = 1_000_000_000  # a state that comes later than this after its event was not recorded
OF_BAG = 2**40
"""The numbers of a bag's messages begin at so much times the number of the bag."""

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
_IF_THERE: dict[str, Any] = {
    "inferences": int,
    "ran_on": int,
    "stamp": int,
    "late": bool,
    "at_once": bool,
    "faults": list,
    "refused": str,
    "model_path": str,
}
_LARGEST = 1e12  # s: no clock has more; and numbers that are no float's are damage


def read_event(cdr: bytes) -> dict[str, Any]:
    """Return a message of ``~/events`` as `EventLog` wrote it.

    Raises:
        ValueError: it is none; the sentence's end is the reason, such as ``it is no JSON``.
    """
    try:
        record = json.loads(_with_new_names(read_layout(cdr, TEXT).texts["data"]))
    except (ValueError, RecursionError) as error:
        raise ValueError("it is no JSON") from error
    if not isinstance(record, dict):
        raise ValueError("it is no JSON object")
    _check(record, {"n": int, "event": str, "time": _NUMBER})
    _check(record, _FIELDS.get(record["event"], {}))
    _check(record, {name: kind for name, kind in _IF_THERE.items() if name in record})
    if not abs(record["time"]) < _LARGEST:
        raise ValueError(f"its time must be s; got {record['time']}")
    if not 0 <= record.get("stamp", 0) < 2**63:
        raise ValueError(f"its stamp must be ns in 63 bits; got {record['stamp']}")
    goal = record["goal"] if record["event"] == "goal" else None
    if goal is not None and (len(goal) not in (3, 7) or not all(map(_is_double, goal))):
        raise ValueError(f"its goal must be three numbers, seven or null; got {goal}")
    if record["event"] == "set_parameter" and not _is_double(record["value"]):
        raise ValueError(f"its value must be a number; got {record['value']}")
    return record


def _with_new_names(text: str) -> str:
    """The names of ``max_tip_speed`` and its fault in recordings of 0.7.0 and older."""
    return text.replace('tip_speed"', 'end_effector_speed"')


def _check(record: dict[str, Any], fields: dict[str, Any]) -> None:
    for name, kind in fields.items():
        if not isinstance(record.get(name), kind):
            raise ValueError(f"its field {name} is missing or of a wrong type")


def _is_double(value: Any) -> bool:
    return isinstance(value, float) or (isinstance(value, int) and abs(value) < 2**63)


class RecordedGoal(NamedTuple):
    """A goal as it was sent."""

    values: tuple[float, ...]  # m, and quaternion x y z w: [7]
    frame: str
    stamp_ns: int = 0  # of its header; 0: none


def goal_from(values: Iterable[float], frame: str, stamp_ns: int = 0) -> RecordedGoal:
    """Return a goal of three or seven numbers."""
    return RecordedGoal((*map(float, values), *_NO_TURN)[:7], frame, stamp_ns)


@dataclass(frozen=True, slots=True)
class ReplayEvent:
    """One thing that happens to a policy_node."""

    kind: str  # the event of a record, such as "state"; or "lost", what a recording has not
    time: float  # s, of the clock that the node decides by
    bag_ns: int  # when the bag received it
    state: bytes | None = None  # CDR of a state; of an activate, that of one from about that time
    number: int = -1  # of a state, its place among all messages of its topic
    goal: RecordedGoal | None = None  # of a goal
    record: Mapping[str, Any] = field(default_factory=dict)  # of ~/events
    policy: Policy | None = None  # of a swap
    late: bool = False  # of a state: the inference was too late; of a clear_fault: it was refused
    applied: tuple[float, ...] | None = None  # N·m, what the recorded node applied to this state


class ReplayTopics(NamedTuple):
    """The topics that are replayed; empty: there is none, or it is of no interest."""

    states: str
    goals: str = ""
    events: str = ""
    applied_torque: str = ""


@dataclass
class Lost:
    """What a recording turned out not to have, from the first activation on."""

    begun: bool = False  # whether there was one
    states: int = 0  # events whose joint state is not in the bag
    events: int = 0  # gaps in their count
    swaps: int = 0  # to a policy whose file is not where it was

    def __str__(self) -> str:
        """One clause for each thing that is missing; empty where nothing is."""
        each = (
            (self.states, "the joint states of {} events"),
            (self.events, "{} events"),
            (self.swaps, "the policies of {} swaps"),
        )
        return " and ".join(words.format(count) for count, words in each if count)


class _Message(NamedTuple):
    topic: str
    received_ns: int
    sent_ns: int
    cdr: bytes
    number: int


def _messages(bags: Sequence[Bag], topics: Sequence[str]) -> Iterator[_Message]:
    """Yield the messages of some topics by time of receipt, up to a damage."""
    each = [_numbered(bag, {*topics} - {""}, i * OF_BAG) for i, bag in enumerate(bags)]
    if len(each) == 1:
        return each[0]
    return heapq.merge(*each, key=itemgetter(1))


def _numbered(bag: Bag, topics: set[str], first: int) -> Iterator[_Message]:
    counts = dict.fromkeys(topics, first)
    for batch in bag.batches(topics):
        for topic, received_ns, sent_ns, cdr in batch:
            yield _Message(topic, received_ns, sent_ns, cdr, counts[topic])
            counts[topic] += 1


def stamp_of(cdr: bytes) -> int:
    """Return the stamp in ns of a message that begins with a header; 0 where it is too short."""
    if len(cdr) < 12:
        return 0
    seconds, nanoseconds = struct.unpack_from("<iI" if cdr[1] == 1 else ">iI", cdr, 4)
    return int(seconds * 1_000_000_000 + nanoseconds)


def _event_entry(message: _Message, strict: bool) -> dict[str, Any] | None:
    try:
        return read_event(message.cdr)
    except ValueError as error:
        if not strict:
            return None
        raise BagError(
            f"a message of {message.topic} is no event of a policy_node: {error}"
        ) from error


def activation(
    bags: Sequence[Bag], topics: ReplayTopics, *, strict: bool = True
) -> dict[str, Any]:
    """Return the first recorded ``activate`` record, ``{}`` where there is none.

    ``strict``: whether what is no event is refused with a BagError; or else it is passed over.
    """
    if topics.events:
        for message in _messages(bags, [topics.events]):
            record = _event_entry(message, strict)
            if record and record["event"] == "activate":
                return record
    return {}


# ---- by the node's own log ---------------------------------------------------------------------


class _Pool(defaultdict[int, deque[_Message]]):
    """Joint states or torques of the last seconds, by stamp."""

    def __init__(self) -> None:
        super().__init__(deque)
        self.newest: _Message | None = None

    def add(self, message: _Message) -> None:
        self.newest = message
        self[stamp_of(message.cdr)].append(message)

    def oldest(self) -> _Message | None:
        """Return the first that nobody took, or else the last of all."""
        waiting = [each[0] for each in self.values() if each]
        return min(waiting, key=itemgetter(1)) if waiting else self.newest

    def take(self, stamp: int) -> _Message | None:
        return self[stamp].popleft() if self.get(stamp) else None

    def forget(self, before_ns: int) -> None:
        for stamp, waiting in list(self.items()):
            if not waiting or waiting[-1].received_ns < before_ns:
                del self[stamp]


def exact_events(
    bags: Sequence[Bag],
    topics: ReplayTopics,
    lost: Lost,
    *,
    swaps: bool = True,
    strict: bool = True,
) -> Iterator[ReplayEvent]:
    """Yield the events of bags with ``~/events``.

    They are streamed: an event waits until its joint state and its torque have been read. What is
    not there is counted in ``lost``, and a ``lost`` event stands in its place. ``swaps``: whether
    other policies take over, as they did; their files must be where they were. ``strict``: as for
    `activation`; an event that is passed over is lost.

    Raises:
        BagError: a message of the log is no event.
    """
    states, torques = _Pool(), _Pool()
    pending: deque[tuple[_Message, dict[str, Any]]] = deque()
    wanted = (topics.states, topics.events, topics.applied_torque)
    count, forgotten = 0, 0  # the last event's; only of those from the activation on
    has_torques = bool(topics.applied_torque)

    def told(message: _Message, record: dict[str, Any], now_ns: int) -> bool:
        if now_ns - message.received_ns > _LATE_NS:
            return True
        if record["event"] == "activate":
            return states.newest is not None
        if record["event"] != "state":
            return True
        stamp = record["stamp"]
        wants_torque = has_torques and record["applied"]
        return bool(states.get(stamp) and (not wants_torque or torques.get(stamp)))

    for message in _messages(bags, wanted):
        now_ns = message.received_ns
        if message.topic == topics.states:
            states.add(message)
        elif message.topic == topics.applied_torque:
            torques.add(message)
        else:
            record = _event_entry(message, strict)
            if record is None:
                continue
            if count and record["n"] > count + 1:
                lost.events += record["n"] - count - 1
                pending.append((message, {**record, "event": "lost"}))
            if count or record["event"] == "activate":
                count = record["n"]
            if swaps or record["event"] != "swap":
                pending.append((message, record))
        while pending and told(*pending[0], now_ns):
            yield from _event(*pending.popleft(), states, torques, lost)
        if now_ns - forgotten > _LATE_NS:
            forgotten = now_ns
            for pool in (states, torques):
                pool.forget(now_ns - 2 * _LATE_NS)
    while pending:
        yield from _event(*pending.popleft(), states, torques, lost)


def _event(
    message: _Message, record: dict[str, Any], states: _Pool, torques: _Pool, lost: Lost
) -> Iterator[ReplayEvent]:
    kind, time, bag_ns = record["event"], float(record["time"]), message.received_ns
    late = bool(record.get("late"))
    if kind == "state":
        found = states.take(record["stamp"])
        torque = torques.take(record["stamp"]) if record["stamp"] else None
        if found is None:
            lost.states += lost.begun
            yield ReplayEvent("lost", time, bag_ns, record=record)
            return
        yield ReplayEvent(
            *("state", time, found.received_ns, found.cdr, found.number),
            record=record,
            late=late,
            applied=None if torque is None else _efforts(torque.cdr),
        )
    elif kind == "goal":
        if record["goal"] is not None:  # what could not be read changed nothing
            goal = goal_from(record["goal"], record["frame"], record.get("stamp", 0))
            yield ReplayEvent(kind, time, bag_ns, goal=goal)
    elif kind == "activate":
        lost.begun = True
        state = states.oldest()
        yield ReplayEvent(kind, time, bag_ns, state and state.cdr)
    elif kind == "swap":
        policy = _recorded_policy(record)
        lost.swaps += policy is None
        yield ReplayEvent(kind, time, bag_ns, policy=policy)
    else:
        yield ReplayEvent(kind, time, bag_ns, record=record, late=bool(record.get("refused")))


def _efforts(cdr: bytes) -> tuple[float, ...] | None:
    """Return the torques of a message; None where it is damaged."""
    try:
        layout = read_layout(cdr, JOINT_STATE)
    except CdrError:
        return None
    start, count = layout.arrays["effort"]
    return struct.unpack_from(f"{layout.order}{count}d", cdr, start)


def _recorded_policy(record: Mapping[str, Any]) -> Policy | None:
    """Return the policy of a swap; None where its file is gone or has become another."""
    try:
        policy = Policy.load(Path(str(record.get("model_path", ""))))
    except PolicyFileError:
        return None
    return policy if policy.sha256 == record["sha256"] else None


# ---- by time -----------------------------------------------------------------------------------


def timed_events(
    bags: Sequence[Bag], topics: ReplayTopics, clock: str = ""
) -> Iterator[ReplayEvent]:
    """Yield the events of bags without ``~/events``: active from the first state on.

    The time is that of the states, which never turns back, on one of `CLOCKS`; empty: that of the
    first state's stamp, or else the recorder's. Goals that cannot be read are left out.
    """
    time, begun, clocks = 0.0, False, StateClock()
    for topic, received_ns, sent_ns, cdr, number in _messages(bags, topics[:2]):
        if topic == topics.goals:
            if goal := _read_goal(cdr):
                yield ReplayEvent("goal", time, received_ns, goal=goal)
            continue
        stamp_ns = stamp_of(cdr)
        clock = clock or ("header" if stamp_ns else "received")
        ns = {"header": stamp_ns, "received": received_ns, "sent": sent_ns}[clock]
        clocks.take(ns, received_ns)
        time = clocks.time_ns * 1e-9
        if not begun:
            begun = True
            yield ReplayEvent("activate", time, received_ns, cdr)
        yield ReplayEvent("state", time, received_ns, cdr, number)


def _read_goal(cdr: bytes) -> RecordedGoal | None:
    try:
        layout = read_layout(cdr, POSE)
    except CdrError:
        return None
    values = struct.unpack_from(f"{layout.order}7d", cdr, layout.arrays["pose"][0])
    return RecordedGoal(values, layout.texts["frame_id"], stamp_of(cdr))


# ---- another beginning -------------------------------------------------------------------------


def without_beginning(events: Iterable[ReplayEvent], begin_ns: int) -> Iterator[ReplayEvent]:
    """Yield the events from a time on (ns, of receipt), but first what stood by then.

    Before the first state that is left: the policy, the parameters, the activation, the goal and
    the emergency stop.
    """
    order = ("swap", "set_parameter", "activate", "goal", "emergency_stop")
    standing: dict[str, ReplayEvent] = {}
    begun = False
    for event in events:
        if begun:
            yield event
        elif event.bag_ns >= begin_ns and event.kind == "state":
            begun = True
            for each in sorted(standing.values(), key=lambda each: order.index(each.kind)):
                state = event.state if each.kind == "activate" else None
                yield replace(each, time=event.time, bag_ns=event.bag_ns, state=state)
            yield event
        elif event.kind == "deactivate":  # which forgets the goal, too
            standing.pop("activate", None)
            standing.pop("goal", None)
        elif event.kind == "emergency_stop" and not event.record["engaged"]:
            standing.pop(event.kind, None)
        elif event.kind == "set_parameter":
            standing[f"{event.kind} {event.record['name']}"] = event
        elif event.kind in order:
            standing[event.kind] = event


def with_goal(events: Iterable[ReplayEvent], goal: RecordedGoal) -> Iterator[ReplayEvent]:
    """Yield the events with one goal, given after each activation, in the place of theirs."""
    for event in events:
        if event.kind != "goal":
            yield event
        if event.kind == "activate":
            yield replace(event, kind="goal", state=None, goal=goal)
