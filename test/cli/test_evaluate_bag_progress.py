# SPDX-License-Identifier: Apache-2.0
"""A long bag's progress is shown to a person at a terminal, and to nobody else."""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import termios
from pathlib import Path
from typing import TextIO

from sac_ros.cli.evaluate_bag import progress_bar

LONG = 300_000  # messages


def read_bag(messages: int, stderr: TextIO, hidden: bool = False) -> None:
    with contextlib.redirect_stderr(stderr), progress_bar(hidden) as update:
        for done in range(0, messages + 1, messages // 10):
            update(done, messages)


def shown_on_a_terminal(messages: int, hidden: bool = False) -> str:
    """What a person sees on a real terminal of 40 lines of 100 characters."""
    reader, writer = os.openpty()
    fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    with os.fdopen(writer, "w") as stderr:
        read_bag(messages, stderr, hidden)
    shown = b""
    with contextlib.suppress(OSError):  # EIO: all was read, and nobody writes any more
        while more := os.read(reader, 4096):
            shown += more
    os.close(reader)
    return shown.decode()


def test_a_long_bag_shows_how_far_the_reading_is() -> None:
    shown = shown_on_a_terminal(LONG)
    assert "reading:   0%" in shown
    assert "reading: 100%" in shown
    assert "300k/300k" in shown


def test_a_short_bag_shows_nothing() -> None:
    assert shown_on_a_terminal(1000) == ""


def test_beside_json_nothing_is_shown() -> None:
    assert shown_on_a_terminal(LONG, hidden=True) == ""


def test_a_file_gets_no_progress(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as log:
        read_bag(LONG, log)
    assert (tmp_path / "log").read_text() == ""
