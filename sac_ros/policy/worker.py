# SPDX-License-Identifier: Apache-2.0
"""Where an inference runs: in the caller's thread, or in one of its own that may be late."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Any

Work = Callable[[], Any]

_NOBODYS = 0  # the number of work whose result is unused


class Inline:
    """Runs work in the caller's thread, however long it takes: for tests and replays."""

    busy = False

    def __init__(self) -> None:
        self._work: Work | None = None

    def begin(self, work: Work) -> None:
        """Take work, in the place of what was not asked for."""
        self._work = work

    def result(self, within_s: float) -> Any | None:  # noqa: ARG002
        """Do the work that was begun last, and return what it returns."""
        work, self._work = self._work, None
        return None if work is None else work()

    def abandon(self) -> None:
        """Do nothing of what was begun."""
        self._work = None

    def prepare(self, work: Work) -> None:
        """Do nothing: the caches of a processor are a matter of real time."""

    def close(self) -> None:
        """Do nothing."""


class Worker:
    """Runs one piece of work after the other in a thread of its own.

    Only the result of what was begun last is handed out. `onnxruntime` releases Python's lock
    while it runs, so the caller goes on at once.
    """

    def __init__(self) -> None:
        self._works: queue.SimpleQueue[tuple[int, Work] | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[tuple[int, Any, BaseException | None]] = (
            queue.SimpleQueue()
        )
        self._count = self._wanted = _NOBODYS
        self._running = 0  # works whose results were not collected
        self._abandoned = False
        threading.Thread(target=self._serve, name="inference", daemon=True).start()

    @property
    def busy(self) -> bool:
        """Whether abandoned work has not ended yet."""
        return self._abandoned and not self._idle()

    def begin(self, work: Work) -> None:
        """Begin work after what runs; what that comes to is thrown away.

        Behind abandoned work that does not end only one waits: no more is ever begun than done.
        """
        self._count += 1
        self._wanted = self._count
        if self._idle() or self._running == 1:
            self._put(self._wanted, work)

    def result(self, within_s: float) -> Any | None:
        """Return what the work returns, or None where that is not there within ``within_s`` s.

        What the work raises is raised here. A result is handed out once.
        """
        deadline = time.monotonic() + within_s
        while self._running:
            try:
                number, found, error = self._results.get(
                    timeout=max(0.0, deadline - time.monotonic())
                )
            except queue.Empty:
                return None
            self._running -= 1
            if number == self._wanted != _NOBODYS:
                self._wanted, self._abandoned = _NOBODYS, False
                if error is not None:
                    raise error
                return found
        return None

    def abandon(self) -> None:
        """Want the result no more; the work is `busy` until it ends."""
        self._wanted, self._abandoned = _NOBODYS, True

    def prepare(self, work: Work) -> None:
        """Begin work whose result nobody needs, unless something runs already."""
        if self._idle():
            self._put(_NOBODYS, work)

    def close(self) -> None:
        """End the thread after what it runs; a late one is left alone."""
        self._works.put(None)

    def _put(self, number: int, work: Work) -> None:
        self._works.put((number, work))
        self._running += 1

    def _idle(self) -> bool:
        """Throw away results that are no longer used; return whether nothing runs."""
        while self._running:
            try:
                self._results.get(timeout=0.0)
            except queue.Empty:
                return False
            self._running -= 1
        return True

    def _serve(self) -> None:
        while (given := self._works.get()) is not None:
            number, work = given
            try:
                self._results.put((number, work(), None))
            except BaseException as error:  # raised again where the result is awaited
                self._results.put((number, None, error))
