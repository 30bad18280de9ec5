# SPDX-License-Identifier: Apache-2.0
"""What the launch files share: bringing the policy node up, and showing the robot in RViz.

Imports `launch`, which comes with ROS 2 but not from PyPI: only launch files import this.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch import (
    LaunchContext,
    LaunchDescription,
    LaunchDescriptionEntity,
    SomeSubstitutionsType,
)
from launch.action import Action
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    LogInfo,
    OpaqueCoroutine,
    OpaqueFunction,
    RegisterEventHandler,
    Shutdown,
)
from launch.conditions import IfCondition
from launch.event_handlers import OnProcessStart
from launch.events import Shutdown as ShutdownEvent
from launch.logging import get_logger
from launch.substitutions import LaunchConfiguration
from launch.utilities import normalize_to_list_of_substitutions, perform_substitutions
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.ros_adapters import get_ros_node

from sac_ros.ros.bag_writer import RECORDED, absolute, new_bag_name
from sac_ros.ros.launch_checks import (
    check_new,
    full_name,
    given_on_command_line,
    refuse_unknown,
    settings_of,
)
from sac_ros.ros.parameters import describe, read
from sac_ros.ros.remote_node import RemoteNode, RemoteNodeError
from sac_ros.utils.package_share import share_path
from sac_ros.utils.settings import leaves


def bring_up(policy: Node, joint_states: SomeSubstitutionsType, *, timeout: float) -> Action:
    """Configures and activates the policy node once its process runs and its robot publishes.

    A step that fails, or takes more than ``timeout`` s, shuts the launch down with one sentence.
    The topic ``joint_states`` is relative to the node's namespace.
    """

    async def coroutine(context: LaunchContext) -> None:
        if context.is_shutdown:  # launch_ros' node would wait for a shutdown that has been
            return
        topic = perform_substitutions(context, normalize_to_list_of_substitutions(joint_states))
        name = policy.node_name
        remote = RemoteNode(
            get_ros_node(context),
            name,
            timeout=timeout,
            given_up=lambda: "the launch is shutting down" if context.is_shutdown else "",
        )
        try:
            await asyncio.to_thread(remote.bring_up, absolute(topic, name.rpartition("/")[0]))
        except RemoteNodeError as error:
            if not context.is_shutdown:
                get_logger("launch").error(str(error))
                await context.emit_event(ShutdownEvent(reason=str(error)))
        else:
            get_logger("launch").info(f"{name} is active")

    return RegisterEventHandler(
        OnProcessStart(target_action=policy, on_start=[OpaqueCoroutine(coroutine=coroutine)])
    )


def shut_down(reason: str) -> Action:
    """Shuts the launch down, unless that is under way: launch_ros bears no second event."""
    return OpaqueFunction(
        function=lambda context: [] if context.is_shutdown else [Shutdown(reason=reason)]
    )


def sac_ros_node(name: str, **options: Any) -> Node:
    """A node of this package, in the namespace of the launch argument `namespace`."""
    return Node(
        package="sac_ros",
        executable=name,
        name=name,
        namespace=LaunchConfiguration("namespace"),
        output="screen",
        **options,
    )


def described(file: str, entities: Sequence[LaunchDescriptionEntity]) -> LaunchDescription:
    """The description of one of our launch files, which refuses arguments that it lacks."""

    def check(context: LaunchContext) -> None:
        if context.asyncio_loop is not None:
            _spare_python_the_interrupt()
        declared = {each.name for each in LaunchDescription(entities).get_launch_arguments()}
        refuse_unknown(given_on_command_line(sys.argv, file), declared)

    return LaunchDescription([OpaqueFunction(function=check), *entities])


def _spare_python_the_interrupt() -> None:
    """Keeps Ctrl-C from raising KeyboardInterrupt wherever `launch` is just then.

    It handles Ctrl-C by the wake-up socket, but leaves Python's own handler: that loses a process
    which is being started, and the launch waits for it for ever.
    """
    if signal.getsignal(signal.SIGINT) == signal.default_int_handler:
        signal.signal(signal.SIGINT, lambda *_: None)


def must_pass(check: Callable[[str, str], None], *arguments: str, empty: bool = False) -> Action:
    """Ends the launch with one sentence where `check(argument, value)` raises a SacRosError.

    A launch that ends with an exception leaves behind what it has started: to be put before that.
    An `empty` argument is not checked where it may be left out.
    """

    def run(context: LaunchContext) -> None:
        for argument in arguments:
            value = LaunchConfiguration(argument).perform(context)
            if value or not empty:
                check(argument, value)

    return OpaqueFunction(function=run)


def show_in_rviz(
    joint_states: SomeSubstitutionsType, *, publish_frames: SomeSubstitutionsType = "true"
) -> Action:
    """RViz with the arm, its frames and its goal, where the launch argument `rviz` is true.

    Uses the launch arguments `arm` and `namespace`, too. `publish_frames` starts a
    robot_state_publisher; a real robot has its own. What is not installed is named in one
    sentence, and the launch goes on without it.
    """

    def actions(context: LaunchContext) -> list[Action]:
        started = []
        if is_true(publish_frames, context):
            started.append(_tool("robot_state_publisher", lambda: _frames(context, joint_states)))
        return [*started, _tool("rviz2", _view)]

    return OpaqueFunction(function=actions, condition=IfCondition(LaunchConfiguration("rviz")))


def show_in_browser(
    *,
    topics: Mapping[str, SomeSubstitutionsType],
    allow_goals: SomeSubstitutionsType,
    arm: str = "",
) -> list[Action]:
    """Declares the argument `browser`, and serves the browser view where it is true.

    Args:
        topics: remapped topics of the robot.
        allow_goals: whether the goal may be dragged.
        arm: a launch argument with the arm to show; empty: the view learns it from the nodes.
    """

    def start(context: LaunchContext) -> list[Action]:
        shown = LaunchConfiguration(arm).perform(context) if arm else ""
        goals = is_true(allow_goals, context)
        return [
            sac_ros_node(
                "browser_view",
                parameters=[{"allow_goals": goals, **({"arm": shown} if shown else {})}],
                remappings=topics.items(),
            )
        ]

    return [
        DeclareLaunchArgument(
            "browser",
            default_value="false",
            choices=["true", "false"],
            description="Show the arm in the browser, on http://127.0.0.1:8080.",
        ),
        OpaqueFunction(function=start, condition=IfCondition(LaunchConfiguration("browser"))),
    ]


def is_true(value: SomeSubstitutionsType, context: LaunchContext) -> bool:
    """Whether a substitution is true, by the rules of `IfCondition`."""
    return IfCondition(value).evaluate(context)


def _tool(package: str, options: Callable[[], dict[str, Any]]) -> Action:
    """A node of another package, or where that is not installed one sentence."""
    if not _is_installed(package):
        return LogInfo(
            msg=f"rviz:=true needs the package {package}, which is not installed: going on "
            f"without it (sudo apt install ros-$ROS_DISTRO-{package.replace('_', '-')})"
        )
    namespace = LaunchConfiguration("namespace")
    return Node(package=package, executable=package, namespace=namespace, **options())


def _frames(context: LaunchContext, joint_states: SomeSubstitutionsType) -> dict[str, Any]:
    # Here, since the machine of a real robot need not have pybullet (whose data hold the URDF).
    from sac_ros.robots.arm import load_arm  # noqa: PLC0415
    from sac_ros.sim.description import ros_description  # noqa: PLC0415

    text = ros_description(load_arm(LaunchConfiguration("arm").perform(context)))
    # A ParameterValue of type str: launch would otherwise read the URDF as YAML.
    parameters = [{"robot_description": ParameterValue(text, value_type=str)}]
    return {"parameters": parameters, "remappings": [("joint_states", joint_states)]}


_MARKER = ("update", "feedback", "get_interactive_markers")


def _view() -> dict[str, Any]:
    # The RViz file names absolute topics; these make them relative, and so namespaced.
    names = ("robot_description", "goal_pose", *(f"goal_marker/{name}" for name in _MARKER))
    remappings = [(f"/{name}", name) for name in names]
    arguments = ["--display-config", str(share_path("rviz", "sac_ros.rviz"))]
    return {"arguments": arguments, "remappings": remappings}


def _is_installed(package: str) -> bool:
    try:
        get_package_prefix(package)
    except PackageNotFoundError:
        return False
    return True


class ParameterArguments:
    """Launch arguments with the names of a node's parameters, empty unless they are given.

    What is given overrides the parameter file; what is not leaves it alone.
    """

    def __init__(
        self,
        node: str,
        config_class: type,
        *,
        only: Collection[str] = (),
        leave_out: Collection[str] = (),
    ) -> None:
        """Takes the parameters of a node.

        Args:
            node: its name, if the launch file takes a parameter file for it; else empty.
            config_class: its configuration class.
            only: the parameters that are arguments; empty: all.
            leave_out: parameters for which the launch file has arguments of its own, or none.
        """
        self._node = node
        self._config_class = config_class
        self._leaves = [
            leaf
            for leaf in leaves(config_class)
            if leaf.name not in leave_out and (not only or leaf.name in only)
        ]

    def declared(self) -> list[DeclareLaunchArgument]:
        """The arguments, for the launch description."""
        return [
            DeclareLaunchArgument(
                leaf.name, default_value="", description=describe(leaf, self._node)
            )
            for leaf in self._leaves
        ]

    def checked(self, file: str = "") -> OpaqueFunction:
        """An action that raises what is wrong with the node's parameters; see `must_pass`.

        `file` is the launch argument that names the node's parameter file.
        """

        def check(context: LaunchContext) -> None:
            path = LaunchConfiguration(file).perform(context) if file else ""
            namespace = LaunchConfiguration("namespace").perform(context)
            node = full_name(self._node, namespace)
            settings_of(self._config_class, node, self.given(context), path, file)

        return OpaqueFunction(function=check)

    def given(self, context: LaunchContext) -> dict[str, Any]:
        """The parameters that the user gave, as the types that they have.

        Raises:
            ConfigurationError: a value is of another type, or outside its valid set.
        """
        # The default is for a launch file that only hands an argument on to another one.
        texts = [
            (leaf, LaunchConfiguration(leaf.name, default="").perform(context))
            for leaf in self._leaves
        ]
        return {leaf.name: read(leaf, text) for leaf, text in texts if text}


# The storage is named for both recorders: what was written before a crash can be recovered.
_STORAGE = "mcap"


def robot_topics() -> dict[str, LaunchConfiguration]:
    """The topics between policy and robot, named by launch arguments."""
    arguments = {"commands": "command_topic", "joint_states": "joint_states_topic"}
    return {topic: LaunchConfiguration(argument) for topic, argument in arguments.items()}


def recording() -> list[Action]:
    """Declares the arguments `record` and `bag`, and records where `record` is true.

    The launch ends with a `ConfigurationError` where the bag exists already.
    """

    def start(context: LaunchContext) -> list[Action]:
        names = robot_topics()
        bag = LaunchConfiguration("bag").perform(context) or new_bag_name()
        check_new("bag", bag)  # else the recorder ends, and the robot moves on
        namespace = LaunchConfiguration("namespace")
        if not (_is_installed("ros2bag") and _is_installed("rosbag2_storage_mcap")):
            return [
                sac_ros_node(
                    "recorder_node",
                    parameters=[{"bag": bag, "storage": _STORAGE}],
                    remappings=names.items(),
                )
            ]
        topics = [
            names[each.name].perform(context) if each.name in names else each.name
            for each in RECORDED
        ]
        command = ["ros2", "bag", "record", "--storage", _STORAGE, "--output", bag, "--topics"]
        command += [absolute(topic, namespace.perform(context)) for topic in topics]
        return [ExecuteProcess(name="ros2_bag_record", cmd=command, output="screen")]

    return [
        DeclareLaunchArgument(
            "record",
            default_value="false",
            choices=["true", "false"],
            description="true: record a rosbag2 of joint states, goals, commands, torques and "
            "events, from which replay.launch.py and evaluate_bag work.",
        ),
        DeclareLaunchArgument(
            "bag",
            default_value="",
            description="Folder that record:=true writes, which must not exist yet; empty: "
            "sac_ros_DATE-TIME in the current directory.",
        ),
        OpaqueFunction(function=start, condition=IfCondition(LaunchConfiguration("record"))),
    ]
