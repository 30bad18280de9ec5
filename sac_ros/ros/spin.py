# SPDX-License-Identifier: Apache-2.0
"""The main function that every node shares: init, signals, spin, stop, exit code."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import TypeVar

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future

from sac_ros.utils.errors import EXIT_DONE, ConfigurationError, run_command

T = TypeVar("T")
_POLL_S = 0.001
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


def run_node(make_node: Callable[[], Node], args: list[str] | None = None) -> int:
    """Run one node until a signal, `NodeDone` or an error, and return the exit code.

    rclpy's own signal handlers invalidate the context at once, and with it every publisher. So
    rclpy installs none, a signal only ends the spinning, and ``node.stop()`` (where the node has
    one) can send a last command or write a checkpoint, after an exception in a callback too.

    This is the last thing that a process does: the signals stay ignored afterwards.

    Args:
        make_node: constructs the node; called once ROS is initialised.
        args: ROS arguments; ``sys.argv`` when None.

    Returns:
        0 after a signal, the code of `NodeDone`, or 2 after a `SacRosError` (its sentence is on
        stderr). Any other exception is a bug and passes through, after ``stop()``.
    """

    def run() -> int:
        with _stop_on_signal() as stop, _initialised(args):
            node = make_node()
            executor = SingleThreadedExecutor()
            executor.add_node(node)
            try:
                executor.spin_until_future_complete(stop)
            except NodeDone as done:
                return done.exit_code
            except ExternalShutdownException:
                pass  # someone else shut the context down: nothing can be published any more
            finally:
                if stop_node := getattr(node, "stop", None):
                    stop_node()
                executor.shutdown()
                node.destroy_node()
        return EXIT_DONE

    return run_command(run)


@contextlib.contextmanager
def _initialised(args: list[str] | None) -> Iterator[None]:
    """Hold an initialised default ROS context; report why ROS refuses its arguments."""
    try:
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    except Exception as error:  # rclpy raises RCLError, UnknownROSArgsError, ValueError here
        reason = " ".join(str(error).split())
        raise ConfigurationError(f"ROS refuses the arguments: {reason}") from error
    try:
        yield
    finally:
        rclpy.try_shutdown()


@contextlib.contextmanager
def _stop_on_signal() -> Iterator[Future[int]]:
    """Yield a future that one of `_SIGNALS` completes with the signal's number.

    The executor waits in C++, where a Python signal handler cannot run. But the interpreter's C
    handler writes the number to the wake-up socket at once, where a thread reads it.

    Afterwards the kernel ignores these signals: the interpreter takes Python handlers down before
    it has ended.
    """
    stop: Future[int] = Future()
    if threading.current_thread() is not threading.main_thread():
        yield stop  # only the main thread may handle signals; a test may run a node elsewhere
        return
    reader, writer = socket.socketpair()
    writer.setblocking(False)

    def wait_for_signal() -> None:
        while number := reader.recv(1):
            if number[0] in _SIGNALS and not stop.done():
                stop.set_result(number[0])

    thread = threading.Thread(target=wait_for_signal, name="signals", daemon=True)
    previous_fd = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    for number in _SIGNALS:
        signal.signal(number, lambda *_: None)
    thread.start()
    try:
        yield stop
    finally:
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        signal.set_wakeup_fd(previous_fd)
        writer.close()
        thread.join()
        reader.close()


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
