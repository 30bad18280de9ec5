# SPDX-License-Identifier: Apache-2.0
"""A bag to be replayed: its topics found by type and name, its messages streamed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rclpy.serialization import deserialize_message
from std_msgs.msg import String

from sac_ros.bags.reader.bag import Bag
from sac_ros.nodes.recorded_decision import parse_decision
from sac_ros.utils.errors import BagError

_STATES = "sensor_msgs/msg/JointState"
_GOALS = "geometry_msgs/msg/PoseStamped"
_TEXT = "std_msgs/msg/String"
_TORQUES = ("policy_torque", "applied_torque")  # joint states by type, but none of a robot


class ReplaySource:
    """An open bag, read as `evaluate_bag` reads it: whole or not. Use it as a context.

    Attributes:
        states: topic of the joint states.
        goals: topic of the goals; None where there are none.
        decisions: policy_node's ``~/decisions``; None in a bag that has none.
        applied_torque: policy_node's ``~/applied_torque``; None in a bag that has none.
        start_ns, end_ns: when the first and the last message was received, ns since 1970.
    """

    def __init__(self, path: Path, states: str = "", goals: str = "") -> None:
        """Opens the bag.

        Args:
            path: its folder, or its one file.
            states: topic of the joint states; empty: the only one there is.
            goals: topic of the goals; empty: the only one there is, if any.

        Raises:
            BagError: it cannot be read, or a topic cannot be told.
        """
        self.path = path
        self._bag = Bag(path)
        try:
            self._find(states, goals)
        except BaseException:
            self._bag.close()
            raise

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is odd about the bag; complete once it was read."""
        return self._bag.warnings

    def _find(self, states: str, goals: str) -> None:
        self.start_ns, self.end_ns = self._bag.span_ns
        robots = [name for name in self._named(_STATES) if name.rpartition("/")[2] not in _TORQUES]
        self.states: str = self._one("joint states", _STATES, robots, states) or ""
        if not self.states:
            raise BagError(f"bag {self.path} has no joint states: no topic of type {_STATES}")
        self.goals = self._one("goals", _GOALS, self._named(_GOALS), goals)
        self.decisions = self._ours("decisions", _TEXT)
        self.applied_torque = self._ours("applied_torque", _STATES)

    def activation(self) -> dict[str, Any]:
        """Return the first recorded ``activate`` decision, ``{}`` where there is none."""
        for _, _, cdr in self.messages([self.decisions]):
            decision = self.decision(cdr)
            if decision["event"] == "activate":
                return decision
        return {}

    def decision(self, cdr: bytes) -> dict[str, Any]:
        """Return a message of `decisions`.

        Raises:
            BagError: it is none.
        """
        try:
            return parse_decision(self.read(cdr, String).data)
        except ValueError as error:
            raise BagError(
                f"bag {self.path}: a message of {self.decisions} is no decision of a policy_node: "
                f"{error}"
            ) from error

    def read(self, cdr: bytes, kind: Any) -> Any:
        """Return a message of a class.

        Raises:
            BagError: it is damaged.
        """
        try:
            return deserialize_message(cdr, kind)
        except Exception as error:  # what the middleware raises is its own
            raise BagError(f"bag {self.path} has a message that is no {kind.__name__}") from error

    def messages(self, topics: Sequence[str | None]) -> Iterator[tuple[str, int, bytes]]:
        """Yield (topic, ns of receipt, CDR) of some topics in the order of their receipt.

        A damage ends it: see `warnings`.
        """
        for batch in self._bag.batches({each for each in topics if each}):
            for topic, bag_ns, _, cdr in batch:
                yield topic, bag_ns, cdr

    def close(self) -> None:
        """Close the bag."""
        self._bag.close()

    def __enter__(self) -> ReplaySource:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the bag."""
        self.close()

    def _named(self, msgtype: str) -> list[str]:
        return [each.name for each in self._bag.topics.values() if each.type == msgtype]

    def _ours(self, name: str, msgtype: str) -> str | None:
        found = [each for each in self._named(msgtype) if each.endswith(f"/policy_node/{name}")]
        return found[0] if len(found) == 1 else None

    def _one(self, what: str, msgtype: str, candidates: list[str], wanted: str) -> str | None:
        """Return the topic asked for, or the only candidate; None where there is none."""
        parameter = {"joint states": "states_topic", "goals": "goals_topic"}[what]
        if wanted:
            if wanted not in self._named(msgtype):
                raise BagError(
                    f"bag {self.path}: parameter {parameter} must be a topic of type {msgtype} "
                    f"({', '.join(candidates) or 'there is none'}); got {wanted}"
                )
            return wanted
        if len(candidates) > 1:
            raise BagError(
                f"bag {self.path} has several topics with {what}: {', '.join(candidates)}; "
                f"choose one by the parameter {parameter}"
            )
        return candidates[0] if candidates else None
