# SPDX-License-Identifier: Apache-2.0
"""A simulated arm that behaves like a robot's driver, and nothing else."""

from __future__ import annotations

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from sac_ros.nodes.launch_recording import recording
from sac_ros.nodes.launch_support import show_in_rviz
from sac_ros.share import share_path


def generate_launch_description() -> LaunchDescription:
    """`ros2 launch sac_ros simulate.launch.py --show-args` lists the arguments."""
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "arm", default_value="iiwa", description="Arm to simulate, a file in config/arms."
            ),
            DeclareLaunchArgument(
                "gravity",
                default_value="external",
                choices=["external", "none"],
                description="external: the robot adds g(q) to the command, as Franka and iiwa "
                "drivers do; none: it adds nothing.",
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
                "gui",
                default_value="false",
                choices=["true", "false"],
                description="Show Bullet's own window.",
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
                description="Parameters of sim_node; the arguments above override it.",
            ),
            *recording({"commands": "command_topic", "joint_states": "joint_states_topic"}),
            Node(
                package="sac_ros",
                executable="sim_node",
                name="sim_node",
                namespace=LaunchConfiguration("namespace"),
                output="screen",
                parameters=[
                    LaunchConfiguration("params_file"),
                    {
                        "arm": LaunchConfiguration("arm"),
                        "gravity": LaunchConfiguration("gravity"),
                        "gui": LaunchConfiguration("gui"),
                    },
                ],
                remappings=[
                    ("commands", LaunchConfiguration("command_topic")),
                    ("joint_states", LaunchConfiguration("joint_states_topic")),
                ],
            ),
            show_in_rviz(LaunchConfiguration("joint_states_topic")),
        ]
    )
