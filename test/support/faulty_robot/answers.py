# SPDX-License-Identifier: Apache-2.0
"""Which joint state each torque answered, and how long that took."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from rclpy.node import Node
from sensor_msgs.msg import JointState

Array = NDArray[np.float64]


class Answer(NamedTuple):
    """A torque that was applied: the stamp of the state that it answers, and when it came, s."""

    stamp: float
    time: float


class Answers:
    """Listens to ``policy_node/applied_torque``, which names the state that a command answers.

    It is published right after its command, so that the time of an answer is never too early.

    Attributes:
        seen: every answer that came, in order.
    """

    def __init__(self, node: Node) -> None:
        self.seen: list[Answer] = []
        node.create_subscription(JointState, "policy_node/applied_torque", self._note, 10_000)

    def _note(self, message: JointState, info: Any) -> None:
        stamp = message.header.stamp
        if stamp.sec:  # else the torque of a tick, which answers no state
            seconds = stamp.sec + stamp.nanosec * 1e-9
            self.seen.append(Answer(seconds, info["source_timestamp"] * 1e-9))

    def delays(self, state_times: ArrayLike) -> Array:
        """How long each state waited for its answer.

        Args:
            state_times: [k] s, ascending: when each state was published, right after its stamp.

        Returns:
            [k] s; infinite for a state without an answer.
        """
        times = np.asarray(state_times, dtype=float)
        delays = np.full(len(times), np.inf)
        if self.seen and len(times):
            stamps, answered = np.array(self.seen).T
            index = np.searchsorted(times, stamps)
            known = index < len(times)
            delays[index[known]] = (answered - stamps)[known]
        return delays
