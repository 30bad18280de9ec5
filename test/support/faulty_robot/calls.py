# SPDX-License-Identifier: Apache-2.0
"""Faults that are not in the joint states: what is asked of a policy_node, and by whom."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rclpy.node import Node
from std_msgs.msg import Float64MultiArray

from faulty_robot.policy_process import ACTIVATE, DEACTIVATE, PolicyProcess
from sac_ros.policy.spec import GoalSpec


class Calls:
    """Calls to one policy_node, each with a name: `begin` makes it, `end` takes it back.

    Attributes:
        names: of every call.
    """

    def __init__(
        self,
        policy: PolicyProcess,
        goal: GoalSpec,
        models: list[Path],
        bad: Path,
        commands: str = "commands",
    ) -> None:
        """Prepares the calls.

        Args:
            policy: the node that is called.
            goal: what its policy takes.
            models: two files of policies for the same robot.
            bad: a file that is none.
            commands: the topic of the node's commands.
        """
        self._policy, self._goal, self._models, self._bad = policy, goal, models, bad
        self._commands = commands
        self._rival: Any = None
        self._begin: dict[str, Callable[[], None]] = {
            "emergency stop": lambda: policy.emergency_stop(True),
            "goals of nan": self._goals_of_nan,
            "goal out of range": lambda: policy.send_goal(1e3, frame=goal.frame),
            "goal in unknown frame": lambda: policy.send_goal(0.0, frame="nowhere"),
            "bad model": self._bad_model,
            "model swap": self._swap,
            "another publisher": self._rival_comes,
            "deactivation": self._deactivate,
        }
        self.names = tuple(self._begin)

    def begin(self, name: str) -> None:
        """Make a call."""
        self._begin[name]()

    def end(self, name: str) -> None:
        """Take back what the call left."""
        if name == "emergency stop":
            self._policy.emergency_stop(False)
        elif name == "another publisher":
            self._rival.destroy_node()
        elif name == "deactivation":
            self._policy.change_state(ACTIVATE)

    def _goals_of_nan(self) -> None:
        for _ in range(8):  # only the newest is kept until it is read: not every one arrives
            self._policy.send_goal(0.0, math.nan, frame=self._goal.frame)
            time.sleep(0.02)

    def _bad_model(self) -> None:
        successful, _ = self._policy.set_model(self._bad)
        assert not successful, "a text was taken for a model"

    def _swap(self) -> None:
        self._models.reverse()
        successful, why = self._policy.set_model(self._models[0])
        assert successful, why

    def _rival_comes(self) -> None:
        # A node of its own, which nobody spins: a publisher cannot be taken from one that is.
        self._rival = Node("rival", namespace=self._policy.node.get_namespace())
        self._rival.create_publisher(Float64MultiArray, self._commands, 1)

    def _deactivate(self) -> None:
        self._policy.change_state(DEACTIVATE)
