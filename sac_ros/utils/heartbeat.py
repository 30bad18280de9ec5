# SPDX-License-Identifier: Apache-2.0
"""Output that is never silent for long: what takes its time is repeated, with its time."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable

from tqdm import tqdm

INTERVAL_S = 2.0


class _Printed:
    """What the program has printed last, and what repeats it."""

    def __init__(self) -> None:
        self.line = ""
        self.since = self.latest = time.monotonic()
        self.refresh: Callable[[], object] | None = None


_printed = _Printed()


def printed(line: str = "") -> None:
    """Notes that something has been printed; `line` is what goes on from now on."""
    _printed.latest = time.monotonic()
    if line:
        _printed.line, _printed.since = line, _printed.latest


def repeat_with(refresh: Callable[[], object] | None) -> None:
    """Has `refresh` called instead of the line repeated, as long as there is a progress bar."""
    _printed.refresh = refresh


class Heartbeat:
    """Repeats what goes on where nothing has been printed for `interval_s`.

    A context: a thread of its own watches until it is left, during imports too.
    """

    def __init__(self, interval_s: float = INTERVAL_S) -> None:
        self._interval = interval_s
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="heartbeat", daemon=True)

    def __enter__(self) -> Heartbeat:
        printed()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._left.wait(self._interval / 4):
            now = time.monotonic()
            if now - _printed.latest < self._interval:
                continue
            if _printed.refresh is not None:
                _printed.refresh()
            elif _printed.line:
                tqdm.write(f"{_printed.line}: {now - _printed.since:.0f} s", file=sys.stderr)
            printed()
