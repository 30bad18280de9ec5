# SPDX-License-Identifier: Apache-2.0
"""A progress bar on long bags, for a person at a terminal only."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

from sac_ros.bags.recording import Progress

_LONG = 200_000  # messages; fewer are read in a second


@contextlib.contextmanager
def progress_bar(hidden: bool) -> Iterator[Progress]:
    """Yield what is to be told the progress; it shows nothing unless stderr is a terminal."""
    bar: list[Any] = []

    def update(done: int, expected: int) -> None:
        if hidden or expected < _LONG or not sys.stderr.isatty():
            return
        if not bar:
            from tqdm import tqdm  # noqa: PLC0415 - only where one is shown

            bar.append(tqdm(total=expected, unit=" messages", unit_scale=True, desc="reading"))
        bar[0].update(done - bar[0].n)

    try:
        yield update
    finally:
        for each in bar:
            each.close()
