# SPDX-License-Identifier: Apache-2.0
"""Goals come in the policy's frame, or are transformed into it, or are refused."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: `make setup` brings it")

from geometry_msgs.msg import PoseStamped, Transform, TransformStamped
from hypothesis import given
from hypothesis import strategies as st

from sac_ros.policy.goals import check_goal
from sac_ros.policy.spec import QUATERNION, GoalSpec, OrientationSpec
from sac_ros.robots.kinematics import quaternion_of, rotation_from_quaternion, rotation_of
from sac_ros.ros.policy.goal_reader import GoalReader, goal_message, tf2_lookup
from sac_ros.utils.errors import ConfigurationError, GoalError

SPEC = GoalSpec(("x", "y", "z"), "m", "base", (-1.0,) * 3, (1.0,) * 3, 0.02)


def goal(frame: str) -> PoseStamped:
    message = PoseStamped()
    message.header.frame_id = frame
    position = message.pose.position
    position.x, position.y, position.z = 1.0, 2.0, 3.0
    return message


def test_a_goal_in_the_policys_frame_is_taken_as_it_is() -> None:
    frame, values = GoalReader(SPEC, None).read(goal("base"))
    assert frame == "base"
    np.testing.assert_array_equal(values, [1.0, 2.0, 3.0])


@pytest.mark.parametrize("frame", ["camera", "", "/base"])
def test_without_tf2_another_frame_is_refused_by_name(frame: str) -> None:
    with pytest.raises(GoalError, match=f"frame 'base', tf2_ros is not.*got frame '{frame}'"):
        GoalReader(SPEC, None).read(goal(frame))


def test_with_tf2_another_frame_is_rotated_and_shifted() -> None:
    def lookup(target: str, source: str) -> Transform:
        assert (target, source) == ("base", "camera")
        transform = Transform()
        transform.rotation.z = transform.rotation.w = math.sqrt(0.5)  # 90 degrees about z
        transform.translation.z = 10.0
        return transform

    frame, values = GoalReader(SPEC, lookup).read(goal("camera"))
    assert frame == "base"
    np.testing.assert_allclose(values, [-2.0, 1.0, 13.0])


def test_with_the_real_tf2_a_goal_is_brought_into_the_policys_frame(
    ros: Any, eventually: Callable[..., None]
) -> None:
    tf2_ros = pytest.importorskip("tf2_ros", reason="tf2_ros comes with ROS 2, not from PyPI")
    node = ros.node()
    reader = GoalReader(SPEC, tf2_lookup(node))
    with pytest.raises(GoalError, match="or one that tf2 can transform from; got frame 'camera'"):
        reader.read(goal("camera"))
    stamped = TransformStamped(child_frame_id="camera")
    stamped.header.frame_id = "base"
    stamped.transform.rotation.z = stamped.transform.rotation.w = math.sqrt(0.5)
    stamped.transform.translation.z = 10.0
    tf2_ros.StaticTransformBroadcaster(node).sendTransform(stamped)

    def heard() -> bool:
        with contextlib.suppress(GoalError):
            reader.read(goal("camera"))
            return True
        return False

    eventually(heard, "the transform")
    frame, values = reader.read(goal("camera"))
    assert frame == "base"
    np.testing.assert_allclose(values, [-2.0, 1.0, 13.0])


def test_a_policy_whose_goal_is_not_a_position_is_refused() -> None:
    spec = GoalSpec(("q1", "q2"), "rad", "base", (-1.0,) * 2, (1.0,) * 2, 0.02)
    with pytest.raises(ConfigurationError, match="the policy's goal has q1, q2"):
        GoalReader(spec, None)


POSE = GoalSpec(
    (*SPEC.fields, *QUATERNION),
    "m",
    "base",
    (-1.0,) * 7,
    (1.0,) * 7,
    0.02,
    OrientationSpec((0.0, 0.0, 0.0, 1.0), 1.0, 0.1),
)
QUARTER = math.sqrt(0.5)


def test_a_pose_is_its_position_and_its_quaternion_there_and_back() -> None:
    values = [0.1, 0.2, 0.3, 0.0, QUARTER, 0.0, QUARTER]
    frame, found = GoalReader(POSE, None).read(goal_message(values, "base"))
    assert frame == "base"
    np.testing.assert_allclose(found, values)
    # A policy for positions takes the same message, and a position has no turn.
    np.testing.assert_allclose(
        GoalReader(SPEC, None).read(goal_message(values, "base"))[1], values[:3]
    )
    assert goal_message(values[:3], "base").pose.orientation.w == 1.0


@given(st.tuples(*[st.floats(-3.1, 3.1)] * 6))
def test_with_tf2_an_orientation_is_turned_with_its_frame(angles: tuple[float, ...]) -> None:
    turn, own = rotation_of(angles[:3]), rotation_of(angles[3:])
    x, y, z, w = quaternion_of(turn)

    def lookup(_target: str, _source: str) -> Transform:
        transform = Transform()
        rotation, shift = transform.rotation, transform.translation
        rotation.x, rotation.y, rotation.z, rotation.w = map(float, (x, y, z, w))
        shift.x = 0.5
        return transform

    message = goal_message([0.1, 0.2, 0.3, *quaternion_of(own)], "camera")
    values = GoalReader(POSE, lookup).read(message)[1]
    np.testing.assert_allclose(values[:3], turn @ [0.1, 0.2, 0.3] + [0.5, 0, 0], atol=1e-9)
    np.testing.assert_allclose(rotation_from_quaternion(values[3:]), turn @ own, atol=1e-9)


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=7, max_size=7))
def test_no_numbers_of_a_pose_make_anything_but_a_goal_or_a_refusal(values: list[float]) -> None:
    found = GoalReader(POSE, None).read(goal_message(values, "base"))
    with contextlib.suppress(GoalError):
        checked = check_goal(POSE, *found)
        assert np.linalg.norm(checked[3:]) == pytest.approx(1.0)
        assert np.all(np.abs(checked) <= 1.0 + 1e-9)
