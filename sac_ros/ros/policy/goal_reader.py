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
from sac_ros.policy.spec import GoalSpec
from sac_ros.utils.errors import ConfigurationError, GoalError

_FIELDS = ("x", "y", "z")

Lookup = Callable[[str, str], Any]
"""(target frame, source frame) → geometry_msgs/Transform; raises `GoalError`."""


def goal_message(position: Iterable[float], frame: str) -> PoseStamped:
    """Return the message for a goal [3], m, in a frame."""
    message = PoseStamped()
    message.header.frame_id = frame
    point = message.pose.position
    point.x, point.y, point.z = map(float, position)
    message.pose.orientation.w = 1.0
    return message


def position_of(message: PoseStamped) -> Array:
    """Return the goal [3], m, in the message's own frame."""
    position = message.pose.position
    return np.array([position.x, position.y, position.z])


def refuse_other_goals(spec: GoalSpec) -> None:
    """Raise a `ConfigurationError` where a policy's goal is not a position."""
    if spec.fields != _FIELDS:
        raise ConfigurationError(
            f"goal_pose carries the goal fields {', '.join(_FIELDS)}; the policy's goal has "
            f"{', '.join(spec.fields)}"
        )


class GoalReader:
    """Reads positions from `PoseStamped` messages and brings them into the policy's goal frame."""

    def __init__(self, spec: GoalSpec, lookup: Lookup | None) -> None:
        """Prepares for one policy's goal; ``lookup`` is None where tf2 is not installed.

        Raises:
            ConfigurationError: the policy's goal is not a position.
        """
        refuse_other_goals(spec)
        self._frame = spec.frame
        self._lookup = lookup

    def read(self, message: PoseStamped) -> tuple[str, Array]:
        """Return the frame and the position [3], m, in the policy's frame where tf2 is there.

        Raises:
            GoalError: the frame is another one and cannot be transformed from.
        """
        frame, values = message.header.frame_id, position_of(message)
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


def _apply(transform: Any, point: Array) -> Array:
    """Rotate by a unit quaternion (w, v) and translate: p + 2w (v×p) + 2 v×(v×p) + t."""
    rotation, shift = transform.rotation, transform.translation
    axis = np.array([rotation.x, rotation.y, rotation.z])
    cross = np.cross(axis, point)
    turned = point + 2.0 * rotation.w * cross + 2.0 * np.cross(axis, cross)
    return np.asarray(turned + np.array([shift.x, shift.y, shift.z]))
