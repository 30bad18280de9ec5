# SPDX-License-Identifier: Apache-2.0
"""A node beside a program that does something else."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions


@contextlib.contextmanager
def spinning_node(name: str, namespace: str = "") -> Iterator[Node]:
    """ROS with one node that a thread spins, until the context is left.

    Ctrl-C stays the program's own: it must end its child processes first.
    """
    rclpy.init(
        args=["--ros-args", "--log-level", "warn"], signal_handler_options=SignalHandlerOptions.NO
    )
    node, executor = Node(name, namespace=namespace), SingleThreadedExecutor()
    executor.add_node(node)

    def spin() -> None:
        with contextlib.suppress(ExternalShutdownException):
            executor.spin()

    thread = threading.Thread(target=spin, name="executor", daemon=True)
    thread.start()
    try:
        yield node
    finally:
        executor.shutdown()
        thread.join()
        node.destroy_node()
        rclpy.try_shutdown()
