# SPDX-License-Identifier: Apache-2.0
"""Which topics are states, commands and goals, and which of their joints are the policy's.

Topics are found by type, then by name; joints by name, or by a mapping that the user gives.
What commands are, torques or not, follows from their topic's name and by the fields that they
fill.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sac_ros.bags.events import ReplayTopics
from sac_ros.bags.reader.messages import StoredTopic
from sac_ros.cdr import JOINT_STATE, NUMBERS, POSE, TEXT, TRAJECTORY
from sac_ros.utils.errors import BagError, ConfigurationError

COMMAND_KINDS = ("effort", "velocity", "position")
"""What ``--command-kind`` takes; only effort is compared with a policy's torques."""

OWN_TORQUES = ("policy_torque", "applied_torque")
"""What policy_node publishes for the reader of a bag; never a robot's own states."""

# As ros2_control and its users name controllers.
_NAMED = {
    "effort": re.compile(r"effort|torque|(?<![a-z])eff(?![a-z])"),
    "velocity": re.compile(r"velocit|(?<![a-z])vel(?![a-z])"),
    "position": re.compile(r"position|trajectory|(?<![a-z])pos(?![a-z])"),
}


@dataclass(frozen=True)
class AskedTopics:
    """Topics that the user chose; empty: to be found.

    ``command_kind`` is one of `COMMAND_KINDS`, or empty: by name and fields. ``option`` is how a
    role, such as ``state``, is chosen: it stands in errors.
    """

    states: str = ""
    commands: str = ""
    goals: str = ""
    option: str = "--{}-topic"
    command_kind: str = ""


class TopicFinder:
    """The topics of a recording by what they are used for.

    A topic is found by its type and the last part of its name, and must have messages. A BagError
    names where several fit, so that the user has to choose, or what was asked for is not there.
    """

    def __init__(self, topics: Mapping[str, StoredTopic], asked: AskedTopics, where: str) -> None:
        """``topics`` are all of them by name; ``where`` names the bags, for errors."""
        self._topics = topics
        self._asked = asked
        self._where = where

    def states(self) -> StoredTopic:
        """Return the joint states: those named ``joint_states``, or the only ones of the type."""
        found = [t for t in self._of_type(JOINT_STATE) if last_part(t.name) not in OWN_TORQUES]
        named = [topic for topic in found if last_part(topic.name) == "joint_states"]
        chosen = self._one("state", "joint states", (JOINT_STATE,), named, found)
        if chosen is None:
            each = (f"{t.name} ({t.type}, {t.messages})" for t in self._topics.values())
            raise BagError(
                f"{self._where} must have {JOINT_STATE} messages; "
                f"it has {', '.join(each) or 'no topics'}"
            )
        return chosen

    def commands(self) -> StoredTopic | None:
        """Return the recorded commands; None where there are none.

        First ``policy_torque``, which is stamped with the state that it answers, then torques
        called ``commands``, then ``applied_torque``, then other arrays of torques. What may be
        torques comes next, and last the first of those that are none.
        """
        numbers = self._of_type(NUMBERS)
        kinds = {topic.name: self._named_kind(topic) for topic in numbers}
        torques = [topic for topic in numbers if kinds[topic.name] == "effort"]
        unclear = [topic for topic in numbers if not kinds[topic.name]]
        others = [topic for topic in numbers if kinds[topic.name] in ("velocity", "position")]
        states = [
            topic
            for topic in self._of_type(JOINT_STATE)
            if re.search("command|cmd", last_part(topic.name)) and topic != self.states()
        ]
        return self._one(
            "command",
            "commands",
            (NUMBERS, JOINT_STATE, TRAJECTORY),
            self._of_type(JOINT_STATE, "policy_torque"),
            [topic for topic in torques if last_part(topic.name) == "commands"],
            self._of_type(JOINT_STATE, "applied_torque"),
            torques,
            states,
            unclear,
            [*others, *self._of_type(TRAJECTORY)][:1],
        )

    def command_kind(self, topic: StoredTopic, given: Sequence[str], moving: Sequence[str]) -> str:
        """Return which of `COMMAND_KINDS` the commands of a topic are.

        ``given`` are the fields that its messages have values of, ``moving`` those of them that
        are not always zero; an array of numbers has none.

        Raises:
            BagError: neither name nor fields decide.
        """
        named, filled = self._named_kind(topic), moving or given
        if self._asked.command_kind:
            return self._asked.command_kind
        if topic.type == TRAJECTORY:
            first = (kind for kind in ("effort", "position", "velocity") if kind in filled)
            return next(first, "position")
        if topic == self.states():  # chosen for its effort, which is measured
            return "effort"
        if named and (named in given or not given):
            return named
        if len(filled) == 1:
            return filled[0]
        raise BagError(
            f"the name of {topic.name} in {self._where} leaves open what it commands: give "
            f"--command-kind {', '.join(COMMAND_KINDS[:-1])} or {COMMAND_KINDS[-1]}; only effort "
            f"is compared"
        )

    def goals(self) -> StoredTopic | None:
        """Return the goals: those named ``goal_pose``, or the only poses; None without."""
        poses = self._of_type(POSE)
        return self._one("goal", "goals", (POSE,), self._of_type(POSE, "goal_pose"), poses)

    def events(self) -> StoredTopic | None:
        """Return policy_node's own log; None where there is none, or several."""
        return _only(self._of_type(TEXT, "events") or self._of_type(TEXT, "decisions"))

    def replayed(self) -> ReplayTopics:
        """Return the topics that record what happened to a policy_node."""
        found = self.states(), self.goals(), self.events(), self.applied_torque()
        return ReplayTopics(*(topic.name if topic else "" for topic in found))

    def applied_torque(self) -> StoredTopic | None:
        """Return what policy_node applied; None where there is none, or several."""
        return _only(self._of_type(JOINT_STATE, "applied_torque"))

    def _named_kind(self, topic: StoredTopic) -> str:
        """Return the kind that a topic's name has; empty where it has none, or two.

        The last part of the name that has any decides. ``commands`` is what policy_node calls
        its torques, an array: where no controller is before it, or policy_node is in the bag.
        """
        parts = topic.name.lower().split("/")
        for part in reversed(parts):
            kinds = [kind for kind, pattern in _NAMED.items() if pattern.search(part)]
            if kinds:
                return kinds[0] if len(kinds) == 1 else ""
        own = not any("controller" in part for part in parts)
        own |= any("policy_node" in name.split("/") for name in self._topics)
        own &= topic.type == NUMBERS and parts[-1] == "commands"
        return "effort" if own else ""

    def _of_type(self, kind: str, name: str = "") -> list[StoredTopic]:
        used = [each for each in self._topics.values() if each.messages and each.type == kind]
        return [each for each in used if last_part(each.name) == name] if name else used

    def _one(
        self, role: str, what: str, types: Sequence[str], *candidates: list[StoredTopic]
    ) -> StoredTopic | None:
        """Return the topic that was asked for, or the only one of the first that there are."""
        asked, option = getattr(self._asked, f"{role}s"), self._asked.option.format(role)
        if asked:
            fitting = [topic for kind in types for topic in self._of_type(kind)]
            for topic in fitting:
                if topic.name.removeprefix("/") == asked.removeprefix("/"):
                    return topic
            names = ", ".join(topic.name for topic in fitting) or "there is none"
            raise BagError(
                f"{option} must name a topic of {self._where} with messages of type "
                f"{' or '.join(types)} ({names}); got {asked}"
            )
        found = next(filter(None, candidates), [])
        if len(found) > 1:
            names = ", ".join(f"{topic.name} ({topic.messages})" for topic in found)
            raise BagError(
                f"{self._where} has several topics that may be the {what}: choose by {option} "
                f"from {names}"
            )
        return _only(found)


def _only(found: list[StoredTopic]) -> StoredTopic | None:
    return found[0] if len(found) == 1 else None


def last_part(name: str) -> str:
    """Return a topic's name without its namespace."""
    return name.rpartition("/")[2]


def parse_mapping(texts: Sequence[str], option: str = "--joints") -> dict[str, str]:
    """Read ``policy=bag`` pairs, each text one or several of them separated by commas.

    Raises:
        ConfigurationError: a pair is not of that form, or a name stands twice on a side.
    """
    pairs: dict[str, str] = {}
    for pair in (part for text in texts for part in text.split(",") if part):
        policy, equals, bag = pair.partition("=")
        if not (policy and equals and bag):
            raise ConfigurationError(f"{option} must be policy=bag pairs; got {pair!r}")
        if policy in pairs or bag in pairs.values():
            raise ConfigurationError(f"{option} must name each joint once; {pair!r} does not")
        pairs[policy] = bag
    return pairs


def parse_command_joints(text: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """Read ``--command-joints``: names in the order of a command, or ``policy=command`` pairs.

    Returns both, one of them empty. Raises a ConfigurationError as `parse_mapping`.
    """
    if "=" in text:
        return (), parse_mapping([text], "--command-joints")
    return tuple(filter(None, text.split(","))), {}


def bag_joints(
    policy: Sequence[str],
    bag: Sequence[str],
    mapping: Mapping[str, str],
    where: str,
    option: str = "--joints",
) -> tuple[str, ...]:
    """Return the bag's name of each of the policy's joints [n].

    What the mapping (policy's name to bag's) does not name is called the same in both. ``bag``
    are the names in the bag's messages on the topic ``where``.

    Raises:
        BagError: a joint is not in the bag, or two are the same there. Never are two joints
            paired by their place.
    """
    unknown = [name for name in mapping if name not in policy]
    if unknown:
        raise BagError(
            f"{option} must name the policy's joints ({', '.join(policy)}); got {unknown[0]}"
        )
    names = tuple(mapping.get(joint, joint) for joint in policy)
    missing = [name for name in names if name not in bag]
    if missing:
        raise BagError(
            f"{where} has no joint {missing[0]}: the policy drives {', '.join(policy)}, the bag "
            f"has {', '.join(bag) or 'no names'}; pair them with {option} policy=bag,..."
        )
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        pair = " and ".join(p for p, name in zip(policy, names, strict=True) if name == twice[0])
        raise BagError(
            f"{option} must give each of the policy's joints one of its own in {where}; "
            f"{pair} are both {twice[0]}"
        )
    return names
