# SPDX-License-Identifier: Apache-2.0
"""`record:=true` of the launch files: by `ros2 bag record`, or by our own recorder without it.

Imports `launch`, which comes with ROS 2 but not from PyPI: only launch files import this.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch import LaunchContext
from launch.action import Action
from launch.actions import DeclareLaunchArgument, ExecuteProcess, OpaqueFunction
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from sac_ros.nodes.bag_writer import new_bag_name
from sac_ros.nodes.recorded_topics import RECORDED, absolute
from sac_ros.utils.errors import ConfigurationError

# The storage is named for both recorders: what was written before a crash can be recovered.
_STORAGE = "mcap"


def recording(remapped: Mapping[str, str]) -> list[Action]:
    """Declares the arguments `record` and `bag`, and records where `record` is true.

    The recorder starts before the nodes that come after it in the launch description.

    Args:
        remapped: topics of `RECORDED` that have other names, with the launch argument that tells
            each; the launch argument `namespace` holds for all of them.

    The launch ends with a `ConfigurationError` where the bag exists already.
    """

    def start(context: LaunchContext) -> list[Action]:
        names = {topic: LaunchConfiguration(argument) for topic, argument in remapped.items()}
        bag = LaunchConfiguration("bag").perform(context) or new_bag_name()
        if Path(bag).expanduser().exists():  # else the recorder ends, and the robot moves on
            raise ConfigurationError(
                f"launch argument bag must name a folder that does not exist yet; {bag} does"
            )
        if not _has_ros2_bag():
            return [_recorder_node(bag, names)]
        namespace = LaunchConfiguration("namespace").perform(context)
        topics = [
            names[each.name].perform(context) if each.name in names else each.name
            for each in RECORDED
        ]
        return [_ros2_bag(bag, [absolute(topic, namespace) for topic in topics])]

    return [
        DeclareLaunchArgument(
            "record",
            default_value="false",
            choices=["true", "false"],
            description="true: record a rosbag2 of joint states, goals, commands, torques and "
            "decisions, from which replay.launch.py and evaluate_bag work.",
        ),
        DeclareLaunchArgument(
            "bag",
            default_value="",
            description="Folder that record:=true writes, which must not exist yet; empty: "
            "sac_ros_DATE-TIME in the current directory.",
        ),
        OpaqueFunction(function=start, condition=IfCondition(LaunchConfiguration("record"))),
    ]


def _has_ros2_bag() -> bool:
    try:
        get_package_prefix("ros2bag")
        get_package_prefix("rosbag2_storage_mcap")
    except PackageNotFoundError:
        return False
    return True


def _ros2_bag(bag: str, topics: list[str]) -> Action:
    command = ["ros2", "bag", "record", "--storage", _STORAGE, "--output", bag]
    return ExecuteProcess(
        name="ros2_bag_record", cmd=[*command, "--topics", *topics], output="screen"
    )


def _recorder_node(bag: str, names: Mapping[str, LaunchConfiguration]) -> Action:
    return Node(
        package="sac_ros",
        executable="recorder_node",
        name="recorder_node",
        namespace=LaunchConfiguration("namespace"),
        output="screen",
        parameters=[{"bag": bag, "storage": _STORAGE}],
        remappings=list(names.items()),
    )
