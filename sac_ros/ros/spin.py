# SPDX-License-Identifier: Apache-2.0
"""The main function that every node shares: init, signals, spin, stop, exit code."""

from __future__ import annotations

import contextlib
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import TypeVar

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future

from sac_ros.ros.node_arguments import help_asked, help_text
from sac_ros.utils.errors import EXIT_DONE, EXIT_INTERRUPTED, ConfigurationError, exit_code_of
from sac_ros.utils.interrupts import GRACE, NextSignal, end_process, say, signal_thread

T = TypeVar("T")
_POLL_S = 0.001
_AGAIN_S = 0.5  # a second Ctrl-C comes later than one that a launch and a terminal both send
# A closed terminal sends SIGHUP, Ctrl-\\ SIGQUIT.
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


def in_thread(name: str, work: Callable[[], T]) -> futures.Future[T]:
    """Run something in a daemon thread; the future has its result, or what it raised."""
    done: futures.Future[T] = futures.Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return done


def wait_until(done: Callable[[], bool], timeout_s: float) -> bool:
    """Wait in the executor's thread, while others go on; return whether it is done in time."""
    deadline = time.monotonic() + timeout_s
    while not (finished := done()) and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    return finished


class NodeDone(Exception):  # noqa: N818 - good news, not an error
    """Raised in a callback by a node whose work is finished; carries the exit code."""

    def __init__(self, exit_code: int = EXIT_DONE) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code


def run_node(
    make_node: Callable[[], Node],
    args: list[str] | None = None,
    *,
    about: str | None = None,
    parameters: type | None = None,
    stopping: str = "",
) -> int:
    """Run one node until a signal, `NodeDone` or an error, and return the exit code.

    rclpy's own signal handlers invalidate the context at once, and with it every publisher. So
    rclpy installs none, a signal only ends the spinning, and ``node.stop()`` (where the node has
    one) can send a last command or write a checkpoint, after an exception in a callback too.

    A node that has not started 1.5 s after a signal is ended.

    This is the last thing that a process does: the signals stay ignored afterwards.

    Args:
        make_node: constructs the node; called once ROS is initialised.
        args: ROS arguments; ``sys.argv`` when None.
        about: what the node does, for ``--help``.
        parameters: the node's configuration class, likewise; None: arguments are not checked.
        stopping: on stderr at once after a signal, where stopping takes long. A second Ctrl-C then
            ends the process.

    Returns:
        0 after a signal, the code of `NodeDone`, or 2 after a `SacRosError` (its sentence is on
        stderr). Any other exception is a bug and passes through, after ``stop()``.
    """
    signals = _Signals(stopping)

    def run() -> int:
        if parameters and help_asked(sys.argv[1:] if args is None else args):
            sys.stdout.write(f"{help_text(Path(sys.argv[0]).stem, about, parameters)}\n")
            return EXIT_DONE
        try:
            with signals.handled(), _initialised(args):
                _run(make_node, signals)
        except NodeDone as done:
            return done.exit_code
        except BaseException:
            if not signals.gave_up:  # whatever a library has made of the KeyboardInterrupt
                raise
            end_process(EXIT_DONE)  # what is half imported or half started is not taken down
        return EXIT_DONE

    return exit_code_of(run)


def _run(make_node: Callable[[], Node], signals: _Signals) -> None:
    node = make_node()
    signals.started.set()
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        executor.spin_until_future_complete(signals.stop)
    except ExternalShutdownException:
        pass  # someone else shut the context down: nothing can be published any more
    finally:
        if stop_node := getattr(node, "stop", None):
            stop_node()
        executor.shutdown()
        node.destroy_node()


@contextlib.contextmanager
def _initialised(args: list[str] | None) -> Iterator[None]:
    """Hold an initialised default ROS context; report why ROS refuses its arguments."""
    try:
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    except Exception as error:  # rclpy raises RCLError, UnknownROSArgsError, ValueError here
        # Without the lines of C that rcl lists.
        reason = re.sub(r",? at \S+\.c(pp)?:\d+", "", " ".join(str(error).split()))
        raise ConfigurationError(f"ROS refuses the arguments: {reason}") from error
    try:
        yield
    finally:
        rclpy.try_shutdown()


class _Signals:
    """What a signal does to a node: it ends the spinning, or the start where that takes long."""

    def __init__(self, words: str) -> None:
        self.stop: Future[int] = Future()  # completed with the number of the first one
        self.started = threading.Event()  # or failed to
        self.gave_up = False
        self._words = words

    @contextlib.contextmanager
    def handled(self) -> Iterator[None]:
        """Handle them, and have the kernel ignore them afterwards.

        The interpreter takes Python handlers down before it has ended.
        """
        with signal_thread(_SIGNALS, self._raise, self._act, afterwards=signal.SIG_IGN):
            try:
                yield
            finally:
                self.started.set()

    def _raise(self, *_: object) -> None:
        if self.gave_up and not self.started.is_set():
            raise KeyboardInterrupt

    def _act(self, next_signal: NextSignal) -> None:
        """Run in a thread of its own, since the executor waits in C++."""
        if not (number := next_signal(None)):
            return
        if self._words:
            say(self._words if self.started.is_set() else "stopping")
        self.stop.set_result(number)
        # Most nodes start and stop as ever; what takes long, as torch's import does, is given up.
        if not self.started.wait(GRACE / 3):
            self.gave_up = True
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            if not self.started.wait(GRACE * 2 / 3):
                end_process(EXIT_DONE)
        since = time.monotonic()
        while self._words and (again := next_signal(None)):
            if again == signal.SIGINT and time.monotonic() - since > _AGAIN_S:
                end_process(EXIT_INTERRUPTED)


@contextlib.contextmanager
def spinning_node(name: str, namespace: str = "") -> Iterator[Node]:
    """ROS with one node that a thread spins, until the context is left.

    Ctrl-C stays the program's own: it must end its child processes first.
    """
    with _initialised(["--ros-args", "--log-level", "warn"]):
        node, executor = Node(name, namespace=namespace), SingleThreadedExecutor()
        executor.add_node(node)
        end: Future[None] = Future()
        thread = threading.Thread(
            target=executor.spin_until_future_complete, args=(end,), name="executor", daemon=True
        )
        thread.start()
        try:
            yield node
        finally:
            end.set_result(None)
            thread.join()
            executor.shutdown()
            node.destroy_node()
