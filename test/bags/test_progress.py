# SPDX-License-Identifier: Apache-2.0
"""A long bag's progress is shown to a person at a terminal, and to nobody else."""

from __future__ import annotations

import fcntl
import os
import struct
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from sac_ros.bags.progress import progress_bar

LONG = 300_000  # messages


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A real terminal of 40 lines as stderr; the end from which a person reads."""
    reader, writer = os.openpty()
    fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    with os.fdopen(writer, "w") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        yield reader
    os.close(reader)


def read_bag_of(messages: int, hidden: bool = False) -> None:
    with progress_bar(hidden) as update:
        for done in range(0, messages + 1, messages // 10):
            update(done, messages)


def seen(terminal: int) -> str:
    os.set_blocking(terminal, False)
    try:
        return os.read(terminal, 100_000).decode()
    except BlockingIOError:
        return ""


def test_a_long_bag_shows_how_far_the_reading_is(terminal: int) -> None:
    read_bag_of(LONG)
    shown = seen(terminal)
    assert "reading:   0%" in shown
    assert "reading: 100%" in shown
    assert "300k/300k" in shown


def test_a_short_bag_shows_nothing(terminal: int) -> None:
    read_bag_of(1000)
    assert seen(terminal) == ""


def test_beside_json_nothing_is_shown(terminal: int) -> None:
    read_bag_of(LONG, hidden=True)
    assert seen(terminal) == ""


def test_a_file_gets_no_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "log").open("w") as log:
        monkeypatch.setattr(sys, "stderr", log)
        read_bag_of(LONG)
    assert (tmp_path / "log").read_text() == ""
