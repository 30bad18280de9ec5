# SPDX-License-Identifier: Apache-2.0
"""Trains a policy; RViz may watch the arm that learns."""

from __future__ import annotations

from launch import LaunchContext, LaunchDescription
from launch.action import Action
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.parameter_descriptions import ParameterValue

from sac_ros.ros.launch_support import sac_ros_node, show_in_rviz, shut_down
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
    overrides = {
        name: ParameterValue(LaunchConfiguration(name), value_type=kind)
        for name, kind in OVERRIDES.items()
        if LaunchConfiguration(name).perform(context)
    }
    resume = ParameterValue(LaunchConfiguration("resume"), value_type=bool)
    return [
        sac_ros_node(
            "train_node",
            emulate_tty=True,  # for the progress bar
            parameters=[LaunchConfiguration("params_file"), {"resume": resume, **overrides}],
            # A checkpoint is written after the signal: longer than the 5 s that launch grants.
            sigterm_timeout="60",
            sigkill_timeout="60",
            on_exit=shut_down("train_node ended"),
        )
    ]


def _arguments() -> list[DeclareLaunchArgument]:
    return [
        DeclareLaunchArgument(
            "params_file",
            default_value=str(share_path("config", "robust.yaml")),
            description="Parameters of train_node, which the arguments below override; "
            "config/train.yaml beside it learns from nothing.",
        ),
        DeclareLaunchArgument(
            "arm",
            default_value="iiwa",
            description="Arm to train: a name in config/arms, or a .yaml or .urdf.",
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
            description="Go on from the checkpoint of the run called name, or of the latest.",
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
