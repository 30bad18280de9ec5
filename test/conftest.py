# SPDX-License-Identifier: Apache-2.0
"""Every test session has a ROS domain of its own, and reaches no other machine."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

try:
    import rclpy
    from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
    from rclpy.node import Node
    from rclpy.signals import SignalHandlerOptions

    from sac_ros.ros.private_ros import PrivateDomain, loopback_only
except ModuleNotFoundError:  # what needs no ROS is tested without it, but never so in CI
    if os.environ.get("CI"):
        raise
    rclpy = None

# pytest's importlib mode puts nothing on the path: the helpers, the examples, which import each
# other as scripts do, and the root for benchmarks/.
_HERE = Path(__file__).parent
sys.path[:0] = [str(_HERE / "support"), str(_HERE.parent / "examples"), str(_HERE.parent)]

# A busy machine makes no test wrong.
hypothesis.settings.register_profile("default", deadline=None, max_examples=50)

# Of `make mutation`: a mutant either fails some of the first examples, or the same ones each time.
hypothesis.settings.register_profile(
    "mutation",
    max_examples=25,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],  # a busy machine kills no mutant
)

# Even where ROS_DOMAIN_ID is set: a robot may be listening there, and tests publish torques.
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
if rclpy is not None:
    _DOMAIN = PrivateDomain()
    os.environ["ROS_DOMAIN_ID"] = str(_DOMAIN.id)
    loopback_only(os.environ)


_crashed: set[str] = set()


@pytest.hookimpl(optionalhook=True)
def pytest_handlecrashitem(crashitem: str, report: pytest.TestReport, sched: Any) -> None:
    """Run a test once more whose worker ended under it.

    Once in some thousand tests Fast DDS 3.2 does so, when the last node of a process is destroyed
    while others leave the domain (docs/deploying.md, "After a killed process").
    """
    if crashitem not in _crashed:
        _crashed.add(crashitem)
        report.outcome = "rerun"  # type: ignore[assignment]  # as pytest-xdist's own example has it
        sched.mark_test_pending(crashitem)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Name the tests whose worker ended under them."""
    for name in sorted(_crashed):
        terminalreporter.write_line(f"run once more, since its process ended: {name}")


class RosThread:
    """An initialised default context, and an executor that spins its nodes in a thread."""

    def __init__(self, *args: str) -> None:
        rclpy.init(
            args=["--ros-args", *args] if args else [],
            signal_handler_options=SignalHandlerOptions.NO,
        )
        self.executor = SingleThreadedExecutor()
        self._nodes: list[Node] = []
        self._thread = threading.Thread(target=self._spin, name="executor", daemon=True)
        self._thread.start()

    def _spin(self) -> None:
        with contextlib.suppress(ExternalShutdownException):
            self.executor.spin()

    def add(self, node: Node) -> Node:
        """Spin ``node`` from now on, and destroy it at the end."""
        self._nodes.append(node)
        self.executor.add_node(node)
        return node

    def node(self, name: str = "test_node", **options: object) -> Node:
        """A new plain node that is spun."""
        return self.add(Node(name, **options))

    def close(self) -> None:
        self.executor.shutdown()
        self._thread.join(10.0)
        for node in self._nodes:
            if stop := getattr(node, "stop", None):
                stop()
            node.destroy_node()
        rclpy.try_shutdown()


@pytest.fixture
def ros_with() -> Iterator[Callable[..., RosThread]]:
    """Initialises ROS with arguments, such as ``ros_with("-p", "rate:=250.0")``; once a test."""
    if rclpy is None:
        pytest.skip("rclpy is not installed: `make setup` brings it")
    threads: list[RosThread] = []

    def start(*args: str) -> RosThread:
        threads.append(RosThread(*args))
        return threads[-1]

    yield start
    for thread in threads:
        thread.close()


@pytest.fixture
def ros(ros_with: Callable[..., RosThread]) -> RosThread:
    """ROS, initialised for one test."""
    return ros_with()


@pytest.fixture(scope="module")
def module_ros() -> Iterator[RosThread]:
    """ROS, initialised for all tests of a module; none of them may use ``ros`` too."""
    if rclpy is None:
        pytest.skip("rclpy is not installed: `make setup` brings it")
    thread = RosThread()
    yield thread
    thread.close()


@pytest.fixture(scope="session")
def eventually() -> Callable[..., None]:
    """Waits for a condition instead of sleeping for a guessed time."""

    def wait(condition: Callable[[], object], what: str = "", timeout: float = 20.0) -> None:
        waiting = threading.Event()
        for _ in range(int(timeout / 0.01)):
            if condition():
                return
            waiting.wait(0.01)
        pytest.fail(f"did not happen within {timeout:g} s: {what or condition}")

    return wait
