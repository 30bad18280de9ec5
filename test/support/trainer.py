# SPDX-License-Identifier: Apache-2.0
"""Tiny runs in processes of their own, see `trainer_server`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest


class Trainer:
    """Trainings one after the other, each in a process of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._server = subprocess.Popen(
            [sys.executable, str(Path(__file__).parent / "trainer_server.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._process_id = 0

    def start(self, kill_at: int | None = None, **changes: Any) -> None:
        """Start one, which kills itself at its first checkpoint of `kill_at` steps or more."""
        json.dump(
            {"directory": str(self.directory), "changes": changes, "kill_at": kill_at}, self._in
        )
        self._in.write("\n")
        self._in.flush()
        self._process_id = int(self._out.readline())

    def wait(self) -> int:
        """Wait until it ends; return its exit code, which is -9 after a kill."""
        return int(self._out.readline())

    def kill(self) -> None:
        os.kill(self._process_id, signal.SIGKILL)
        assert self.wait() == -signal.SIGKILL

    def close(self) -> None:
        self._in.close()
        self._server.kill()
        self._server.wait()
        self._out.close()

    @property
    def log(self) -> str:
        return (self.directory / "log").read_text()

    @property
    def _in(self) -> IO[str]:
        assert self._server.stdin is not None
        return self._server.stdin

    @property
    def _out(self) -> IO[str]:
        assert self._server.stdout is not None
        return self._server.stdout


@pytest.fixture
def trainer(tmp_path: Path) -> Iterator[Trainer]:
    started = Trainer(tmp_path)
    yield started
    started.close()
