# SPDX-License-Identifier: Apache-2.0
"""Joint state messages to arrays in the policy's joint order, by name and never by place."""

from __future__ import annotations

import numpy as np
from sensor_msgs.msg import JointState

from sac_ros.errors import JointStateError
from sac_ros.policy.safety_config import Array


class JointStateReader:
    """Reads positions and velocities of some joints; other joints in a message are ignored.

    The arrays that `read` returns are the reader's own and are written again by the next call:
    at 500 messages per second nothing is allocated.
    """

    def __init__(self, joint_names: tuple[str, ...]) -> None:
        self._joint_names = joint_names
        self._known_names: list[str] | None = None
        self._index = np.zeros(len(joint_names), dtype=np.intp)
        self._position = np.zeros(len(joint_names))
        self._velocity = np.zeros(len(joint_names))

    def read(self, message: JointState) -> tuple[Array, Array]:
        """Return ``(position, velocity)``, each [n], rad and rad/s.

        Raises:
            JointStateError: a joint is missing or named twice, the lengths of the fields differ,
                or velocities are not filled. There is no default for a value that is not there.
        """
        if message.name != self._known_names:
            self._learn(message.name)
        count = len(message.name)
        self._take("position", message.position, count, self._position)
        self._take("velocity", message.velocity, count, self._velocity)
        return self._position, self._velocity

    def _learn(self, names: list[str]) -> None:
        """Find every joint in the names of a message; drivers rarely change them."""
        self._known_names = None
        for place, joint in enumerate(self._joint_names):
            count = names.count(joint)
            if count != 1:
                problem = "is missing from" if count == 0 else f"stands {count} times in"
                raise JointStateError(
                    f"joint {joint} {problem} the joint states, which have {', '.join(names)}"
                )
            self._index[place] = names.index(joint)
        self._known_names = list(names)

    def _take(self, field: str, values: object, count: int, out: Array) -> None:
        array = np.asarray(values)  # of an array.array: a view, not a copy
        if len(array) == count:
            np.take(array, self._index, out=out)
            return
        hint = "; the robot's driver must fill it" if not len(array) else ""
        raise JointStateError(
            f"the joint states' {field} must have {count} values, one for each name; "
            f"got {len(array)}{hint}"
        )
