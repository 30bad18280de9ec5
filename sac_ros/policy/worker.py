# SPDX-License-Identifier: Apache-2.0
"""Where an inference runs: in the caller's thread, or in one of its own that may be late."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class Inline:
    """Runs work in the caller's thread, however long it takes: for tests and replays."""

    busy = False

    def run(self, work: Callable[[], T], within_s: float) -> T | None:  # noqa: ARG002
        """Return what the work returns."""
        return work()

    def prepare(self, work: Callable[[], Any]) -> None:
        """Do nothing: the caches of a processor are a matter of real time."""

    def close(self) -> None:
        """Do nothing."""


class Worker:
    """Runs one piece of work after the other in a thread of its own.

    Work that is late is abandoned: `run` returns None, what the work comes to is thrown away, and
    until it has ended no other work is begun. `onnxruntime` releases Python's lock while it runs,
    so the caller goes on at once.
    """

    def __init__(self) -> None:
        self._works: queue.SimpleQueue[Callable[[], Any] | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()
        self._running = 0  # works whose results were not collected
        self._late = False
        threading.Thread(target=self._serve, name="inference", daemon=True).start()

    @property
    def busy(self) -> bool:
        """Whether late work has not ended yet."""
        return self._late and not self._collected(0.0)

    def run(self, work: Callable[[], T], within_s: float) -> T | None:
        """Return what the work returns, or None where that is not there within ``within_s`` s.

        What the work raises is raised here.
        """
        deadline = time.monotonic() + within_s
        if not self._collected(0.0 if self._late else within_s):
            self._late = True
            return None
        self._late = False
        self._works.put(work)
        self._running += 1
        try:
            found, error = self._results.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            self._late = True
            return None
        self._running -= 1
        if error is not None:
            raise error
        result: T = found
        return result

    def prepare(self, work: Callable[[], Any]) -> None:
        """Begin work whose result nobody needs, unless something runs already."""
        if self._collected(0.0):
            self._works.put(work)
            self._running += 1

    def close(self) -> None:
        """End the thread after what it runs; a late one is left alone."""
        self._works.put(None)

    def _collected(self, within_s: float) -> bool:
        """Throw away results; return whether none is outstanding."""
        while self._running:
            try:
                self._results.get(timeout=within_s)
            except queue.Empty:
                return False
            self._running -= 1
        return True

    def _serve(self) -> None:
        while (work := self._works.get()) is not None:
            try:
                self._results.put((work(), None))
            except BaseException as error:  # raised again where the result is awaited
                self._results.put((None, error))
