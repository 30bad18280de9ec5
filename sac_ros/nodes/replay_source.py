# SPDX-License-Identifier: Apache-2.0
"""A bag to be replayed: its topics found by type and name, its messages streamed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rclpy.serialization import deserialize_message

from sac_ros.bags.decisions import read_decision
from sac_ros.bags.discovery import AskedTopics, TopicFinder
from sac_ros.bags.reader.bag import Bag
from sac_ros.utils.errors import BagError


class ReplaySource(Bag):
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
        super().__init__(path)
        asked = AskedTopics(states, goals=goals, option="parameter {}s_topic")
        found = TopicFinder(self.topics, asked, f"bag {path}")
        try:
            self.states = found.states().name
            self.goals = getattr(found.goals(), "name", None)
        except BaseException:
            self.close()
            raise
        self.decisions = getattr(found.decisions(), "name", None)
        self.applied_torque = getattr(found.applied_torque(), "name", None)
        self.start_ns, self.end_ns = self.span_ns

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
            return read_decision(cdr)
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
        for batch in self.batches({each for each in topics if each}):
            for topic, bag_ns, _, cdr in batch:
                yield topic, bag_ns, cdr
