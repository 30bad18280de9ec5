# SPDX-License-Identifier: Apache-2.0
"""One or more bags read into columns: every state, command and goal, not yet aligned."""

from __future__ import annotations

import gc
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sac_ros.bags.columns import Spool
from sac_ros.bags.discovery import AskedTopics, TopicFinder, bag_joints
from sac_ros.bags.events import OF_BAG, ReplayTopics
from sac_ros.bags.reader.bag import Bag, merged
from sac_ros.bags.reader.messages import Message, StoredTopic
from sac_ros.bags.result import BagFacts
from sac_ros.bags.streams import JointStream, NumberStream, PoseStream
from sac_ros.cdr import JOINT_STATE, CdrError, read_layout
from sac_ros.utils.errors import BagError

Progress = Callable[[int, int], None]
"""Called with the messages read so far and all there are."""

_LOOKED_AT = 100  # messages in which joint names are looked for


@dataclass(frozen=True)
class ReadingOptions:
    """Which part of bags is to be read, and how.

    Attributes:
        topics: chosen explicitly.
        mapping: the policy's joint name to the bag's.
        command_joints: the bag's names in the order of a command without names.
        clock: one of `CLOCKS`, or empty to detect it.
        start_s, end_s: seconds since the first state; None: everything.
    """

    topics: AskedTopics = field(default_factory=AskedTopics)
    mapping: Mapping[str, str] = field(default_factory=dict)
    command_joints: Sequence[str] = ()
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
        goals: None where there are none.
        topics: those that tell what happened to a policy_node.
        spool: where large arrays go.
    """

    bags: tuple[BagFacts, ...]
    joint_names: tuple[str, ...]
    states: JointStream
    commands: JointStream | NumberStream | None
    goals: PoseStream | None
    topics: ReplayTopics
    spool: Spool


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
    found = TopicFinder(_topics(bags), options.topics, where)
    states, commands, goals = found.states(), found.commands(), found.goals()
    log = found.events()
    names = _names_in(bags, states)
    joints = bag_joints(joint_names, names, options.mapping, states.name)
    torques: JointStream | NumberStream | None = None
    if commands and commands.type == JOINT_STATE:
        torques = JointStream(commands, spool, joints, ("effort",))
    elif commands:
        torques = NumberStream(commands, spool, joints, options.command_joints)
    recording = Recording(
        bags=(),
        joint_names=joint_names,
        states=JointStream(states, spool, joints, ("position", "velocity")),
        commands=torques,
        goals=PoseStream(goals, spool) if goals else None,
        topics=found.replayed(),
        spool=spool,
    )
    _read(bags, recording, progress)
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


def _topics(bags: Sequence[Bag]) -> dict[str, StoredTopic]:
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


def _read(bags: Sequence[Bag], recording: Recording, progress: Progress) -> None:
    """Hand every message to the stream of its topic."""
    streams = [s for s in (recording.states, recording.commands, recording.goals) if s]
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
        stream.finish()
