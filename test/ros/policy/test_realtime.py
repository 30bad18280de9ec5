# SPDX-License-Identifier: Apache-2.0
"""Real-time requests: granted by the system, or one sentence that says what to change."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux only")

# As a user without capabilities, whatever pytest runs as.
WITHOUT_RIGHTS = """
import os, resource
resource.setrlimit(resource.RLIMIT_RTPRIO, (0, 0))
resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
"""
SHOW_THREADS = """
import os
import threading
from sac_ros.ros.policy import realtime
go = threading.Event()
threading.Thread(target=go.wait).start()
sentence = realtime.schedule_fifo(7)
later = threading.Thread(target=go.wait)
later.start()
def policy(thread):
    return os.sched_getscheduler(thread) & ~os.SCHED_RESET_ON_FORK
threads = [int(name) for name in os.listdir("/proc/self/task")]
print(sentence)
print(sorted(policy(thread) == os.SCHED_FIFO for thread in threads))
print(policy(later.native_id) == os.SCHED_OTHER)
go.set()
"""


def run(program: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60.0
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def may(call: str) -> bool:
    """Whether the system grants it to this user; asked of the system itself, not of our code."""
    return subprocess.run([sys.executable, "-c", call], capture_output=True).returncode == 0


def test_a_refused_priority_is_one_sentence_that_names_limit_and_capability() -> None:
    program = f"from sac_ros.ros.policy import realtime\n{WITHOUT_RIGHTS}\n"
    (line,) = run(program + "print(realtime.schedule_fifo(42))")
    assert line.startswith("parameter realtime_priority: 42 is refused")
    assert "ulimit -r is 0" in line
    assert "rtprio 42" in line
    assert "CAP_SYS_NICE" in line


def test_a_refused_lock_is_one_sentence_that_names_limit_and_capability() -> None:
    program = f"from sac_ros.ros.policy import realtime\n{WITHOUT_RIGHTS}\n"
    (line,) = run(program + "print(realtime.lock_memory())")
    assert line.startswith("parameter lock_memory is refused")
    assert "ulimit -l is 0 KiB" in line
    assert "memlock unlimited" in line
    assert "CAP_IPC_LOCK" in line


def test_every_thread_gets_the_priority_and_later_ones_are_ordinary() -> None:
    if not may("import os; os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(7))"):
        pytest.skip("this user may not use SCHED_FIFO")
    sentence, threads, later_is_ordinary = run(SHOW_THREADS)
    assert sentence == ""
    assert threads == "[False, True, True]"
    assert later_is_ordinary == "True"


def test_locked_memory_does_not_grow_by_what_is_never_used() -> None:
    asked = "import ctypes, sys; sys.exit(-ctypes.CDLL(None).mlockall(7))"
    if not may(asked):
        pytest.skip("this user may not lock memory")
    program = """
from pathlib import Path
from sac_ros.ros.policy import realtime
import mmap
unused = mmap.mmap(-1, 64 * 2**20)
print(realtime.lock_memory())
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(int(status["VmLck"].split()[0]), int(status["VmRSS"].split()[0]))
"""
    sentence, sizes = run(program)
    locked_kib, resident_kib = map(int, sizes.split())
    assert sentence == ""
    assert locked_kib > 64 * 1024
    assert resident_kib < 64 * 1024


def test_the_collector_sees_nothing_old_and_still_finds_new_cycles() -> None:
    program = """
import gc, weakref
from sac_ros.ros.policy import realtime
class Cycle:
    def __init__(self):
        self.self = self
kept = Cycle()
realtime.freeze_heap()
print(gc.get_freeze_count() > 1000, len(gc.get_objects()) < 1000, gc.isenabled())
new = weakref.ref(Cycle())
gc.collect()
print(new() is None)
old = weakref.ref(kept)
del kept
gc.collect()
print(old() is None)
realtime.freeze_heap()
print(old() is None)
"""
    assert run(program) == ["True True True", "True", "False", "True"]
