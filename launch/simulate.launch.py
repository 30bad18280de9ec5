# SPDX-License-Identifier: Apache-2.0
"""A simulated arm that behaves like a robot's driver, and nothing else."""

from __future__ import annotations

from launch import LaunchContext, LaunchDescription
from launch.action import Action
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration

from sac_ros.ros.launch_checks import check_arm, check_namespace, check_topic
from sac_ros.ros.launch_support import (
    ParameterArguments,
    described,
    must_pass,
    recording,
    robot_topics,
    sac_ros_node,
    show_in_browser,
    show_in_rviz,
)
from sac_ros.ros.sim_config import SimNodeConfig
from sac_ros.utils.package_share import share_path

# The arm has an argument of its own, which RViz needs too.
PARAMETERS = ParameterArguments("sim_node", SimNodeConfig, leave_out={"arm"})


def generate_launch_description() -> LaunchDescription:
    """`ros2 launch sac_ros simulate.launch.py --show-args` lists the arguments."""
    return described(
        "simulate.launch.py",
        [
            DeclareLaunchArgument(
                "arm",
                default_value="iiwa",
                description="Arm to simulate: a name in config/arms, or a .yaml or .urdf.",
            ),
            DeclareLaunchArgument(
                "command_topic",
                default_value="commands",
                description="Topic of the torque commands.",
            ),
            DeclareLaunchArgument(
                "joint_states_topic",
                default_value="joint_states",
                description="Topic of the joint states.",
            ),
            DeclareLaunchArgument(
                "namespace", default_value="", description="Namespace of every node."
            ),
            DeclareLaunchArgument(
                "rviz",
                default_value="false",
                choices=["true", "false"],
                description="Show the arm in RViz.",
            ),
            DeclareLaunchArgument(
                "params_file",
                default_value=str(share_path("config", "sim.yaml")),
                description="Parameters of sim_node; arm and the arguments named as parameters "
                "override it.",
            ),
            *PARAMETERS.declared(),
            must_pass(check_namespace, "namespace"),
            must_pass(check_topic, "command_topic", "joint_states_topic"),
            must_pass(check_arm, "arm"),
            PARAMETERS.checked("params_file"),
            *recording(),
            OpaqueFunction(function=_sim_node),
            show_in_rviz(LaunchConfiguration("joint_states_topic")),
            *show_in_browser(topics=robot_topics(), allow_goals="true"),
        ],
    )


def _sim_node(context: LaunchContext) -> list[Action]:
    return [
        sac_ros_node(
            "sim_node",
            parameters=[
                LaunchConfiguration("params_file"),
                {"arm": LaunchConfiguration("arm"), **PARAMETERS.given(context)},
            ],
            remappings=robot_topics().items(),
        )
    ]
