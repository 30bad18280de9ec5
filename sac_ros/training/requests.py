# SPDX-License-Identifier: Apache-2.0
"""Calls that other threads ask of the training thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any

from sac_ros.utils.errors import SacRosError

Action = Callable[[], Any]


class Requests:
    """A queue of actions, each answered through a future by the thread that serves it."""

    def __init__(self) -> None:
        """Starts empty and open."""
        self._queue: SimpleQueue[tuple[Action, Future[Any]]] = SimpleQueue()
        self._ended = threading.Event()

    def submit(self, action: Action) -> Future[Any]:
        """Has `action` called by the serving thread; the future holds its result or its error."""
        future: Future[Any] = Future()
        self._queue.put((action, future))
        if self._ended.is_set():
            self.end()
        return future

    def serve(self, call: Callable[[Action], Any]) -> None:
        """Answers all that is waiting; `call` calls an action in its right circumstances."""
        for action, future in self._waiting():
            try:
                future.set_result(call(action))
            except Exception as error:  # it belongs to the caller, who waits in another thread
                future.set_exception(error)

    def end(self) -> None:
        """Refuses what is waiting and all that will come, so that no caller waits for ever."""
        self._ended.set()
        for _, future in self._waiting():
            future.set_exception(SacRosError("the training has ended"))

    def _waiting(self) -> list[tuple[Action, Future[Any]]]:
        found = []
        while True:
            try:
                found.append(self._queue.get_nowait())
            except Empty:
                return found
