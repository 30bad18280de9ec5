# SPDX-License-Identifier: Apache-2.0
"""A bag to be replayed: its topics found by type and name, its messages streamed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rclpy.serialization import deserialize_message
from rosbags.highlevel import AnyReader
from rosbags.typesys import Stores, get_typestore
from std_msgs.msg import String

from sac_ros.errors import BagError

_STATES = "sensor_msgs/msg/JointState"
_GOALS = "geometry_msgs/msg/PoseStamped"
_TEXT = "std_msgs/msg/String"
_TORQUES = ("policy_torque", "applied_torque")  # joint states by type, but none of a robot


class ReplaySource:
    """An open bag. Use it as a context.

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
        if not path.exists():
            raise BagError(f"bag {path} does not exist")
        try:
            self._reader = AnyReader([path], default_typestore=get_typestore(Stores.LATEST))
            self._reader.open()
        except Exception as error:  # rosbags raises what its parsers and SQLite raise
            raise BagError(f"bag {path} cannot be read: {_reason(error)}") from error
        if not self._reader.is2:
            raise BagError(f"bag {path} must be of ROS 2; it is of ROS 1 (rosbags-convert helps)")
        self.start_ns, self.end_ns = self._reader.start_time, self._reader.end_time
        robots = [name for name in self._named(_STATES) if name.rpartition("/")[2] not in _TORQUES]
        self.states: str = self._one("joint states", _STATES, robots, states) or ""
        if not self.states:
            raise BagError(f"bag {path} has no joint states: no topic of type {_STATES}")
        self.goals = self._one("goals", _GOALS, self._named(_GOALS), goals)
        self.decisions = self._ours("decisions", _TEXT)
        self.applied_torque = self._ours("applied_torque", _STATES)

    def activation(self) -> dict[str, Any]:
        """Return the first recorded ``activate`` decision, ``{}`` where there is none."""
        for _, _, cdr in self.messages([self.decisions]):
            decision = json.loads(self.read(cdr, String).data)
            if decision["event"] == "activate":
                return dict(decision)
        return {}

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

        Raises:
            BagError: the bag ends in the middle, or is damaged.
        """
        chosen = [each for each in self._reader.connections if each.topic in topics]
        if not chosen:
            return
        messages = self._reader.messages(connections=chosen)
        while True:
            try:
                connection, bag_ns, data = next(messages)
                cdr = bytes(data)
            except StopIteration:
                return
            except Exception as error:
                raise BagError(f"bag {self.path} is damaged: {_reason(error)}") from error
            yield connection.topic, bag_ns, cdr

    def close(self) -> None:
        """Close the bag."""
        self._reader.close()

    def __enter__(self) -> ReplaySource:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the bag."""
        self.close()

    def _named(self, msgtype: str) -> list[str]:
        found = {each.topic for each in self._reader.connections if each.msgtype == msgtype}
        return sorted(found)

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


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
