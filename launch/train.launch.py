# SPDX-License-Identifier: Apache-2.0
"""Trains a policy; RViz may watch the arm that learns."""

from __future__ import annotations

from pathlib import Path

import yaml
from launch import LaunchContext, LaunchDescription
from launch.action import Action
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.parameter_descriptions import Parameter

from sac_ros.ros.launch_support import is_true, sac_ros_node, show_in_rviz, shut_down
from sac_ros.training.config import TrainConfig
from sac_ros.training.run_directory import find_run_directory
from sac_ros.utils.package_share import share_path

# Launch arguments that override a parameter of the file where they are given, and its type.
OVERRIDES = {
    "arm": str,
    "task": str,
    "backend": str,
    "seed": int,
    "total_steps": int,
    "name": str,
    "directory": str,
    "resume": bool,
}


def generate_launch_description() -> LaunchDescription:
    """`ros2 launch sac_ros train.launch.py --show-args` lists the arguments."""
    return LaunchDescription(
        [
            *_arguments(),
            OpaqueFunction(function=_train_node),
            show_in_rviz("joint_states"),
        ]
    )


def _train_node(context: LaunchContext) -> list[Action]:
    # Each goes to the node with -p and not in a file: a run that is resumed takes these only.
    given = {
        name: text for name in OVERRIDES if (text := LaunchConfiguration(name).perform(context))
    }
    named = [
        Parameter(name, LaunchConfiguration(name), value_type=OVERRIDES[name]) for name in given
    ]
    if is_true(LaunchConfiguration("rviz"), context) and "arm" not in given:
        context.launch_configurations["arm"] = _arm(context, given)
    return [
        sac_ros_node(
            "train_node",
            # Not a terminal: launch shows whole lines only, and a terminal's bar never ends one.
            emulate_tty=False,
            parameters=[LaunchConfiguration("params_file"), *named],
            # A checkpoint is written after the signal: longer than the 5 s that launch grants.
            sigterm_timeout="60",
            sigkill_timeout="60",
            on_exit=shut_down("train_node ended"),
        )
    ]


def _arm(context: LaunchContext, given: dict[str, str]) -> str:
    """The arm of the run that is resumed, or of the parameter file."""
    if is_true(LaunchConfiguration("resume"), context):
        name, directory = given.get("name", ""), given.get("directory", TrainConfig.directory)
        run = find_run_directory(TrainConfig(resume=True, name=name, directory=directory))
        file = run.configuration
    else:
        file = Path(LaunchConfiguration("params_file").perform(context))
    nodes = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    arms = [node.get("ros__parameters", {}).get("arm") for node in nodes.values()]
    return str(next(filter(None, arms), TrainConfig.arm))


def _arguments() -> list[DeclareLaunchArgument]:
    return [
        DeclareLaunchArgument(
            "params_file",
            default_value=str(share_path("config", "robust.yaml")),
            description=(
                "Parameters of train_node, which the arguments below override; config/train.yaml "
                "beside it is SAC alone."
            ),
        ),
        DeclareLaunchArgument(
            "arm",
            default_value="",
            description="Arm to train: a name in config/arms, or a .yaml or .urdf; empty: as in "
            "params_file, or else iiwa.",
        ),
        DeclareLaunchArgument(
            "task",
            default_value="",
            description="reach, pose or track; empty: as in params_file.",
        ),
        DeclareLaunchArgument(
            "backend", default_value="", description="bullet or mujoco; empty: as in params_file."
        ),
        DeclareLaunchArgument(
            "seed", default_value="", description="Seed of the run; empty: as in params_file."
        ),
        DeclareLaunchArgument(
            "total_steps",
            default_value="",
            description="Environment steps until the end; empty: as in params_file.",
        ),
        DeclareLaunchArgument(
            "name",
            default_value="",
            description="Name of the run's directory; empty: as in params_file.",
        ),
        DeclareLaunchArgument(
            "directory",
            default_value="",
            description="Where run directories are made; empty: as in params_file.",
        ),
        DeclareLaunchArgument(
            "resume",
            default_value="false",
            choices=["true", "false"],
            description="Go on from the checkpoint of the run called name, or of the latest, with "
            "its settings: of those here only what is given changes, and params_file is not used.",
        ),
        DeclareLaunchArgument(
            "namespace", default_value="", description="Namespace of every node."
        ),
        DeclareLaunchArgument(
            "rviz",
            default_value="false",
            choices=["true", "false"],
            description="Show the arm that is being trained in RViz.",
        ),
    ]
