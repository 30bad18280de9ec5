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
    with contextlib.ExitStack() as shown:
        bar: Any = None

        def update(done: int, expected: int) -> None:
            nonlocal bar
            if hidden or expected < _LONG or not sys.stderr.isatty():
                return
            if bar is None:
                from tqdm import tqdm  # noqa: PLC0415 - only where one is shown

                new = tqdm(total=expected, unit=" messages", unit_scale=True, desc="reading")
                bar = shown.enter_context(new)
            bar.update(done - bar.n)

        yield update
