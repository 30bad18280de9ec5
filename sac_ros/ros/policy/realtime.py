# SPDX-License-Identifier: Apache-2.0
"""What a process can ask of the system in order to answer in time."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import resource
from collections.abc import Callable
from pathlib import Path

_TASKS = Path("/proc/self/task")
# linux/mman.h. On fault: pages are locked as they are first used. All of the address space at
# once would be some hundred MB of thread stacks and libraries that nothing ever touches.
_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4


def prepare(priority: int, memory: bool, warn: Callable[[str], object]) -> None:
    """Make ready to answer in time, once all that answers is there.

    ``warn`` takes a sentence for each of `schedule_fifo` (unless ``priority`` is 0) and
    `lock_memory` (if ``memory``) that the system refuses.
    """
    freeze_heap()
    if priority and (refusal := schedule_fifo(priority)):
        warn(refusal)
    if memory and (refusal := lock_memory()):
        warn(refusal)


def freeze_heap() -> None:
    """Take all that exists now out of the garbage collector's sight, after one last collection.

    A full collection then takes a fraction of a millisecond instead of some twenty.
    """
    gc.unfreeze()  # what an earlier call froze may be garbage by now
    gc.collect()
    gc.freeze()


def schedule_fifo(priority: int) -> str:
    """Give every thread of this process a real-time priority (SCHED_FIFO) of 1 to 99.

    A state passes through the middleware's threads first. Threads that start later, such as one
    that loads a policy, are ordinary ones.

    Returns:
        An empty text, or one sentence with the reason of the refusal and what to change.
    """
    if not hasattr(os, "sched_setscheduler"):
        return "parameter realtime_priority needs Linux; going on without it"
    policy = os.SCHED_FIFO | os.SCHED_RESET_ON_FORK
    try:
        for thread in map(int, os.listdir(_TASKS)):
            with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
                os.sched_setscheduler(thread, policy, os.sched_param(priority))
    except OSError as error:
        allowed = resource.getrlimit(resource.RLIMIT_RTPRIO)[0]
        return (
            f"parameter realtime_priority: {priority} is refused by the system "
            f"({error.strerror}; ulimit -r is {allowed}); allow it by 'USER - rtprio {priority}' "
            "in /etc/security/limits.conf and a new login, or by the capability CAP_SYS_NICE; "
            "going on without it"
        )
    return ""


def lock_memory() -> str:
    """Keep every page of this process in memory once it is used (mlockall).

    Returns:
        An empty text, or one sentence with the reason of the refusal and what to change.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "mlockall"):
        return "parameter lock_memory needs Linux; going on without it"
    if libc.mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT) == 0:
        return ""
    reason = os.strerror(ctypes.get_errno())
    allowed = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    kib = "unlimited" if allowed == resource.RLIM_INFINITY else f"{allowed // 1024} KiB"
    return (
        f"parameter lock_memory is refused by the system ({reason}; ulimit -l is {kib}); allow it "
        "by 'USER - memlock unlimited' in /etc/security/limits.conf and a new login, or by the "
        "capability CAP_IPC_LOCK; going on without it"
    )
