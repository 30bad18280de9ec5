# SPDX-License-Identifier: Apache-2.0
"""An interactive marker for RViz that drags the goal of a policy_node."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass

from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from std_msgs.msg import String
from visualization_msgs.msg import (
    InteractiveMarker,
    InteractiveMarkerControl,
    InteractiveMarkerFeedback,
    InteractiveMarkerPose,
    InteractiveMarkerUpdate,
    Marker,
)
from visualization_msgs.srv import GetInteractiveMarkers

from sac_ros.policy.goals import check_goal
from sac_ros.policy.spec import PolicySpec
from sac_ros.ros.parameters import declare
from sac_ros.ros.policy.goal_reader import goal_message, goal_of
from sac_ros.ros.robot_description import LATCHED
from sac_ros.ros.spin import run_node
from sac_ros.utils.errors import GoalError, SacRosError
from sac_ros.utils.settings import setting, validate

_NAME = "goal"
_BALL = 0.03  # m, radius
_STREAM_PERIOD_S = 0.05  # between two goals of a drag, where the policy follows one that moves
_HALF = 0.5**0.5
# RViz moves along the x axis of a control and turns about it: these turn it to x, y and z.
_AXES = {"x": (1.0, 0.0, 0.0, 1.0), "y": (0.0, 0.0, 1.0, 1.0), "z": (0.0, 1.0, 0.0, 1.0)}


@dataclass(frozen=True)
class GoalMarkerConfig:
    """Parameters of `goal_marker`; the box of goals and their frame are those of the policy."""

    scale: float = setting(0.25, "size of the arrows", above=0.0, unit="m")

    def __post_init__(self) -> None:
        """Refuses invalid settings with a `ConfigurationError`."""
        validate(self)


class GoalMarker(Node):
    """Serves one marker below `~/`, and publishes `goal_pose` when it is released.

    The three interfaces are those of the package interactive_markers, which has no wheel:
    `~/update`, `~/feedback` and `~/get_interactive_markers`.
    """

    def __init__(self) -> None:
        """Waits for a policy's spec, without which it is unknown what a goal is."""
        super().__init__("goal_marker")
        self._scale = declare(self, GoalMarkerConfig).scale
        self._spec: PolicySpec | None = None
        self._marker = InteractiveMarker()
        self._sequence = 0
        self._published = 0.0
        self._updates = self.create_publisher(InteractiveMarkerUpdate, "~/update", 100)
        self._goals = self.create_publisher(PoseStamped, "goal_pose", 1)
        self.create_subscription(InteractiveMarkerFeedback, "~/feedback", self._on_feedback, 100)
        self.create_service(GetInteractiveMarkers, "~/get_interactive_markers", self._on_get)
        self.create_subscription(String, "policy_node/policy_spec", self._on_spec, LATCHED)

    def _on_spec(self, text: String) -> None:
        try:
            self._spec = PolicySpec.from_json(text.data, "the policy that runs")
        except SacRosError as error:
            self.get_logger().warning(str(error))
            return
        goal = self._spec.goal
        message = goal_message(goal.middle, goal.frame)
        self._marker = _marker(message, self._scale, turns=len(goal.fields) > 3)
        self._update(InteractiveMarkerUpdate(markers=[self._marker]))
        self.get_logger().info(f"the goal of {self._spec.name} can be dragged in RViz")

    def _on_get(
        self, _: GetInteractiveMarkers.Request, response: GetInteractiveMarkers.Response
    ) -> GetInteractiveMarkers.Response:
        response.sequence_number = self._sequence
        response.markers = [] if self._spec is None else [self._marker]
        return response

    def _on_feedback(self, feedback: InteractiveMarkerFeedback) -> None:
        spec = self._spec
        if spec is None or feedback.marker_name != _NAME:
            return
        released = feedback.event_type == InteractiveMarkerFeedback.MOUSE_UP
        moved = feedback.event_type == InteractiveMarkerFeedback.POSE_UPDATE
        now = time.monotonic()
        streams = spec.task == "track" and now - self._published > _STREAM_PERIOD_S
        if not (released or (moved and streams)):
            return
        asked = PoseStamped(header=feedback.header, pose=feedback.pose)
        try:
            goal = check_goal(
                spec.goal, feedback.header.frame_id, goal_of(asked, len(spec.goal.fields))
            )
        except GoalError as error:
            if released:
                self.get_logger().warning(f"goal refused: {error}")
                self._place()  # back to where the last one stands
            return
        message = goal_message(goal, spec.goal.frame)
        message.header.stamp = self.get_clock().now().to_msg()
        self._goals.publish(message)
        self._published, self._marker.pose = now, message.pose
        if released:
            self._place()

    def _place(self) -> None:
        """Have every RViz show the marker where it is known to be."""
        pose = InteractiveMarkerPose(
            header=self._marker.header, pose=self._marker.pose, name=self._marker.name
        )
        self._update(InteractiveMarkerUpdate(poses=[pose]))

    def _update(self, update: InteractiveMarkerUpdate) -> None:
        self._sequence += 1
        update.type = InteractiveMarkerUpdate.UPDATE
        update.server_id, update.seq_num = self.get_fully_qualified_name(), self._sequence
        self._updates.publish(update)


def _marker(goal: PoseStamped, scale: float, *, turns: bool) -> InteractiveMarker:
    """A ball with an arrow for each axis, and rings where a goal has an orientation."""
    marker = InteractiveMarker(name=_NAME, description="goal", scale=scale, pose=goal.pose)
    marker.header.frame_id = goal.header.frame_id
    ball = Marker(type=Marker.SPHERE)
    ball.scale.x = ball.scale.y = ball.scale.z = 2.0 * _BALL
    ball.color.r, ball.color.g, ball.color.b, ball.color.a = 0.88, 0.19, 0.19, 1.0
    modes = {"move": InteractiveMarkerControl.MOVE_AXIS}
    if turns:
        modes["turn"] = InteractiveMarkerControl.ROTATE_AXIS
    marker.controls = [
        InteractiveMarkerControl(name="ball", always_visible=True, markers=[ball])
    ] + [
        _control(f"{what}_{axis}", mode, *turn)
        for what, mode in modes.items()
        for axis, turn in _AXES.items()
    ]
    return marker


def _control(
    name: str, mode: int, x: float, y: float, z: float, w: float
) -> InteractiveMarkerControl:
    control = InteractiveMarkerControl(
        name=name,
        interaction_mode=mode,
        orientation_mode=InteractiveMarkerControl.FIXED,
    )
    turn = control.orientation
    turn.x, turn.y, turn.z, turn.w = _HALF * x, _HALF * y, _HALF * z, _HALF * w
    return control


def main(args: list[str] | None = None) -> int:
    """Console script `goal_marker`; returns the exit code."""
    return run_node(GoalMarker, args, about=__doc__, parameters=GoalMarkerConfig)


if __name__ == "__main__":
    sys.exit(main())
