# SPDX-License-Identifier: Apache-2.0
"""The kernel tells how long a process waited for a processor."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: `make setup` brings it")

from faulty_robot.run_delay import RunDelay

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/schedstat").is_file(), reason="this kernel tells of no run delays"
)
BUSY = "while True: pass"


@contextmanager
def busy(*nice: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that wants the first of our processors all the time."""
    first = min(os.sched_getaffinity(0))
    process = subprocess.Popen(
        [*nice, sys.executable, "-c", BUSY],
        preexec_fn=lambda: os.sched_setaffinity(0, {first}),  # noqa: PLW1509 - one thread here
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_who_shares_a_processor_with_a_more_important_one_waits(
    eventually: Callable[..., None],
) -> None:
    with busy("nice", "-n", "19") as starved, busy():
        delay = RunDelay(starved.pid)
        start = time.time()
        eventually(lambda: delay.within(start, time.time()) > 0.2, "it waits for a processor")
        before = delay.within(start - 100.0, start)
        delay.close()
        assert before < delay.within(start, time.time())


def test_a_sleeping_process_waits_for_nothing() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        delay = RunDelay(process.pid)
        start = time.time()
        threading.Event().wait(0.2)
        delay.close()
        slept = time.time() - start
        process.kill()
    assert delay.within(start, start + slept) < 0.5 * slept


def test_of_a_process_that_is_gone_nothing_is_known() -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    delay = RunDelay(process.pid)
    delay.close()
    assert delay.within(0.0, time.time()) == 0.0
