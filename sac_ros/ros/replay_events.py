# SPDX-License-Identifier: Apache-2.0
"""What happened to a policy_node, read from a bag in the order in which it happened.

``~/events`` give the exact order; without them the states and goals are taken by time.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter
from pathlib import Path
from typing import Any

from geometry_msgs.msg import PoseStamped
from rclpy.serialization import deserialize_message
from rclpy.time import Time
from sensor_msgs.msg import JointState

from sac_ros.bags.discovery import AskedTopics, TopicFinder
from sac_ros.bags.events import read_event
from sac_ros.bags.reader.bag import Bag
from sac_ros.policy.runtime import Policy
from sac_ros.ros.policy.goal_reader import goal_message
from sac_ros.utils.errors import BagError, PolicyFileError


class ReplaySource(Bag):
    """An open bag, read as `evaluate_bag` reads it: whole or not. Use it as a context.

    Attributes:
        states, goals, events, applied_torque: topics; None where the bag has no such one,
            but for the states.
        start_ns: when the first message was received, ns since 1970.
        duration_s: from then to when the last one was.
    """

    def __init__(self, path: Path, states: str = "", goals: str = "") -> None:
        """Opens a bag's folder or its one file, with its only states and goals or those given.

        Raises:
            BagError: it cannot be read, or a topic cannot be told.
        """
        super().__init__(path)
        asked = AskedTopics(states, goals=goals, option="parameter {}s_topic")
        found = TopicFinder(self.topics, asked, f"bag {path}")
        try:
            self.states = found.states().name
            self.goals = getattr(found.goals(), "name", None)
        except BaseException:
            self.close()
            raise
        self.events = getattr(found.events(), "name", None)
        self.applied_torque = getattr(found.applied_torque(), "name", None)
        self.start_ns, end_ns = self.span_ns
        self.duration_s = (end_ns - self.start_ns) * 1e-9

    def activation(self) -> dict[str, Any]:
        """Return the first recorded ``activate`` record, ``{}`` where there is none."""
        for _, _, cdr in self.messages([self.events]):
            record = self.event_entry(cdr)
            if record["event"] == "activate":
                return record
        return {}

    def event_entry(self, cdr: bytes) -> dict[str, Any]:
        """Return a message of `events`; raises a `BagError` where it is none."""
        try:
            return read_event(cdr)
        except ValueError as error:
            raise BagError(
                f"bag {self.path}: a message of {self.events} is no event of a policy_node: "
                f"{error}"
            ) from error

    def read(self, cdr: bytes, kind: Any) -> Any:
        """Return a message of a class; raises a `BagError` where it is damaged."""
        try:
            return deserialize_message(cdr, kind)
        except Exception as error:  # what the middleware raises is its own
            raise BagError(f"bag {self.path} has a message that is no {kind.__name__}") from error

    def messages(self, topics: Sequence[str | None]) -> Iterator[tuple[str, int, bytes]]:
        """Yield (topic, ns of receipt, CDR) in the order of receipt, up to a damage."""
        for batch in self.batches({each for each in topics if each}):
            for topic, bag_ns, _, cdr in batch:
                yield topic, bag_ns, cdr


_LATE_NS = 1_000_000_000  # a state that comes later than this after its event was not recorded


@dataclass(frozen=True)
class ReplayEvent:
    """One thing that happens to a policy_node."""

    kind: str  # the event of a record, such as "state"; see `sac_ros.policy.event_log`
    time: float  # s, of the clock that the node decides by
    bag_ns: int  # when the bag received it
    state: JointState | None = None  # of a state; of an activate, one from about that time
    goal: PoseStamped | None = None  # of a goal
    record: Mapping[str, Any] = field(default_factory=dict)  # of ~/events, of a call
    policy: Policy | None = None  # of a swap
    late: bool = False  # of a state: the inference was too late; of a clear_fault: it was refused
    applied: tuple[float, ...] | None = None  # N·m, what the recorded node applied to this state


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


@dataclass
class Tally:
    """What a replay came to."""

    states: int = 0  # joint states that were replayed
    torques: int = 0  # torques that answer them
    compared: int = 0  # states whose recorded torque is known
    equal: int = 0  # how many of them got one that is equal to the last bit
    worst: float = 0.0  # N·m, the largest difference of the others

    def compare(self, torque: Sequence[float], recorded: Sequence[float]) -> None:
        """Note a torque [n], N·m, empty where there is none, and the one that was recorded."""
        self.compared += 1
        if tuple(torque) == tuple(recorded):
            self.equal += 1
        elif len(torque) == len(recorded):
            pairs = zip(torque, recorded, strict=True)
            self.worst = max(self.worst, *(abs(a - b) for a, b in pairs))


Write = Callable[[str, int, bytes], None]
"""(topic as in `RECORDED`, ns of receipt, CDR) → it is in the replay's own bag."""


class _Pool(defaultdict[int, deque[tuple[int, JointState]]]):
    """Joint states or torques of the last seconds, by stamp."""

    def __init__(self) -> None:
        super().__init__(deque)
        self.newest: JointState | None = None

    def add(self, bag_ns: int, message: JointState) -> None:
        self.newest = message
        self[stamp_ns(message)].append((bag_ns, message))

    def oldest(self) -> JointState | None:
        """Return the first that nobody took, or else the last of all."""
        waiting = [each[0] for each in self.values() if each]
        return min(waiting, key=itemgetter(0))[1] if waiting else self.newest

    def take(self, stamp: int) -> tuple[int, JointState] | None:
        return self[stamp].popleft() if self.get(stamp) else None

    def forget(self, before_ns: int) -> None:
        for stamp, waiting in list(self.items()):
            if not waiting or waiting[-1][0] < before_ns:
                del self[stamp]


def stamp_ns(message: JointState) -> int:
    """Return a header's stamp in ns."""
    return int(message.header.stamp.sec) * 1_000_000_000 + int(message.header.stamp.nanosec)


def exact_events(source: ReplaySource, lost: Lost, *, swaps: bool = True) -> Iterator[ReplayEvent]:
    """Yield the events of a bag with `~/events`.

    The bag is streamed: an event waits until its joint state and its torque have been read.
    What is not there is counted in ``lost``. ``swaps``: whether other policies take over, as
    they did; their files must be where they were.
    """
    states, torques = _Pool(), _Pool()
    pending: deque[tuple[int, dict[str, Any]]] = deque()
    assert source.events is not None
    topics = (source.states, source.events, source.applied_torque)
    count, forgotten = 0, 0  # the last event's; only of those from the activation on
    for topic, bag_ns, cdr in source.messages(topics):
        if topic == source.states:
            states.add(bag_ns, source.read(cdr, JointState))
        elif topic == source.applied_torque:
            torques.add(bag_ns, source.read(cdr, JointState))
        else:
            record = source.event_entry(cdr)
            lost.events += max(0, record["n"] - count - 1) if count else 0
            if count or record["event"] == "activate":
                count = record["n"]
            if swaps or record["event"] != "swap":
                pending.append((bag_ns, record))
        while pending and _is_told(pending[0], states, torques, bag_ns):
            yield from _event(*pending.popleft(), states, torques, lost)
        if bag_ns - forgotten > _LATE_NS:
            forgotten = bag_ns
            for pool in (states, torques):
                pool.forget(bag_ns - 2 * _LATE_NS)
    while pending:
        yield from _event(*pending.popleft(), states, torques, lost)


def _is_told(
    pending: tuple[int, dict[str, Any]], states: _Pool, torques: _Pool, now_ns: int
) -> bool:
    bag_ns, record = pending
    if now_ns - bag_ns > _LATE_NS:
        return True
    if record["event"] == "activate":
        return states.newest is not None
    if record["event"] != "state":
        return True
    stamp = record["stamp"]
    return bool(states.get(stamp) and (not record["applied"] or torques.get(stamp)))


def _event(
    bag_ns: int, record: dict[str, Any], states: _Pool, torques: _Pool, lost: Lost
) -> Iterator[ReplayEvent]:
    kind, time = record["event"], record["time"]
    if kind == "state":
        found = states.take(record["stamp"])
        torque = torques.take(record["stamp"]) if record["stamp"] else None
        if found is None:
            lost.states += lost.begun
            return
        applied = None if torque is None else tuple(torque[1].effort)
        yield ReplayEvent(
            "state", time, found[0], found[1], applied=applied, late=bool(record.get("late"))
        )
    elif kind == "goal":
        if record["goal"] is not None:  # what could not be read changed nothing
            goal = goal_message(record["goal"], record["frame"])
            goal.header.stamp = Time(nanoseconds=record.get("stamp", 0)).to_msg()
            yield ReplayEvent("goal", time, bag_ns, goal=goal)
    elif kind == "activate":
        lost.begun = True
        yield ReplayEvent(kind, time, bag_ns, states.oldest())
    elif kind == "swap":
        policy = _recorded_policy(record)
        lost.swaps += policy is None
        yield ReplayEvent(kind, time, bag_ns, policy=policy)
    else:
        yield ReplayEvent(kind, time, bag_ns, record=record, late=bool(record.get("refused")))


def _recorded_policy(record: Mapping[str, Any]) -> Policy | None:
    """Return the policy of a swap; None where its file is gone or has become another."""
    try:
        policy = Policy.load(Path(str(record.get("model_path", ""))))
    except PolicyFileError:
        return None
    return policy if policy.sha256 == record["sha256"] else None


def timed_events(source: ReplaySource) -> Iterator[ReplayEvent]:
    """Yield the events of a bag without `~/events`: active from the first state on.

    The time is that of the header's stamps, or else of the recorder; it never turns back.
    """
    time, begun = 0.0, False
    topics = (source.states, source.goals)
    for topic, bag_ns, cdr in source.messages(topics):
        if topic == source.goals:
            goal = source.read(cdr, PoseStamped)
            yield ReplayEvent("goal", time, bag_ns, goal=goal)
            continue
        state = source.read(cdr, JointState)
        time = max(time, (stamp_ns(state) or bag_ns) * 1e-9)
        if not begun:
            begun = True
            yield ReplayEvent("activate", time, bag_ns, state)
        yield ReplayEvent("state", time, bag_ns, state)


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
