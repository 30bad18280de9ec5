# SPDX-License-Identifier: Apache-2.0
"""A Ray cluster of two nodes on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
from ray.cluster_utils import Cluster


@contextmanager
def two_nodes(cores: int = 2) -> Iterator[str]:
    """The address of two nodes with ports of their own, `cores` each."""
    before = os.environ.get("RAY_ADDRESS")
    node = {"num_cpus": cores, "object_store_memory": 100 * 2**20}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    try:
        cluster.add_node(**node, resources={"second": 1})
        yield cluster.address
    finally:
        cluster.shutdown()
        # `Cluster` sets it, and whoever starts a cluster of its own later would join a dead one.
        os.environ.pop("RAY_ADDRESS", None)
        if before is not None:
            os.environ["RAY_ADDRESS"] = before


def ray_processes(title: str) -> list[psutil.Process]:
    """The processes of Ray whose title, such as `ray::RemoteCollector`, begins so."""
    return [
        each
        for each in psutil.process_iter(["cmdline"])
        if title in " ".join(each.info["cmdline"] or [])
    ]
