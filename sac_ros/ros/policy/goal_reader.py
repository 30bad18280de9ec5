# SPDX-License-Identifier: Apache-2.0
"""Goal messages to the numbers that a policy takes, in its own frame, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from rclpy.time import Time

from sac_ros.policy.safety_config import Array
from sac_ros.policy.spec import QUATERNION, GoalSpec
from sac_ros.utils.errors import ConfigurationError, GoalError

_POSITION = ("x", "y", "z")

Lookup = Callable[[str, str], Any]
"""(target frame, source frame) → geometry_msgs/Transform; raises `GoalError`."""


def goal_message(goal: Iterable[float], frame: str, stamp_ns: int = 0) -> PoseStamped:
    """Return the message for a goal in a frame: [3] m, or [7] with a quaternion x y z w."""
    message = PoseStamped()
    message.header.frame_id = frame
    message.header.stamp = Time(nanoseconds=stamp_ns).to_msg()
    point, turn = message.pose.position, message.pose.orientation
    point.x, point.y, point.z, *quaternion = map(float, goal)
    turn.x, turn.y, turn.z, turn.w = quaternion or (0.0, 0.0, 0.0, 1.0)
    return message


def goal_of(message: PoseStamped, size: int = 7) -> Array:
    """Return the first `size` numbers of a pose, m and quaternion x y z w, in its own frame."""
    point, turn = message.pose.position, message.pose.orientation
    return np.array([point.x, point.y, point.z, turn.x, turn.y, turn.z, turn.w][:size])


def stamp_ns(message: PoseStamped) -> int:
    """Return the stamp of a message's header, ns; 0 where it has none."""
    stamp = message.header.stamp
    return int(stamp.sec * 1_000_000_000 + stamp.nanosec)


def refuse_other_goals(spec: GoalSpec) -> None:
    """Raise a `ConfigurationError` where a policy's goal is neither a position nor a pose."""
    if spec.fields not in (_POSITION, _POSITION + QUATERNION):
        raise ConfigurationError(
            f"goal_pose carries the goal fields {', '.join(_POSITION)} and, with an orientation, "
            f"{', '.join(QUATERNION)}; the policy's goal has {', '.join(spec.fields)}"
        )


class GoalReader:
    """Reads goals from `PoseStamped` messages and brings them into the policy's goal frame."""

    def __init__(self, spec: GoalSpec, lookup: Lookup | None) -> None:
        """Prepares for one policy's goal; ``lookup`` is None where tf2 is not installed.

        Raises:
            ConfigurationError: the policy's goal is neither a position nor a pose.
        """
        refuse_other_goals(spec)
        self._frame, self._size = spec.frame, len(spec.fields)
        self._lookup = lookup

    def read(self, message: PoseStamped) -> tuple[str, Array]:
        """Return the frame and the goal [k], in the policy's frame where tf2 is there.

        Raises:
            GoalError: the frame is another one and cannot be transformed from.
        """
        frame, values = message.header.frame_id, goal_of(message, self._size)
        if frame == self._frame:
            return frame, values
        if self._lookup is None:
            raise GoalError(
                f"goal must be in frame {self._frame!r}, tf2_ros is not installed to transform "
                f"from others; got frame {frame!r}"
            )
        return self._frame, _apply(self._lookup(self._frame, frame), values)


def tf2_lookup(node: Node) -> Lookup | None:
    """Return a lookup by tf2, or None where ``tf2_ros`` is not installed."""
    try:
        import tf2_ros  # noqa: PLC0415 - optional, and only policy_node needs it
    except ImportError:
        return None
    buffer = tf2_ros.Buffer()
    listener = tf2_ros.TransformListener(buffer, node)

    def lookup(target: str, source: str, _listener: object = listener) -> Any:
        try:
            return buffer.lookup_transform(target, source, Time()).transform
        except tf2_ros.TransformException as error:
            raise GoalError(
                f"goal must be in frame {target!r} or one that tf2 can transform from; "
                f"got frame {source!r} ({error})"
            ) from error

    return lookup


def _apply(transform: Any, goal: Array) -> Array:
    """Rotate by a unit quaternion (v, w) and translate: p + 2w (v×p) + 2 v×(v×p) + t.

    An orientation (u, s) becomes their product, (w u + s v + v×u, w s − v·u).
    """
    rotation, shift = transform.rotation, transform.translation
    axis, w = np.array([rotation.x, rotation.y, rotation.z]), rotation.w
    point, u, s = goal[:3], goal[3:6], goal[6:]
    cross = np.cross(axis, point)
    turned = point + 2.0 * w * cross + 2.0 * np.cross(axis, cross)
    placed = turned + np.array([shift.x, shift.y, shift.z])
    if not len(s):
        return np.asarray(placed)
    return np.concatenate((placed, w * u + s * axis + np.cross(axis, u), w * s - axis @ u))
