# SPDX-License-Identifier: Apache-2.0
"""A trained policy on an arm: the simulated one, or a real one with `sim:=false`."""

from __future__ import annotations

from launch import LaunchContext, LaunchDescription
from launch.action import Action
from launch.actions import (
    DeclareLaunchArgument,
    GroupAction,
    IncludeLaunchDescription,
    OpaqueFunction,
)
from launch.conditions import IfCondition
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

from sac_ros.ros.launch_checks import (
    arm_of_policy,
    check_arm,
    check_model,
    check_namespace,
    check_topic,
)
from sac_ros.ros.launch_support import (
    ParameterArguments,
    bring_up,
    described,
    is_true,
    must_pass,
    recording,
    robot_topics,
    sac_ros_node,
    show_in_browser,
    show_in_rviz,
    shut_down,
)
from sac_ros.ros.policy.config import PolicyNodeConfig
from sac_ros.ros.sim_config import SimNodeConfig
from sac_ros.utils.package_share import share_path

STEP_TIMEOUT = 30.0  # s, for the node to start, a joint state to arrive, a transition to end

# The model has an argument of its own, and this file brings the node up.
PARAMETERS = ParameterArguments(
    "policy_node", PolicyNodeConfig, leave_out={"model_path", "autostart"}
)

# Those of the included simulate.launch.py, to be checked before anything starts here.
SIM_PARAMETERS = ParameterArguments("sim_node", SimNodeConfig, leave_out={"arm"})

# A desktop that simulates the robot is no real-time machine: it may hold up the joint states,
# which here does no harm. A real robot gets what is in the parameter file.
SIM_OVERRIDES = {"watchdog_s": 0.3}  # s
SIM_GUARD_OVERRIDES = {"watchdog_s": 0.3, "command_timeout_s": 0.3}  # s

GUARDED = "policy_commands"  # what policy_node commands where the guard is between

# What the guard must get as policy_node does.
SHARED = ("command_joints", "gravity_compensation", "safe_torque", "torque_limit", "brake_limit")


def generate_launch_description() -> LaunchDescription:
    """`ros2 launch sac_ros deploy.launch.py --show-args` lists the arguments."""
    return described(
        "deploy.launch.py",
        [
            *_arguments(),
            *PARAMETERS.declared(),
            must_pass(check_namespace, "namespace"),
            must_pass(check_topic, "command_topic", "joint_states_topic"),
            must_pass(check_arm, "arm", empty=True),
            must_pass(check_model, "model"),
            OpaqueFunction(function=_settle_arm),
            PARAMETERS.checked("params_file"),
            SIM_PARAMETERS.checked("sim_params_file"),
            *recording(),
            _simulated_arm(),
            OpaqueFunction(function=_policy_node),
            OpaqueFunction(function=_command_guard),
            # A real robot's own launch files publish its frames.
            show_in_rviz(
                LaunchConfiguration("joint_states_topic"),
                publish_frames=LaunchConfiguration("sim"),
            ),
            OpaqueFunction(function=_goal_marker),
            # Whoever opens the page would move a real robot.
            *show_in_browser(
                topics=robot_topics(), allow_goals=LaunchConfiguration("allow_goals")
            ),
        ],
    )


def _settle_arm(context: LaunchContext) -> None:
    """Guards and simulates the arm of the policy, unless another description of it is given."""
    given = context.launch_configurations
    if is_true(LaunchConfiguration("sim"), context) or _is_guarded(context):
        given["arm"] = arm_of_policy(given["arm"], given["model"])


def _policy_node(context: LaunchContext) -> list[Action]:
    simulated = is_true(LaunchConfiguration("sim"), context)
    policy_node = sac_ros_node(
        "policy_node",
        parameters=[
            LaunchConfiguration("params_file"),
            {
                "model_path": LaunchConfiguration("model"),
                **(SIM_OVERRIDES if simulated else {}),
                **PARAMETERS.given(context),
            },
        ],
        remappings={
            **robot_topics(),
            **({"commands": GUARDED} if _is_guarded(context) else {}),
        }.items(),
        on_exit=shut_down("policy_node ended"),
    )
    joint_states = LaunchConfiguration("joint_states_topic")
    return [policy_node, bring_up(policy_node, joint_states, timeout=STEP_TIMEOUT)]


def _goal_marker(context: LaunchContext) -> list[Action]:
    wanted = all(is_true(LaunchConfiguration(name), context) for name in ("rviz", "allow_goals"))
    return [sac_ros_node("goal_marker")] if wanted else []


def _is_guarded(context: LaunchContext) -> bool:
    return is_true(LaunchConfiguration("command_guard"), context)


def _command_guard(context: LaunchContext) -> list[Action]:
    if not _is_guarded(context):
        return []
    simulated = is_true(LaunchConfiguration("sim"), context)
    given = PARAMETERS.given(context)
    return [
        sac_ros_node(
            "command_guard",
            parameters=[
                {
                    "arm": LaunchConfiguration("arm"),
                    **(SIM_GUARD_OVERRIDES if simulated else {}),
                    **{name: given[name] for name in SHARED if name in given},
                }
            ],
            remappings=robot_topics().items(),
            # It goes on to stop the arm where policy_node has died; without it nothing reaches
            # the robot any more.
            on_exit=shut_down("command_guard ended"),
        )
    ]


def _simulated_arm() -> GroupAction:
    simulate = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(share_path("launch", "simulate.launch.py"))),
        launch_arguments={
            "params_file": LaunchConfiguration("sim_params_file"),
            "rviz": "false",  # shown once, by this file
            "browser": "false",
            "record": "false",  # once, too
        }.items(),
    )
    # A scope of its own: the arguments of an included file would stay set for what follows.
    return GroupAction([simulate], condition=IfCondition(LaunchConfiguration("sim")))


def _arguments() -> list[DeclareLaunchArgument]:
    return [
        DeclareLaunchArgument(
            "sim",
            default_value="true",
            choices=["true", "false"],
            description="true: drive the simulated arm; false: a real robot whose driver runs.",
        ),
        DeclareLaunchArgument(
            "model",
            default_value=str(share_path("models", "iiwa_reach.onnx")),
            description="Policy file (.onnx).",
        ),
        DeclareLaunchArgument(
            "arm",
            default_value="",
            description=(
                "Arm of the command guard and the simulation: a name in config/arms, a .yaml or a"
                " .urdf; empty: that of the model."
            ),
        ),
        DeclareLaunchArgument(
            "command_guard",
            default_value="true",
            choices=["true", "false"],
            description=(
                "true: start command_guard, which stops the arm when commands end, between "
                "policy_node and the robot."
            ),
        ),
        DeclareLaunchArgument(
            "command_topic",
            default_value="commands",
            description="Topic that takes the torques, for ros2_control "
            "/CONTROLLER/commands, such as /forward_effort_controller/commands.",
        ),
        DeclareLaunchArgument(
            "joint_states_topic",
            default_value="joint_states",
            description="Topic of the robot's joint states.",
        ),
        DeclareLaunchArgument(
            "namespace", default_value="", description="Namespace of every node."
        ),
        DeclareLaunchArgument(
            "rviz",
            default_value="false",
            choices=["true", "false"],
            description="Show the arm and its goal in RViz.",
        ),
        DeclareLaunchArgument(
            "allow_goals",
            default_value=LaunchConfiguration("sim"),
            choices=["true", "false"],
            description="With browser:=true or rviz:=true, whether the goal may be dragged, which "
            "moves the arm; left out: as sim.",
        ),
        DeclareLaunchArgument(
            "params_file",
            default_value=str(share_path("config", "policy.yaml")),
            description="Parameters of policy_node; model and the arguments named as parameters "
            "override it, and with sim:=true watchdog_s is 0.3 s unless it is given.",
        ),
        DeclareLaunchArgument(
            "sim_params_file",
            default_value=str(share_path("config", "sim.yaml")),
            description="Parameters of sim_node; arm, gravity_compensation "
            "and the arguments of simulate.launch.py override it.",
        ),
    ]
