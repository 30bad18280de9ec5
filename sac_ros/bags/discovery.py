# SPDX-License-Identifier: Apache-2.0
"""Which topics are states, commands and goals: by type, then by name, never by luck."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sac_ros.bags.reader.storage import StoredTopic
from sac_ros.cdr import JOINT_STATE, NUMBERS, POSE, TEXT
from sac_ros.utils.errors import BagError

# What policy_node publishes for the reader of a bag; never a robot's own states.
_OWN_TORQUES = ("policy_torque", "applied_torque")


@dataclass(frozen=True)
class Roles:
    """The topics of a recording by what they are used for; None where there is none."""

    states: StoredTopic
    commands: StoredTopic | None
    goals: StoredTopic | None
    decisions: StoredTopic | None

    def by_topic(self) -> dict[str, str]:
        """Return topic name to role."""
        given = {
            "states": self.states,
            "commands": self.commands,
            "goals": self.goals,
            "decisions": self.decisions,
        }
        return {topic.name: role for role, topic in given.items() if topic is not None}


@dataclass(frozen=True)
class AskedTopics:
    """Topics chosen on the command line; empty: to be found."""

    states: str = ""
    commands: str = ""
    goals: str = ""


def find_topics(topics: Mapping[str, StoredTopic], asked: AskedTopics, where: str) -> Roles:
    """Choose the topics of an evaluation.

    Where nothing is asked for: joint states by the name ``joint_states`` or as the only ones of
    their type; commands as ``policy_torque`` (it is stamped with the state that it answers), then
    ``commands``, then ``applied_torque``, then the only array of numbers; goals as ``goal_pose``
    or the only pose.

    Args:
        topics: all of them by name.
        asked: what was chosen explicitly.
        where: the bags, for errors.

    Raises:
        BagError: no joint states, several candidates, or a topic that was asked for is not there.
    """
    used = {name: topic for name, topic in topics.items() if topic.messages}
    states = _states(used, asked.states, where, topics)
    return Roles(
        states=states,
        commands=_commands(used, asked.commands, where),
        goals=_goals(used, asked.goals, where),
        decisions=next(iter(_named(_of_type(used, TEXT), "decisions")), None),
    )


def _states(
    used: Mapping[str, StoredTopic], asked: str, where: str, topics: Mapping[str, StoredTopic]
) -> StoredTopic:
    if asked:
        return _asked(used, asked, (JOINT_STATE,), "--state-topic", where)
    found = [t for t in _of_type(used, JOINT_STATE) if _last(t) not in _OWN_TORQUES]
    chosen = _one(_named(found, "joint_states") or found, "joint states", "--state-topic", where)
    if chosen is None:
        there = ", ".join(f"{t.name} ({t.type}, {t.messages})" for t in topics.values())
        raise BagError(f"{where} must have {JOINT_STATE} messages; it has {there or 'no topics'}")
    return chosen


def _commands(used: Mapping[str, StoredTopic], asked: str, where: str) -> StoredTopic | None:
    if asked:
        return _asked(used, asked, (NUMBERS, JOINT_STATE), "--command-topic", where)
    numbers, torques = _of_type(used, NUMBERS), _of_type(used, JOINT_STATE)
    for found in (
        _named(torques, "policy_torque"),
        _named(numbers, "commands"),
        _named(torques, "applied_torque"),
        numbers,
    ):
        if found:
            return _one(found, "commands", "--command-topic", where)
    return None


def _goals(used: Mapping[str, StoredTopic], asked: str, where: str) -> StoredTopic | None:
    if asked:
        return _asked(used, asked, (POSE,), "--goal-topic", where)
    found = _of_type(used, POSE)
    return _one(_named(found, "goal_pose") or found, "goals", "--goal-topic", where)


def _asked(
    used: Mapping[str, StoredTopic], name: str, types: tuple[str, ...], option: str, where: str
) -> StoredTopic:
    fitting = [topic for topic in used.values() if topic.type in types]
    for topic in fitting:
        if topic.name == name or topic.name == f"/{name}":
            return topic
    names = ", ".join(topic.name for topic in fitting) or "there is none"
    raise BagError(
        f"{option} must name a topic of {where} with messages of type {' or '.join(types)} "
        f"({names}); got {name}"
    )


def _one(found: list[StoredTopic], what: str, option: str, where: str) -> StoredTopic | None:
    if len(found) > 1:
        names = ", ".join(f"{topic.name} ({topic.messages})" for topic in found)
        raise BagError(
            f"{where} has several topics that may be the {what}: choose by {option} from {names}"
        )
    return found[0] if found else None


def _of_type(used: Mapping[str, StoredTopic], kind: str) -> list[StoredTopic]:
    return [topic for topic in used.values() if topic.type == kind]


def _named(topics: Iterable[StoredTopic], name: str) -> list[StoredTopic]:
    return [topic for topic in topics if _last(topic) == name]


def _last(topic: StoredTopic) -> str:
    return topic.name.rpartition("/")[2]
