# SPDX-License-Identifier: Apache-2.0
"""A bag through a policy in shadow: what it would have commanded, in a bag of its own."""

from __future__ import annotations

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from sac_ros.nodes.launch_support import shut_down


def generate_launch_description() -> LaunchDescription:
    """`ros2 launch sac_ros replay.launch.py --show-args` lists the arguments."""
    return LaunchDescription(
        [
            *_arguments(),
            # It starts the policy_node itself, below its own name: no live node hears of either.
            Node(
                package="sac_ros",
                executable="replay_node",
                name="replay_node",
                namespace=LaunchConfiguration("namespace"),
                output="screen",
                parameters=[
                    {
                        "bag": _text("bag"),
                        "model_path": _text("model"),
                        "output": _text("output"),
                        "mode": _text("mode"),
                        "rate": ParameterValue(LaunchConfiguration("rate"), value_type=float),
                        "start_offset_s": ParameterValue(
                            LaunchConfiguration("start_offset_s"), value_type=float
                        ),
                        "publish_clock": ParameterValue(
                            LaunchConfiguration("publish_clock"), value_type=bool
                        ),
                        "policy_params_file": _text("params_file"),
                    },
                ],
                on_exit=shut_down("the replay has ended"),
            ),
        ]
    )


def _text(argument: str) -> ParameterValue:
    return ParameterValue(LaunchConfiguration(argument), value_type=str)


def _arguments() -> list[DeclareLaunchArgument]:
    return [
        DeclareLaunchArgument(
            "bag",
            default_value="",
            description="Bag to replay: a folder, or its one file. It must be given.",
        ),
        DeclareLaunchArgument(
            "model",
            default_value="",
            description="Policy file (.onnx); empty: the one that the bag says was running.",
        ),
        DeclareLaunchArgument(
            "output",
            default_value="",
            description="Folder for the replay's own bag; empty: replay_DATE-TIME.",
        ),
        DeclareLaunchArgument(
            "mode",
            default_value="lock_step",
            choices=["lock_step", "real_time"],
            description="lock_step: each state waits for the answer to the one before, the same "
            "torques on every run; real_time: at the recorded pace.",
        ),
        DeclareLaunchArgument(
            "rate", default_value="1.0", description="Pace of real_time; 2.0 is twice as fast."
        ),
        DeclareLaunchArgument(
            "start_offset_s",
            default_value="0.0",
            description="How much of the bag's beginning to leave out, s.",
        ),
        DeclareLaunchArgument(
            "publish_clock",
            default_value="false",
            choices=["true", "false"],
            description="In real_time: publish the joint states' stamps on /clock.",
        ),
        DeclareLaunchArgument(
            "params_file",
            default_value="",
            description="Parameters of the policy_node; empty: those that the bag says it had, "
            "else its defaults.",
        ),
        DeclareLaunchArgument(
            "namespace", default_value="", description="Namespace of replay_node."
        ),
    ]
