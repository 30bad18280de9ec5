# SPDX-License-Identifier: Apache-2.0
"""The interactive marker as RViz sees it: over DDS, by the protocol of interactive_markers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: `make setup` brings it")

from geometry_msgs.msg import PoseStamped
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import String
from visualization_msgs.msg import InteractiveMarkerFeedback, InteractiveMarkerUpdate
from visualization_msgs.srv import GetInteractiveMarkers

from sac_ros.policy.runtime import Policy
from sac_ros.ros.goal_marker import GoalMarker
from sac_ros.utils.package_share import share_path

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
Eventually = Callable[..., None]


class Rviz:
    """What RViz's display does, and a policy's spec."""

    def __init__(self, ros: Any, eventually: Eventually, model: str = "iiwa_reach") -> None:
        ros.add(GoalMarker())
        self.node, self._eventually = ros.node("rviz"), eventually
        self.spec = Policy.load(share_path("models", f"{model}.onnx")).spec
        self.goals: list[PoseStamped] = []
        self.updates: list[InteractiveMarkerUpdate] = []
        node = self.node
        node.create_subscription(PoseStamped, "goal_pose", self.goals.append, 10)
        node.create_subscription(
            InteractiveMarkerUpdate, "goal_marker/update", self.updates.append, 100
        )
        self._feedback = node.create_publisher(
            InteractiveMarkerFeedback, "goal_marker/feedback", 100
        )
        self._get = node.create_client(
            GetInteractiveMarkers, "goal_marker/get_interactive_markers"
        )
        eventually(self._feedback.get_subscription_count, "the marker listens")
        eventually(lambda: node.count_publishers("/goal_marker/update"), "it is heard")
        spec = node.create_publisher(String, "policy_node/policy_spec", LATCHED)
        spec.publish(String(data=self.spec.to_json()))
        eventually(lambda: self.updates, "the marker is announced")

    def markers(self) -> Any:
        self._eventually(self._get.service_is_ready, "the service")
        future = self._get.call_async(GetInteractiveMarkers.Request())
        self._eventually(future.done, "its answer")
        return future.result()

    def drag(self, event: int, x: float, y: float, z: float) -> None:
        feedback = InteractiveMarkerFeedback(marker_name="goal", event_type=event)
        feedback.header.frame_id = self.spec.goal.frame
        place = feedback.pose.position
        place.x, place.y, place.z = x, y, z
        self._feedback.publish(feedback)


MOVE, RELEASE = InteractiveMarkerFeedback.POSE_UPDATE, InteractiveMarkerFeedback.MOUSE_UP


def test_a_marker_is_served_in_the_middle_of_the_goals_of_the_policy(
    ros: Any, eventually: Eventually
) -> None:
    rviz = Rviz(ros, eventually)
    answer = rviz.markers()
    (marker,) = answer.markers
    assert answer.sequence_number == rviz.updates[-1].seq_num
    assert marker.header.frame_id == rviz.spec.goal.frame
    place = marker.pose.position
    assert (place.x, place.y, place.z) == pytest.approx(rviz.spec.goal.middle)
    names = [control.name for control in marker.controls]
    assert names == ["ball", "move_x", "move_y", "move_z"], "a goal of this task has no rings"


def test_a_goal_is_published_when_it_is_released_and_one_outside_the_box_goes_back(
    ros: Any, eventually: Eventually
) -> None:
    rviz = Rviz(ros, eventually)
    for step in range(5):
        rviz.drag(MOVE, 0.5, 0.05 * step, 0.4)
    rviz.drag(RELEASE, 0.5, 0.2, 0.4)
    eventually(lambda: rviz.goals, "the goal")
    rviz.drag(RELEASE, 0.5, 0.2, 2.0)
    eventually(lambda: len(rviz.updates) == 3, "the marker is put back")
    assert len(rviz.goals) == 1
    assert rviz.goals[0].header.frame_id == rviz.spec.goal.frame
    assert rviz.goals[0].pose.position.y == 0.2
    (pose,) = rviz.updates[-1].poses
    assert pose.name == "goal"
    assert (pose.pose.position.y, pose.pose.position.z) == (0.2, 0.4)
    numbers = [update.seq_num for update in rviz.updates]
    assert numbers == [1, 2, 3]
