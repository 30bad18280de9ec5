# SPDX-License-Identifier: Apache-2.0
"""The command line of a node: ROS arguments, `--help`, and nothing else."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from rclpy.utilities import remove_ros_args

from sac_ros.ros.parameters import describe
from sac_ros.utils.errors import ConfigurationError
from sac_ros.utils.settings import leaves

_WIDTH = 99
_USAGE = "[--ros-args [-p NAME:=VALUE]... [--params-file FILE]... [-r FROM:=TO]...]"


def help_asked(arguments: Sequence[str]) -> bool:
    """Whether the arguments, without the program's name, ask for help.

    Raises:
        ConfigurationError: there is an argument that a node does not take: ROS would ignore it.
    """
    try:
        others = remove_ros_args([*arguments])
    except Exception:  # rclpy.init reports what is wrong
        return False
    if {"-h", "--help"} & {*others}:
        return True
    values = [each for each in others if ":=" in each]
    if values:
        form = " ".join(f"-p {each}" for each in values)
        raise ConfigurationError(
            f"parameters must be given as in --ros-args {form}; got {' '.join(others)} "
            "(--help lists the parameters)"
        )
    if others:
        raise ConfigurationError(
            f"a node takes nothing but ROS arguments, --ros-args -p NAME:=VALUE; "
            f"got {' '.join(others)} (--help lists the parameters)"
        )
    return False


def help_text(program: str, about: str | None, config_class: type) -> str:
    """How a node is started, what it does, and all its parameters."""
    lines = [f"usage: {program} {_USAGE}", "", (about or "").strip(), "", "parameters:"]
    for leaf in leaves(config_class):
        lines.append(f"  {leaf.name}")
        indent = " " * 6
        lines += textwrap.wrap(
            describe(leaf, ""), _WIDTH, initial_indent=indent, subsequent_indent=indent
        )
    return "\n".join(lines)
