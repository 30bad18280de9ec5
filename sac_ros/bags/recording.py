# SPDX-License-Identifier: Apache-2.0
"""One or more bags read into columns: every state, command and goal, not yet aligned."""

from __future__ import annotations

import gc
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sac_ros.bags.columns import Spool
from sac_ros.bags.discovery import COMMAND_KINDS, AskedTopics, TopicFinder, bag_joints
from sac_ros.bags.events import OF_BAG, ReplayTopics, activation
from sac_ros.bags.reader.bag import Bag, merged
from sac_ros.bags.reader.messages import Message, StoredTopic
from sac_ros.bags.result import BagFacts
from sac_ros.bags.streams import JointStream, NumberStream, PoseStream, Stream
from sac_ros.cdr import NUMBERS, CdrError, Layout, read_layout
from sac_ros.utils.errors import BagError, ConfigurationError

Progress = Callable[[int, int], None]
"""Called with the messages read so far and all there are."""

_LOOKED_AT = 100  # messages in which joint names and filled fields are looked for


@dataclass(frozen=True)
class ReadingOptions:
    """Which part of bags is to be read, and how.

    Attributes:
        topics: chosen explicitly.
        mapping: the policy's joint name to the bag's.
        command_joints: the bag's names in the order of a command without names; others, and
            ``_``, are of values that are not the policy's.
        command_mapping: the policy's joint name to that in commands with names.
        clock: one of `CLOCKS`, or empty to detect it.
        start_s, end_s: seconds since the first state; None: everything.
    """

    topics: AskedTopics = field(default_factory=AskedTopics)
    mapping: Mapping[str, str] = field(default_factory=dict)
    command_joints: Sequence[str] = ()
    command_mapping: Mapping[str, str] = field(default_factory=dict)
    clock: str = ""
    start_s: float | None = None
    end_s: float | None = None


@dataclass
class Recording:
    """What was read, each stream with its columns.

    Attributes:
        bags: the facts of each.
        joint_names: [n] the policy's.
        states: position, velocity and effort.
        commands: effort; None where there are none.
        command_topic: where commands are, whatever their kind; None without.
        command_kind: one of `COMMAND_KINDS`; empty without.
        goals: None where there are none.
        topics: those that record what happened to a policy_node.
        activation: what its own log has of its activation; empty without such a log.
        spool: where large arrays go.
    """

    bags: tuple[BagFacts, ...]
    joint_names: tuple[str, ...]
    states: JointStream
    commands: JointStream | NumberStream | None
    command_topic: StoredTopic | None
    command_kind: str
    goals: PoseStream | None
    topics: ReplayTopics
    activation: Mapping[str, Any]
    spool: Spool

    def forget(self) -> None:
        """Let go of the columns: what is used of them from then on is in an `Aligned`."""
        for stream in (self.states, self.commands, self.goals):
            if stream:
                stream.columns.clear()


@contextmanager
def opened(paths: Sequence[Path], *, sent: bool = False) -> Iterator[list[Bag]]:
    """Open bags, and hand them out in the order of their beginning; see `Bag`."""
    with ExitStack() as closing:
        bags = [closing.enter_context(Bag(path, sent)) for path in paths]
        yield sorted(bags, key=lambda bag: bag.span_ns)


def read_recording(
    bags: Sequence[Bag],
    joint_names: tuple[str, ...],
    options: ReadingOptions,
    spool: Spool,
    progress: Progress = lambda _done, _all: None,
) -> Recording:
    """Read everything that an evaluation needs, once through, in bounded memory.

    States and commands may be in different bags; ``joint_names`` [n] are the policy's. Large
    arrays go to the spool.

    Raises:
        BagError: a bag is refused, a topic cannot be found, or joints do not fit.
        ConfigurationError: an option does not fit the bag.
    """
    where = " + ".join(f"bag {bag.path}" for bag in bags)
    found = TopicFinder(topics_of(bags), options.topics, where)
    states, commands, goals = found.states(), found.commands(), found.goals()
    log = found.events()
    replayed = (topic.name if topic else "" for topic in (states, goals, log))
    topics = ReplayTopics(*replayed)
    names = names_in(bags, states)
    joints = bag_joints(joint_names, names, options.mapping, states.name)
    torques: JointStream | NumberStream | None = None
    kind = ""
    if commands:
        first, _ = _first_messages(bags, commands)
        kind = found.command_kind(commands, *_filled(first))
        if kind == "effort":
            shapes = [layout for layout, _ in first]
            torques = _torques(commands, shapes, joint_names, joints, options, spool)
    recording = Recording(
        bags=(),
        joint_names=joint_names,
        states=JointStream(states, spool, joints, ("position", "velocity")),
        commands=torques,
        command_topic=commands,
        command_kind=kind,
        goals=PoseStream(goals, spool) if goals else None,
        topics=topics,
        activation=activation(bags, topics, strict=False),
        spool=spool,
    )
    each = recording.states, recording.commands, recording.goals
    read_streams(bags, [stream for stream in each if stream], progress)
    roles = {"states": states, "commands": commands, "goals": goals, "events": log}
    role_of = {topic.name: role for role, topic in roles.items() if topic}
    recording.bags = tuple(bag.facts(role_of) for bag in bags)
    if not len(recording.states.columns["received_ns"]):
        dropped, example = recording.states.dropped, recording.states.example
        why = ", ".join(f"{count} {reason}" for reason, count in dropped.items()) or "none came"
        raise BagError(
            f"{states.name} of {where} has no usable joint state: {why}"
            + (f" ({example})" if example else "")
        )
    return recording


def topics_of(bags: Sequence[Bag]) -> dict[str, StoredTopic]:
    """Return the topics of all bags by name.

    Raises:
        BagError: one has messages of two types.
    """
    topics = [topic for bag in bags for topic in bag.topics.values()]
    types: dict[str, str] = {}
    for name, kind in ((topic.name, topic.type) for topic in topics if topic.messages):
        if types.setdefault(name, kind) != kind:
            raise BagError(f"topic {name} is {types[name]} in one bag, {kind} in another")
    return merged(topics)


def names_in(bags: Sequence[Bag], topic: StoredTopic) -> list[str]:
    """Return every joint name in the first messages of a topic: several may share it."""
    first, problem = _first_messages(bags, topic)
    names = dict.fromkeys(name for layout, _ in first for name in layout.names)
    damage = "; ".join(bag.damage for bag in bags if bag.damage)
    if not first and not problem and damage:
        raise BagError(f"no message of {topic.name} can be read: {damage}")
    if not names and problem:
        raise BagError(f"{topic.name} must have messages of type {topic.type}; one is {problem}")
    return list(names)


def _first_messages(
    bags: Sequence[Bag], topic: StoredTopic
) -> tuple[list[tuple[Layout, bytes]], str]:
    """Return the first messages of a topic that can be read, and why another cannot."""
    found, problem = [], ""
    for bag in (each for each in bags if topic.name in each.topics):
        for _, _, _, raw in next(bag.batches({topic.name}), [])[:_LOOKED_AT]:
            try:
                found.append((read_layout(raw, topic.type), raw))
            except CdrError as error:
                problem = problem or str(error)
    return found, problem


def _filled(messages: Sequence[tuple[Layout, bytes]]) -> tuple[list[str], list[str]]:
    """Return the fields that messages have values of, and those of them not always zero."""
    given: set[str] = set()
    moving: set[str] = set()
    for layout, raw in messages:
        row = np.frombuffer(raw, dtype=np.uint8)[None]
        for name in COMMAND_KINDS:
            if layout.arrays.get(name, (0, 0))[1]:
                given.add(name)
                if np.any(layout.doubles(row, name)):
                    moving.add(name)
    return sorted(given), sorted(moving)


def _torques(
    topic: StoredTopic,
    first: Sequence[Layout],
    joint_names: tuple[str, ...],
    joints: tuple[str, ...],
    options: ReadingOptions,
    spool: Spool,
) -> JointStream | NumberStream:
    """Return the stream of a topic with effort commands, whose first messages are given.

    Raises:
        BagError: it has other joints than the policy, or another number of values.
        ConfigurationError: ``--command-joints`` are not those of such a topic.
    """
    if topic.type == NUMBERS:
        if options.command_mapping:
            raise ConfigurationError(
                f"--command-joints must be the joints in the order of {topic.name}, which has no "
                f"names; got pairs of {', '.join(options.command_mapping)}"
            )
        stream = NumberStream(topic, spool, joints, options.command_joints)
        counts = sorted({layout.arrays["data"][1] for layout in first})
        if counts and len(stream.order) not in counts:
            raise BagError(
                f"{topic.name} has commands of {' or '.join(map(str, counts))} values, not of "
                f"{len(stream.order)} ({', '.join(stream.order)}): name all of them in their "
                f"order with --command-joints, among them {', '.join(joints)} (_: of no interest)"
            )
        return stream
    if options.command_joints:
        raise ConfigurationError(
            f"--command-joints must be policy=command pairs for {topic.name}, which has names; "
            f"got {', '.join(options.command_joints)}"
        )
    if names := list(dict.fromkeys(name for layout in first for name in layout.names)):
        own = dict(zip(joint_names, joints, strict=True)) | dict(options.command_mapping)
        joints = bag_joints(joint_names, names, own, topic.name, "--command-joints")
    return JointStream(topic, spool, joints, ("effort",), ("effort",))


def read_streams(
    bags: Sequence[Bag],
    streams: Sequence[Stream],
    progress: Progress = lambda _done, _all: None,
) -> None:
    """Hand every message of bags to the stream of its topic, once through."""
    wanted = {stream.topic for stream in streams}
    expected = sum(bag.topics[t].messages for bag in bags for t in wanted if t in bag.topics)
    done = 0
    collects = gc.isenabled()
    gc.disable()  # to look for cycles among messages, which are none, takes a quarter of the time
    try:
        batches = ((i, batch) for i, bag in enumerate(bags) for batch in bag.batches(wanted))
        for i, batch in batches:
            grouped: dict[str, list[Message]] = defaultdict(list)
            for message in batch:
                grouped[message[0]].append(message)
            for stream in streams:
                stream.add(grouped[stream.topic], i * OF_BAG)
            done += len(batch)
            progress(min(done, expected), expected)
    finally:
        if collects:
            gc.enable()
    progress(expected, expected)
    for stream in streams:
        for bag in bags:
            stream.lose(bag.lost(stream.topic))
        stream.finish()
