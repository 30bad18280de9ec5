# SPDX-License-Identifier: Apache-2.0
"""What a robot driver does with torque commands: check them, wait for them, time out."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from sac_ros.utils.errors import SacRosError

Array = NDArray[np.float64]
Item = TypeVar("Item")


class LossyChannel(Generic[Item]):
    """Carries items in their order: each comes out `latency` s after it went in, or never.

    Time is an argument everywhere (s, any monotonic clock).
    """

    def __init__(self, *, latency: float, loss: float, seed: tuple[int, ...]) -> None:
        """Opens the line.

        Args:
            latency: s from in to out.
            loss: fraction of the items that are lost, each by a draw of its own.
            seed: repeats the draws; lines with other seeds lose other items.
        """
        self._latency = latency
        self._loss = loss
        self._rng = np.random.default_rng(seed)
        self._waiting: deque[tuple[float, Item]] = deque()

    def send(self, item: Item, now: float) -> None:
        """Puts an item in at `now`."""
        if self._loss == 0.0 or self._rng.random() >= self._loss:
            self._waiting.append((now + self._latency, item))

    def receive(self, now: float) -> list[tuple[float, Item]]:
        """What came out by `now` and was not received yet: when it did, and the item."""
        arrived = []
        while self._waiting and self._waiting[0][0] <= now:
            arrived.append(self._waiting.popleft())
        return arrived

    def clear(self) -> None:
        """Loses everything that is on its way."""
        self._waiting.clear()


class CommandRefusedError(SacRosError):
    """A command that cannot be applied; the sentence names what is wrong with it."""


class CommandInbox:
    """Torque commands on their way to the motors, for n joints.

    A command takes effect when its line delivers it and holds until the next one, but for no
    longer than `timeout` s: a robot that is no longer spoken to lets go. Time is an argument
    everywhere (s, any monotonic clock).
    """

    def __init__(
        self, joint_names: Sequence[str], line: LossyChannel[Array], *, timeout: float
    ) -> None:
        """Expects one torque per joint name, in that order, and sends commands down `line`."""
        self._names = tuple(joint_names)
        self._line = line
        self._timeout = timeout
        self._zero = np.zeros(len(self._names))
        self._current = self._zero
        self._expires = -math.inf

    def put(self, torque: Sequence[float], now: float) -> None:
        """Takes a command of n torques, N·m, that arrived at `now`.

        Raises:
            CommandRefusedError: wrong number of values, or one that is not finite. The command
                before it goes on until its timeout.
        """
        values = np.array(torque, dtype=np.float64)
        if values.shape != self._zero.shape:
            raise CommandRefusedError(
                f"a command must hold {len(self._names)} torques, one for each of "
                f"{', '.join(self._names)}; got {values.size} values"
            )
        if not np.isfinite(values).all():
            joint = int(np.argmin(np.isfinite(values)))
            raise CommandRefusedError(
                f"a command must hold finite torques; got {values[joint]} N·m "
                f"for {self._names[joint]}"
            )
        self._line.send(values, now)

    def torque(self, now: float) -> Array:
        """The commanded torque [n], N·m, at `now`; zero where no command is in force."""
        for effective, torque in self._line.receive(now):
            self._current = torque
            self._expires = effective + self._timeout
        return self._current if now <= self._expires else self._zero

    def clear(self) -> None:
        """Forgets every command, the one in force and those on their way."""
        self._line.clear()
        self._current = self._zero
        self._expires = -math.inf
