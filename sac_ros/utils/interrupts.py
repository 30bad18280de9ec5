# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C and SIGTERM end a process at any moment, without a traceback and without orphans."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import NoReturn

GRACE = 1.5  # s for a command to unwind, or for a node to start or give up, before it is ended

NextSignal = Callable[[float | None], int | None]
Handler = Callable[[int, FrameType | None], object]


@contextlib.contextmanager
def signal_thread(
    numbers: tuple[signal.Signals, ...],
    handler: Handler,
    act: Callable[[NextSignal], None],
    *,
    afterwards: signal.Handlers | None = None,
) -> Iterator[None]:
    """Has `handler` take these signals in the main thread, and runs `act` in another thread.

    The main thread may be in C++ for long, where no Python handler runs. But the interpreter's C
    handler writes the number to the wake-up socket at once, where the thread reads it.

    Args:
        numbers: the signals; SIGHUP stays ignored where `nohup` has it ignored.
        handler: called in the main thread.
        act: gets a function that waits for the next signal, for a time in s or None: for ever. It
            returns the number, 0 once the block has been left, and None when the time is over.
        afterwards: what handles them once the block has been left; None: what did before.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may handle signals; a test may run a node elsewhere
        return
    reader, writer = socket.socketpair()
    writer.setblocking(False)

    def next_signal(timeout: float | None) -> int | None:
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            reader.settimeout(
                None if deadline is None else max(0.001, deadline - time.monotonic())
            )
            try:
                received = reader.recv(1)
            except TimeoutError:
                return None
            if not received or received[0] in numbers:
                return received[0] if received else 0

    handled = [
        number
        for number in numbers
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN
    ]
    thread = threading.Thread(target=act, args=(next_signal,), name="signals", daemon=True)
    previous_fd = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    previous = {number: signal.signal(number, handler) for number in handled}
    thread.start()
    try:
        yield
    finally:
        for number, before in previous.items():
            signal.signal(number, before if afterwards is None else afterwards)
        signal.set_wakeup_fd(previous_fd)
        writer.close()
        thread.join()
        reader.close()


@contextlib.contextmanager
def interruptible(grace: float = GRACE, words: str = "") -> Iterator[Callable[[], int | None]]:
    """Has SIGINT and SIGTERM raise KeyboardInterrupt; yields a function that returns which came.

    Libraries lose that exception, or turn it into another one, when it comes while they are
    imported or in a destructor; and C++ code holds it up. So the process is ended with all its
    descendants where the block is not left `grace` s later, and by a second signal at once.

    `words` are on stderr at once, where unwinding takes long.
    """
    first: int | None = None
    armed = False
    hook = sys.unraisablehook

    def handle(number: int, _: FrameType | None) -> None:
        nonlocal first
        if first is None:
            first = number
            sys.unraisablehook = lambda _: None
            if armed:
                raise KeyboardInterrupt

    def act(next_signal: NextSignal) -> None:
        if not (number := next_signal(None)):
            return
        if words:
            say(words)
        if next_signal(grace) != 0:
            end_process(128 + number, "interrupted")

    try:
        with signal_thread((signal.SIGINT, signal.SIGTERM), handle, act):
            armed = True
            if first is not None:
                raise KeyboardInterrupt
            yield lambda: first
            armed = False
    finally:
        armed = False
        sys.unraisablehook = hook


def end_process(exit_code: int, words: str = "") -> NoReturn:
    """Ends this process here and now, and before it whatever it has started."""
    if words:
        say(words)
    kill_descendants()
    os._exit(exit_code)


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Holds SIGINT back for what is started inside; `sac_ros.entry` takes it there.

    Until then it would end a Python process with a traceback.
    """
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT,))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def say(words: str) -> None:
    """Writes a line to stderr, past a buffer that another thread may be holding."""
    with contextlib.suppress(OSError):
        os.write(2, f"{words}\n".encode())


def kill_descendants() -> None:
    """Kills the processes that this one has started, and those that they have; on Linux.

    They are stopped first, so that they start no more meanwhile.
    """
    found: set[int] = set()
    while new := _descendants() - found:
        _send(new, signal.SIGSTOP)
        found |= new
    _send(found, signal.SIGKILL)


def _send(processes: set[int], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(OSError):  # it has ended meanwhile
            os.kill(process, number)


def _descendants() -> set[int]:
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            parent = int(stat.read_text(errors="replace").rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    found: set[int] = set()
    parents = [os.getpid()]
    while parents:
        parents = [child for parent in parents for child in children.get(parent, ())]
        found.update(parents)
    return found
