# SPDX-License-Identifier: Apache-2.0
"""ROS for one measurement: a domain of its own, on this machine only, spun by a thread."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from sac_ros.nodes.loopback import loopback_only
from sac_ros.nodes.private_domain import PrivateDomain


@contextlib.contextmanager
def private_node(name: str) -> Iterator[Node]:
    """A node that a thread spins; processes started meanwhile are in the same domain."""
    domain = PrivateDomain()
    os.environ["ROS_DOMAIN_ID"] = str(domain.id)
    loopback_only(os.environ)
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    node, executor = Node(name), SingleThreadedExecutor()
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
        thread.join(10.0)
        node.destroy_node()
        rclpy.try_shutdown()
        domain.release()
