# SPDX-License-Identifier: Apache-2.0
"""One or more bags read into columns: every state, command and goal, not yet aligned."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sac_ros.bags.columns import Spool
from sac_ros.bags.discovery import AskedTopics, Roles, find_topics
from sac_ros.bags.joints import bag_joints, command_order
from sac_ros.bags.reader.bag import Bag, merged
from sac_ros.bags.reader.storage import Message, StoredTopic
from sac_ros.bags.result import BagFacts
from sac_ros.bags.streams import JointStream, NumberStream, PoseStream, Stream
from sac_ros.cdr import JOINT_STATE, TEXT, CdrError, read_layout
from sac_ros.utils.errors import BagError

Progress = Callable[[int, int], None]
"""Called with the messages read so far and all there are."""

_LOOKED_AT = 100  # messages in which joint names are looked for
_STATE_FIELDS = ("position", "velocity")


@dataclass
class Recording:
    """What was read; columns by name as `sac_ros.bags.streams` fills them.

    Attributes:
        bags: the facts of each.
        roles: which topic is what.
        joints: [n] the bag's names of the policy's joints.
        named_commands: whether the commands say their joints and carry stamps.
        command_joints: [n] the bag's names in the order of a command that does not.
        states, commands, goals: streams with their counts; None where there are none.
        columns: role to columns.
        decisions: policy_node's own log, one object an event; empty where there is none.
    """

    bags: tuple[BagFacts, ...]
    roles: Roles
    joints: tuple[str, ...]
    named_commands: bool
    command_joints: tuple[str, ...]
    states: Stream
    commands: Stream | None
    goals: PoseStream | None
    columns: dict[str, dict[str, NDArray[Any]]]
    decisions: list[dict[str, Any]]


@dataclass(frozen=True)
class ReadingOptions:
    """How bags are to be read.

    Attributes:
        topics: chosen explicitly.
        mapping: the policy's joint name to the bag's.
        command_joints: the bag's names in the order of a command without names.
        sent: whether times of sending are needed.
    """

    topics: AskedTopics = field(default_factory=AskedTopics)
    mapping: Mapping[str, str] | None = None
    command_joints: Sequence[str] = ()
    sent: bool = False


def read_recording(
    paths: Sequence[Path],
    joint_names: Sequence[str],
    options: ReadingOptions,
    spool: Spool,
    progress: Progress = lambda _done, _all: None,
) -> Recording:
    """Read everything that an evaluation needs, once through, in bounded memory.

    Args:
        paths: the bags; states and commands may be in different ones.
        joint_names: [n] the policy's.
        options: see there.
        spool: where the columns go.
        progress: is told how far it is.

    Raises:
        BagError: a bag is refused, a topic cannot be found, or joints do not fit.
        ConfigurationError: an option does not fit the bag.
    """
    bags: list[Bag] = []
    try:
        for path in paths:
            bags.append(Bag(path, options.sent))
        bags.sort(key=lambda bag: bag.span_ns)
        where = " + ".join(f"bag {bag.path}" for bag in bags)
        roles = find_topics(_topics(bags), options.topics, where)
        names = bag_joints(
            joint_names, _names_in(bags, roles.states), options.mapping or {}, roles.states.name
        )
        streams = _streams(roles, names, options, spool)
        decisions = _read(bags, streams, roles, progress)
        columns = {role: stream.finish() for role, stream in streams.items()}
        _check(streams["states"], columns["states"], where)
        facts = tuple(bag.facts(roles.by_topic()) for bag in bags)
    finally:
        for bag in bags:
            bag.close()
    goals = streams.get("goals")
    return Recording(
        bags=facts,
        roles=roles,
        joints=names,
        named_commands=isinstance(streams.get("commands"), JointStream),
        command_joints=tuple(options.command_joints) or names,
        states=streams["states"],
        commands=streams.get("commands"),
        goals=goals if isinstance(goals, PoseStream) else None,
        columns=columns,
        decisions=decisions,
    )


def _topics(bags: Sequence[Bag]) -> dict[str, StoredTopic]:
    """Return the topics of all bags by name.

    Raises:
        BagError: one has messages of two types.
    """
    topics = [topic for bag in bags for topic in bag.topics.values()]
    types: dict[str, str] = {}
    for topic in topics:
        if topic.messages and types.setdefault(topic.name, topic.type) != topic.type:
            raise BagError(
                f"topic {topic.name} is {types[topic.name]} in one bag, {topic.type} in another"
            )
    return merged(topics)


def _names_in(bags: Sequence[Bag], topic: StoredTopic) -> list[str]:
    """Return every joint name in the first messages of a topic: several may share it."""
    names: dict[str, None] = {}
    problem = ""
    for bag in bags:
        for _, _, _, raw in next(bag.batches({topic.name}), [])[:_LOOKED_AT]:
            try:
                names.update(dict.fromkeys(read_layout(raw, topic.type).names))
            except CdrError as error:
                problem = problem or str(error)
    if not names and problem:
        raise BagError(f"{topic.name} must have messages of type {topic.type}; one is {problem}")
    return list(names)


def _streams(
    roles: Roles, names: Sequence[str], options: ReadingOptions, spool: Spool
) -> dict[str, Stream]:
    states, commands, goals = roles.states, roles.commands, roles.goals
    streams: dict[str, Stream] = {
        "states": JointStream(states.name, states.type, spool, names, _STATE_FIELDS)
    }
    if commands is not None and commands.type == JOINT_STATE:
        streams["commands"] = JointStream(commands.name, commands.type, spool, names, ("effort",))
    elif commands is not None:
        order = command_order(names, options.command_joints)
        streams["commands"] = NumberStream(commands.name, commands.type, spool, order)
    if goals is not None:
        streams["goals"] = PoseStream(goals.name, goals.type, spool)
    return streams


def _read(
    bags: Sequence[Bag], streams: Mapping[str, Stream], roles: Roles, progress: Progress
) -> list[dict[str, Any]]:
    """Hand every message to the streams of its topic; return the decisions."""
    by_topic: dict[str, list[Stream]] = {}
    for stream in streams.values():
        by_topic.setdefault(stream.topic, []).append(stream)
    log = roles.decisions.name if roles.decisions else ""
    wanted = {*by_topic, log} - {""}
    expected = sum(bag.topics[t].messages for bag in bags for t in wanted if t in bag.topics)
    decisions: list[dict[str, Any]] = []
    done = 0
    with _without_collector():
        for batch in (batch for bag in bags for batch in bag.batches(wanted)):
            grouped: dict[str, list[Message]] = {topic: [] for topic in wanted}
            for message in batch:
                grouped[message[0]].append(message)
            for topic, messages in grouped.items():
                for stream in by_topic.get(topic, ()):
                    stream.add(messages)
            for _, _, _, raw in grouped.get(log, ()):
                decisions.extend(_decision(raw))
            done += len(batch)
            progress(min(done, expected), expected)
    progress(expected, expected)
    return decisions


@contextmanager
def _without_collector() -> Iterator[None]:
    """Switch Python's garbage collector off: messages are no cycles and go without it.

    It would look for some after every 700 of them, among all that were not yet put into columns,
    and take a quarter of the evaluation's time.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def _decision(raw: bytes) -> list[dict[str, Any]]:
    try:
        value = json.loads(read_layout(raw, TEXT).texts["data"])
    except (CdrError, ValueError, RecursionError):
        return []
    return [value] if isinstance(value, dict) and isinstance(value.get("event"), str) else []


def _check(states: Stream, columns: Mapping[str, NDArray[Any]], where: str) -> None:
    if not len(columns["received_ns"]):
        why = ", ".join(f"{count} {reason}" for reason, count in states.dropped.items())
        example = f" ({states.example})" if states.example else ""
        raise BagError(
            f"{states.topic} of {where} has no usable joint state: {why or 'none came'}{example}"
        )
    assert np.all(np.diff(columns["received_ns"]) >= 0), "streams come sorted"
