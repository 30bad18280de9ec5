# SPDX-License-Identifier: Apache-2.0
"""A bag through a policy in shadow: what it would have commanded, in a bag of its own."""

from __future__ import annotations

from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.action import Action
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration

from sac_ros.ros.launch_checks import (
    check_exists,
    check_model,
    check_namespace,
    check_new,
    file_parameters,
)
from sac_ros.ros.launch_support import (
    ParameterArguments,
    described,
    must_pass,
    sac_ros_node,
    shut_down,
)
from sac_ros.ros.policy.config import PolicyNodeConfig
from sac_ros.ros.replay_config import ReplayConfig

# These two have arguments of their own, named as in the other launch files.
PARAMETERS = ParameterArguments("", ReplayConfig, leave_out={"model_path", "policy_params_file"})


def generate_launch_description() -> LaunchDescription:
    """`ros2 launch sac_ros replay.launch.py --show-args` lists the arguments."""
    return described(
        "replay.launch.py",
        [
            DeclareLaunchArgument(
                "model",
                default_value="",
                description="Policy file (.onnx); empty: the one that the bag names.",
            ),
            DeclareLaunchArgument(
                "params_file",
                default_value="",
                description="Parameters of the policy_node; empty: those of the bag, "
                "else its defaults.",
            ),
            DeclareLaunchArgument(
                "namespace", default_value="", description="Namespace of replay_node."
            ),
            *PARAMETERS.declared(),
            must_pass(check_namespace, "namespace"),
            must_pass(check_exists, "bag"),
            must_pass(check_new, "output", empty=True),
            must_pass(check_model, "model", empty=True),
            must_pass(_check_policy_parameters, "params_file", empty=True),
            PARAMETERS.checked(),
            OpaqueFunction(function=_replay_node),
        ],
    )


def _check_policy_parameters(argument: str, path: str) -> None:
    file_parameters(PolicyNodeConfig, "/replay_node/policy_node", Path(path), argument)


def _replay_node(context: LaunchContext) -> list[Action]:
    """It starts the policy_node itself, below its own name: no other node receives either."""
    texts = {"model_path": "model", "policy_params_file": "params_file"}
    apart = {name: LaunchConfiguration(each).perform(context) for name, each in texts.items()}
    given = {name: text for name, text in apart.items() if text}
    return [
        sac_ros_node(
            "replay_node",
            parameters=[{**given, **PARAMETERS.given(context)}],
            on_exit=shut_down("the replay has ended"),
        )
    ]
