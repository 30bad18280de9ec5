# SPDX-License-Identifier: Apache-2.0
"""A line that takes its time, and loses some of what it carries."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

import numpy as np

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
