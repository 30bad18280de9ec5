# SPDX-License-Identifier: Apache-2.0
"""Which topics are states, commands and goals: by type, then by name, never by luck."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sac_ros.bags.reader import StoredTopic
from sac_ros.cdr import JOINT_STATE, NUMBERS, POSE, TEXT
from sac_ros.utils.errors import BagError

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
        return self._one(
            "goal", "goals", (POSE,), self._of_type(POSE, "goal_pose"), self._of_type(POSE)
        )

    def decisions(self) -> StoredTopic | None:
        """Return policy_node's own log; None where there is none, or several."""
        return _only(self._of_type(TEXT, "decisions"))

    def applied_torque(self) -> StoredTopic | None:
        """Return what policy_node applied; None where there is none, or several."""
        return _only(self._of_type(JOINT_STATE, "applied_torque"))

    def _of_type(self, kind: str, name: str = "") -> list[StoredTopic]:
        used = [each for each in self._topics.values() if each.messages and each.type == kind]
        return [each for each in used if _last(each) == name] if name else used

    def _one(
        self, role: str, what: str, types: tuple[str, ...], *candidates: list[StoredTopic]
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
