# SPDX-License-Identifier: Apache-2.0
"""The driver of a faulty robot: joint states out, wrong ones on demand, every command recorded."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

from faulty_robot.state_faults import STATE_FAULTS

Array = NDArray[np.float64]
Motion = Callable[[], tuple[Sequence[float], Sequence[float]]]
"""Returns the position and velocity of every joint now, rad and rad/s."""


class Recorded(NamedTuple):
    """A command and when it was published, s of the wall clock."""

    time: float
    torque: Array


class FaultyDriver:
    """Publishes joint states from a thread of its own, until `close`.

    Attributes:
        names: of the joints, in the order of ``motion``.
        period_s: from one state to the next.
        commands: every command that was ever published, in order.
        state_times: when each usable state was published, s of the wall clock.
        answered: [2, n] position and velocity of the usable state that was published last.
    """

    def __init__(
        self, node: Node, names: Sequence[str], motion: Motion, period_s: float = 0.002
    ) -> None:
        self.names = list(names)
        self.period_s = period_s
        self.commands: list[Recorded] = []
        self.state_times: list[float] = []
        self.answered = np.zeros((2, len(names)))
        self._motion = motion
        self._faults: dict[str, int] = {}  # its name → messages since it began
        self._lock = threading.Lock()
        self._publisher = node.create_publisher(JointState, "joint_states", 1000)
        node.create_subscription(Float64MultiArray, "commands", self._record, 10_000)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._drive, name="driver", daemon=True)
        self._thread.start()

    def begin(self, fault: str) -> None:
        """Let every state have this fault of `STATE_FAULTS`, on top of those it has."""
        with self._lock:
            self._faults[fault] = 0

    def end(self, fault: str) -> None:
        """Take the fault away again."""
        with self._lock:
            self._faults.pop(fault, None)

    @property
    def readers(self) -> int:
        """How many nodes listen to the joint states."""
        return int(self._publisher.get_subscription_count())

    def close(self) -> None:
        """Stop publishing."""
        self._closed.set()
        self._thread.join()

    def _drive(self) -> None:
        due = time.monotonic()
        while not self._closed.wait(max(0.0, due - time.monotonic())):
            due = max(due, time.monotonic() - self.period_s) + self.period_s  # no bursts
            position, velocity = self._motion()
            state = JointState(name=self.names, position=position, velocity=velocity)
            stamp = state.header.stamp
            stamp.sec, stamp.nanosec = divmod(time.time_ns(), 10**9)
            with self._lock:
                usable = all(STATE_FAULTS[name].usable for name in self._faults)
                messages = self._spoil(state)
                if usable and messages:
                    self._note(messages[-1])
            for message in messages:
                self._publisher.publish(message)

    def _spoil(self, state: JointState) -> list[JointState]:
        """Apply every fault in the order of the table, each to what the one before it left."""
        messages = [state]
        for name in STATE_FAULTS:
            if name in self._faults:
                change, count = STATE_FAULTS[name].change, self._faults[name]
                self._faults[name] += 1
                messages = [one for each in messages for one in change(each, count)]
        return messages

    def _note(self, state: JointState) -> None:
        places = [list(state.name).index(name) for name in self.names]
        answered = np.array([state.position, state.velocity])[:, places]
        if not np.isfinite(answered).all():
            return  # of the messages of a fault that spoils some
        self.answered = answered
        self.state_times.append(time.time())

    def _record(self, message: Float64MultiArray, info: Any) -> None:
        time_s = info["source_timestamp"] * 1e-9
        self.commands.append(Recorded(time_s, np.array(message.data)))
