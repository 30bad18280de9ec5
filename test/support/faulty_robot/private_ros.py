# SPDX-License-Identifier: Apache-2.0
"""ROS for one measurement: a domain of its own, on this machine only."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from rclpy.node import Node

from sac_ros.ros.private_ros import PrivateDomain, loopback_only
from sac_ros.ros.spin import spinning_node


@contextlib.contextmanager
def private_node(name: str) -> Iterator[Node]:
    """A node that a thread spins; processes started meanwhile are in the same domain."""
    domain = PrivateDomain()
    os.environ["ROS_DOMAIN_ID"] = str(domain.id)
    loopback_only(os.environ)
    try:
        with spinning_node(name) as node:
            yield node
    finally:
        domain.release()
