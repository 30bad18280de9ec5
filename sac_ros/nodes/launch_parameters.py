# SPDX-License-Identifier: Apache-2.0
"""A launch argument for every parameter of a node, from the parameters' own declaration.

Imports `launch`, which comes with ROS 2 but not from PyPI: only launch files import this.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from launch import LaunchContext
from launch.action import Action
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration

from sac_ros.nodes.parameter_text import describe, read
from sac_ros.utils.settings import leaves


class ParameterArguments:
    """Launch arguments with the names of a node's parameters, empty unless they are given.

    What is given overrides the parameter file; what is not leaves it alone.
    """

    def __init__(self, node: str, config_class: type, *, leave_out: Collection[str] = ()) -> None:
        """Takes the parameters of a node but for those to leave out.

        Args:
            node: name of the node whose parameter file there is, for the descriptions; empty:
                the launch file takes none.
            config_class: its configuration class.
            leave_out: parameters for which the launch file has arguments of its own, or none.
        """
        self._node = node
        self._leaves = [leaf for leaf in leaves(config_class) if leaf.name not in leave_out]

    def declared(self) -> list[DeclareLaunchArgument]:
        """The arguments, for the launch description."""
        return [
            DeclareLaunchArgument(
                leaf.name, default_value="", description=describe(leaf, self._node)
            )
            for leaf in self._leaves
        ]

    def checked(self) -> OpaqueFunction:
        """An action that raises as `given` does: for the place before any process is started.

        A launch that ends with an exception leaves behind what it has started.
        """

        def check(context: LaunchContext) -> list[Action]:
            self.given(context)
            return []

        return OpaqueFunction(function=check)

    def given(self, context: LaunchContext) -> dict[str, Any]:
        """The parameters that the user gave, as the types that they have.

        Raises:
            ConfigurationError: a value is of another type, or outside its valid set.
        """
        # The default is for a launch file that only hands an argument on to another one.
        texts = {
            leaf: LaunchConfiguration(leaf.name, default="").perform(context)
            for leaf in self._leaves
        }
        return {leaf.name: read(leaf, text) for leaf, text in texts.items() if text}
