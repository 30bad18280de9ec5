# SPDX-License-Identifier: Apache-2.0
"""Trains a policy; RViz may watch the arm that learns."""

from __future__ import annotations

from launch import LaunchContext, LaunchDescription
from launch.action import Action
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.parameter_descriptions import Parameter

from sac_ros.ros.launch_checks import check_namespace, full_name, training_settings
from sac_ros.ros.launch_support import (
    ParameterArguments,
    described,
    must_pass,
    sac_ros_node,
    show_in_browser,
    show_in_rviz,
    shut_down,
)
from sac_ros.training.config import TrainConfig
from sac_ros.utils.package_share import share_path

PARAMETERS = ParameterArguments(
    "train_node",
    TrainConfig,
    only=(
        *("arm", "task", "backend", "seed", "total_steps"),
        *("name", "directory", "resume"),
    ),
)


def generate_launch_description() -> LaunchDescription:
    """`ros2 launch sac_ros train.launch.py --show-args` lists the arguments."""
    return described(
        "train.launch.py",
        [
            *_arguments(),
            *PARAMETERS.declared(),
            must_pass(check_namespace, "namespace"),
            OpaqueFunction(function=_train_node),
            show_in_rviz("joint_states"),
            *show_in_browser(topics={}, allow_goals="false", arm="arm"),
        ],
    )


def _train_node(context: LaunchContext) -> list[Action]:
    given = PARAMETERS.given(context)
    namespace = LaunchConfiguration("namespace").perform(context)
    file = LaunchConfiguration("params_file").perform(context)
    settings = training_settings(given, full_name("train_node", namespace), file, "params_file")
    # Each goes to the node with -p and not in a file: a run that is resumed takes these only.
    named = [
        Parameter(name, LaunchConfiguration(name), value_type=type(value))
        for name, value in given.items()
    ]
    context.launch_configurations["arm"] = settings.arm  # RViz shows it
    return [
        sac_ros_node(
            "train_node",
            # Not a terminal: launch shows whole lines only, and a terminal's bar never ends one.
            emulate_tty=False,
            parameters=[file, *named],
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
            description=(
                "Parameters of train_node, which the arguments below override; config/train.yaml "
                "beside it is SAC alone."
            ),
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
