# SPDX-License-Identifier: Apache-2.0
"""Which topics are states, commands and goals, and which of their joints are the policy's.

Topics are found by type, then by name; joints by name, or by a mapping that the user gives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sac_ros.bags.events import ReplayTopics
from sac_ros.bags.reader.messages import StoredTopic
from sac_ros.cdr import JOINT_STATE, NUMBERS, POSE, TEXT
from sac_ros.utils.errors import BagError, ConfigurationError

# What policy_node publishes for the reader of a bag; never a robot's own states.
_OWN_TORQUES = ("policy_torque", "applied_torque")


@dataclass(frozen=True)
class AskedTopics:
    """Topics that the user chose; empty: to be found.

    ``option`` is how a role, such as ``state``, is chosen: it stands in errors.
    """

    states: str = ""
    commands: str = ""
    goals: str = ""
    option: str = "--{}-topic"


class TopicFinder:
    """The topics of a recording by what they are used for.

    A topic is found by its type and the last part of its name, and must have messages. A BagError
    says where several fit, so that the user has to choose, or what was asked for is not there.
    """

    def __init__(self, topics: Mapping[str, StoredTopic], asked: AskedTopics, where: str) -> None:
        """``topics`` are all of them by name; ``where`` names the bags, for errors."""
        self._topics = topics
        self._asked = asked
        self._where = where

    def states(self) -> StoredTopic:
        """Return the joint states: those named ``joint_states``, or the only ones of the type."""
        found = [t for t in self._of_type(JOINT_STATE) if _last(t) not in _OWN_TORQUES]
        named = [topic for topic in found if _last(topic) == "joint_states"]
        chosen = self._one("state", "joint states", (JOINT_STATE,), named, found)
        if chosen is None:
            each = (f"{t.name} ({t.type}, {t.messages})" for t in self._topics.values())
            raise BagError(
                f"{self._where} must have {JOINT_STATE} messages; "
                f"it has {', '.join(each) or 'no topics'}"
            )
        return chosen

    def commands(self) -> StoredTopic | None:
        """Return the recorded torques; None where there are none.

        First ``policy_torque``, which is stamped with the state that it answers, then
        ``commands``, then ``applied_torque``, then the only array of numbers.
        """
        return self._one(
            "command",
            "commands",
            (NUMBERS, JOINT_STATE),
            self._of_type(JOINT_STATE, "policy_torque"),
            self._of_type(NUMBERS, "commands"),
            self._of_type(JOINT_STATE, "applied_torque"),
            self._of_type(NUMBERS),
        )

    def goals(self) -> StoredTopic | None:
        """Return the goals: those named ``goal_pose``, or the only poses; None without."""
        poses = self._of_type(POSE)
        return self._one("goal", "goals", (POSE,), self._of_type(POSE, "goal_pose"), poses)

    def events(self) -> StoredTopic | None:
        """Return policy_node's own log; None where there is none, or several."""
        return _only(self._of_type(TEXT, "events") or self._of_type(TEXT, "decisions"))

    def replayed(self) -> ReplayTopics:
        """Return the topics that tell what happened to a policy_node."""
        found = self.states(), self.goals(), self.events(), self.applied_torque()
        return ReplayTopics(*(topic.name if topic else "" for topic in found))

    def applied_torque(self) -> StoredTopic | None:
        """Return what policy_node applied; None where there is none, or several."""
        return _only(self._of_type(JOINT_STATE, "applied_torque"))

    def _of_type(self, kind: str, name: str = "") -> list[StoredTopic]:
        used = [each for each in self._topics.values() if each.messages and each.type == kind]
        return [each for each in used if _last(each) == name] if name else used

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


def _last(topic: StoredTopic) -> str:
    return topic.name.rpartition("/")[2]


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


def bag_joints(
    policy: Sequence[str], bag: Sequence[str], mapping: Mapping[str, str], where: str
) -> tuple[str, ...]:
    """Return the bag's name of each of the policy's joints [n].

    What the mapping (policy's name to bag's) does not name is called the same in both. ``bag``
    are the names in the bag's joint states on the topic ``where``.

    Raises:
        BagError: a joint is not in the bag. Never are two joints paired by their place.
    """
    unknown = [name for name in mapping if name not in policy]
    if unknown:
        raise BagError(
            f"--joints must name the policy's joints ({', '.join(policy)}); got {unknown[0]}"
        )
    names = tuple(mapping.get(joint, joint) for joint in policy)
    missing = [name for name in names if name not in bag]
    if missing:
        raise BagError(
            f"{where} has no joint {missing[0]}: the policy drives {', '.join(policy)}, the bag "
            f"has {', '.join(bag) or 'no names'}; pair them with --joints policy=bag,..."
        )
    return names
