# SPDX-License-Identifier: Apache-2.0
"""Finds the `reach_demo` that runs on this machine, whose ROS domain is its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sac_ros.ros.reach_demo import NAMESPACE


def running_demo() -> str:
    """Return the ROS domain of a demo that this user runs; empty where there is none.

    The demo's nodes have its namespace on their command line, and its domain in their environment.
    """
    for command, environment in _own_processes():
        if f"__ns:={NAMESPACE}" in command and (domain := environment.get("ROS_DOMAIN_ID")):
            return domain
    return ""


def _own_processes() -> Iterator[tuple[list[str], dict[str, str]]]:
    """Command line and environment of all processes that can be read: one's own, newest first."""
    newest_first = sorted(Path("/proc").glob("[0-9]*"), key=lambda each: -int(each.name))
    for directory in newest_first:
        try:
            command = _words(directory / "cmdline")
            pairs = [word.partition("=") for word in _words(directory / "environ")]
        except OSError:  # another user's, or ended meanwhile
            continue
        yield command, {name: value for name, _, value in pairs}


def _words(file: Path) -> list[str]:
    return file.read_bytes().decode(errors="replace").split("\0")
