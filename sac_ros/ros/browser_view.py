# SPDX-License-Identifier: Apache-2.0
"""Shows an arm in the browser: its goal, torques, events, and its training."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass, replace

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile
from std_msgs.msg import String

from sac_ros.policy.spec import PolicySpec
from sac_ros.robots.arm import Arm, arm_names, load_arm
from sac_ros.ros.parameters import declare
from sac_ros.ros.policy.goal_reader import goal_message, goal_of
from sac_ros.ros.private_ros import loopback_only
from sac_ros.ros.reach_demo import NAMESPACE
from sac_ros.ros.robot_description import LATCHED, arm_reference
from sac_ros.ros.running_demo import running_demo
from sac_ros.ros.spin import run_node
from sac_ros.ros.view_topics import DIAGNOSTIC_NODES, JointTopics, PolicyEvents, values_of
from sac_ros.utils.errors import SacRosError
from sac_ros.utils.settings import setting, validate
from sac_ros.view.evaluations import EvaluationsFile
from sac_ros.view.page import Page, distance_to
from sac_ros.view.server import start_server, stop_server
from sac_ros.view.state import Array, Progress, ViewState

RATE = 20.0
"""Hz, how often the page gets the arm."""

_GOAL_PERIOD_S = 0.2  # between two goals of one drag: each is a line in policy_node's log
_STREAM_PERIOD_S = 0.05  # where the policy follows goals that move
_NEW_GOAL_M = 1e-4  # two goals that are nearer are one
_NAMED = ("__ns:=", "__node:=")


@dataclass(frozen=True)
class BrowserViewConfig:
    """Parameters of `browser_view`."""

    arm: str = setting(
        "",
        "arm to show: a name in config/arms, a .yaml or .urdf, or robot_description; empty: that "
        "of the policy or the training that runs, else robot_description",
    )
    robot_description: str = setting("", "a URDF's text, for arm:=robot_description")
    base_link: str = setting("", "where the arm starts; empty: as in config/arms or the URDF")
    tip_link: str = setting("", "the end effector; empty: as in config/arms or the URDF")
    host: str = setting(
        "127.0.0.1",
        "address to serve on; the default reaches this machine only, and 0.0.0.0 everybody",
    )
    port: int = setting(8080, "port to serve on; 0: any free one", minimum=0, maximum=65535)
    allow_goals: bool = setting(
        False, "who has the page open may drag the goal, which moves the arm"
    )
    command_joints: tuple[str, ...] = setting(
        (), "joints in the order of a command; empty: those of the policy"
    )

    def __post_init__(self) -> None:
        """Refuses invalid settings with a `ConfigurationError`."""
        validate(self)


class BrowserView(Node):
    """Subscribes what the nodes of this package publish, and publishes `goal_pose` if allowed.

    Attributes:
        port: that the page is served on.
    """

    def __init__(self) -> None:
        """Serves the page, or raises a `ConfigurationError` about a parameter."""
        super().__init__("browser_view")
        config = self._config = declare(self, BrowserViewConfig)
        arm = None
        if config.arm:
            reference = arm_reference(self, config.arm, config.robot_description)
            arm = load_arm(reference, config.base_link, config.tip_link)
        self._server = start_server(config.host, config.port)
        self.port = self._server.get_port()
        self._page = Page(self._server, RATE, config.allow_goals)
        self._page.wait("waiting for a policy_node, a train_node or a robot_description")
        self._state = ViewState()
        self._arm: Arm | None = None
        self._reference = ""  # that the arm was loaded by
        self._goal_came = self._published = time.monotonic()
        self._dragged: Array | None = None  # and not published yet
        self._evaluations = EvaluationsFile()
        self._joints = JointTopics(self)
        self._events = PolicyEvents(self)
        self._goals = (
            self.create_publisher(PoseStamped, "goal_pose", 1) if config.allow_goals else None
        )
        self.create_subscription(PoseStamped, "goal_pose", self._on_goal, QoSProfile(depth=1))
        self.create_subscription(String, "policy_node/policy_spec", self._on_spec, LATCHED)
        self.create_subscription(String, "robot_description", self._on_description, LATCHED)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        if arm is not None:
            self._set_arm(arm)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(1.0 / RATE, self._tick, clock=steady)
        self.get_logger().info(f"open {self.address} in a browser")

    @property
    def address(self) -> str:
        """Where the page is."""
        host = self._config.host
        shown = "127.0.0.1" if host in ("", "0.0.0.0", "::") else host
        return f"http://{shown}:{self.port}"

    @property
    def page(self) -> Page:
        """The page."""
        return self._page

    @property
    def state(self) -> ViewState:
        """What the page shows."""
        return self._state

    @property
    def arm(self) -> Arm | None:
        """The arm that is shown; None before one is known."""
        return self._arm

    def stop(self) -> None:
        """Closes the page; called by `run_node` before the node is destroyed."""
        stop_server(self._server)

    # ---- messages --------------------------------------------------------------------------

    def _on_goal(self, message: PoseStamped) -> None:
        arm, frame = self._arm, message.header.frame_id
        if arm is None:
            return
        if frame != arm.base_link:
            self._state.goal_note = f"the last goal is in frame {frame!r}, not {arm.base_link!r}"
            return
        spec = self._state.spec
        self._take_goal(goal_of(message, len(spec.goal.fields) if spec else 3))

    def _take_goal(self, goal: Array) -> None:
        state = self._state
        state.goal_note = ""
        if state.goal is None or abs(goal[:3] - state.goal[:3]).max() > _NEW_GOAL_M:
            self._goal_came, state.reached_after_s = time.monotonic(), None
        state.goal = goal

    def _on_spec(self, message: String) -> None:
        try:
            spec = PolicySpec.from_json(message.data, "the policy that runs")
        except SacRosError as error:
            self.get_logger().warning(str(error))
            return
        self._state.spec = spec
        self._name_arm(spec.arm)
        self._set_policy()

    def _on_description(self, message: String) -> None:
        if self._arm is None and not self._config.arm:
            self._load(message.data)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        state = self._state
        for status in message.status:
            node = status.name.partition(":")[0]
            if node not in DIAGNOSTIC_NODES:
                continue
            values = {each.key: each.value for each in status.values}
            state.summary[node] = status.message
            if node == "train_node":
                self._name_arm(status.hardware_id)
                state.progress = state.progress or Progress(values)
                state.progress.values = values
            elif node == "policy_node":
                state.torque_limit = self._joints.in_arm_order(values_of(values, "torque_limit"))

    # ---- the arm, once it is known ---------------------------------------------------------

    def _name_arm(self, name: str) -> None:
        """Take an arm that a node names, if it is one of the package: no path from elsewhere.

        It has more of an arm than a URDF has, and so takes the place of a robot_description.
        """
        if not self._config.arm and name != self._reference and name in arm_names():
            self._load(name)

    def _load(self, reference: str) -> None:
        try:
            arm = load_arm(reference, self._config.base_link, self._config.tip_link)
        except SacRosError as error:
            if self._arm is None:
                self._page.wait(str(error))
            self.get_logger().warning(str(error))
            return
        self._reference = reference
        self._set_arm(arm)

    def _set_arm(self, arm: Arm) -> None:
        self._arm = arm
        self._page.set_arm(arm)
        self._set_policy()

    def _set_policy(self) -> None:
        state, arm = self._state, self._arm
        if arm is None or state.spec is None:
            return
        self._joints.set_order(arm, state.spec, self._config.command_joints)
        if set(state.spec.joint_names) != set(arm.joint_names):
            self.get_logger().warning(
                f"the policy is for {state.spec.arm}, and the view shows {arm.name}"
            )
        self._page.set_policy(state, drag=self._joints.simulated())

    # ---- time ------------------------------------------------------------------------------

    def _tick(self) -> None:
        now = time.monotonic()
        watched = self._page.watched
        self._events.follow(watched)
        if not watched or self._arm is None:
            return
        state = self._state
        self._joints.update(now, self._arm, state)
        self._events.update(state, self._joints)
        if state.progress is not None:
            run = state.progress.values.get("run", "")
            state.progress.curves = self._evaluations.read(run)
        self._measure(now, state, self._arm)
        self._publish_dragged(now)
        self._page.show(now, state if self._dragged is None else replace(state, goal=None))

    def _measure(self, now: float, state: ViewState, arm: Arm) -> None:
        if state.goal is None or state.position is None:
            return
        state.goal_age_s = now - self._goal_came
        state.distance = distance_to(arm, state.position, state.goal)
        if state.spec is None or state.reached_after_s is not None:
            return
        if state.distance <= state.spec.goal.tolerance:
            state.reached_after_s = state.goal_age_s

    def _publish_dragged(self, now: float) -> None:
        """Publish where somebody drags the goal, and its last place in any case."""
        dragged = self._page.take_goal()
        if dragged is not None:
            self._dragged = dragged
        spec = self._state.spec
        if self._dragged is None or self._goals is None or spec is None:
            return
        period = _STREAM_PERIOD_S if spec.task == "track" else _GOAL_PERIOD_S
        if now - self._published < 0.99 * period:
            return
        message = goal_message(self._dragged, spec.goal.frame)
        message.header.stamp = self.get_clock().now().to_msg()
        self._goals.publish(message)
        self._take_goal(self._dragged)
        self._published, self._dragged = now, None


def main(args: list[str] | None = None) -> int:
    """Console script `browser_view`; returns the exit code."""
    return run_node(
        BrowserView,
        watching_demo(sys.argv[1:] if args is None else args),
        about=__doc__,
        parameters=BrowserViewConfig,
    )


def watching_demo(args: list[str]) -> list[str]:
    """Choose the ROS domain and the namespace of a demo, where one runs and none are given.

    A launch file names the node, and is left alone.
    """
    if os.environ.get("ROS_DOMAIN_ID") or any(name in word for word in args for name in _NAMED):
        return args
    domain = running_demo()
    if not domain:
        return args
    os.environ["ROS_DOMAIN_ID"] = domain
    loopback_only(os.environ)
    return [*args, "--ros-args", "-r", f"__ns:={NAMESPACE}"]


if __name__ == "__main__":
    sys.exit(main())
