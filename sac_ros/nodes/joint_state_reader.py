# SPDX-License-Identifier: Apache-2.0
"""Joint state messages to arrays in the policy's joint order, by name and never by place."""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

from sac_ros.cdr import JOINT_STATE, CdrError, Layout, read_layout
from sac_ros.policy.safety_config import Array
from sac_ros.utils.errors import JointStateError


class JointStateReader:
    """Reads positions and velocities of some joints; other joints in a message are ignored.

    It reads the bytes as they came over the wire (CDR): of a driver's messages only numbers and
    the stamp change, so a message is read whole where its shape differs from the one before, and
    else by the places of its numbers. To make a Python object of every message takes longer
    than all that is done with it (docs/timing.md).

    The arrays that `read` returns are the reader's own and are written again by the next call:
    at 500 messages per second nothing is allocated.

    Attributes:
        stamp_ns: the header's stamp of the message that was read last, ns; 0 where it has none,
            and where the bytes are no joint state at all.
        frame: the header's ``frame_id``.
        names: the joints that it has.
    """

    def __init__(self, joint_names: tuple[str, ...]) -> None:
        self._joint_names = joint_names
        self._state = np.zeros((2, len(joint_names)))  # positions, velocities
        self._known: _Known | None = None
        self.stamp_ns = 0
        self.frame = ""
        self.names: tuple[str, ...] = ()

    def look(self, raw: bytes) -> None:
        """Read what a serialised message says about itself: its stamp, frame and names.

        Raises:
            JointStateError: the bytes are no joint state.
        """
        known = self._known
        if known is None or not known.describes(raw):
            self._known, self.stamp_ns, self.frame, self.names = None, 0, "", ()
            try:
                layout = read_layout(raw, JOINT_STATE)
            except CdrError as error:
                raise JointStateError(
                    f"a message on the joint states' topic is no joint state: {error}"
                ) from None
            known = self._known = _Known(layout)
            self.frame, self.names = layout.texts["frame_id"], layout.names
        self.stamp_ns = known.stamp_ns(raw)

    def read(self, raw: bytes) -> tuple[Array, Array]:
        """Return ``(position, velocity)``, each [n], rad and rad/s, of a serialised message.

        Raises:
            JointStateError: the bytes are no joint state, a joint is missing or named twice, the
                lengths of the fields differ, or velocities are not filled. There is no default
                for a value that is not there.
        """
        self.look(raw)
        known = self._known
        assert known is not None
        if known.index is None:
            joints = self._find_joints()
            for field in ("position", "velocity"):
                self._check_length(field, known.layout.arrays[field][1])
            known.use(joints)
        assert known.index is not None
        numbers = np.frombuffer(raw, known.dtype, known.count, known.first)
        numbers.take(known.index, out=self._state, mode="clip")  # other modes make a copy first
        return self._state[0], self._state[1]

    def _find_joints(self) -> list[int]:
        """Return the place of each of the policy's joints among the names."""
        for joint in self._joint_names:
            count = self.names.count(joint)
            if count != 1:
                problem = "is missing from" if count == 0 else f"stands {count} times in"
                raise JointStateError(
                    f"joint {joint} {problem} the joint states, which have {', '.join(self.names)}"
                )
        return [self.names.index(joint) for joint in self._joint_names]

    def _check_length(self, field: str, length: int) -> None:
        if length == len(self.names):
            return
        hint = "; the robot's driver must fill it" if not length else ""
        raise JointStateError(
            f"the joint states' {field} must have {len(self.names)} values, one for each name; "
            f"got {length}{hint}"
        )


class _Known:
    """One message, and which others have their numbers at the same places.

    Those of the same length, with the same names and counts (`Layout.shape`).

    Attributes:
        layout: where the numbers are.
        first: where the first position is, bytes.
        dtype: of the numbers.
        count: of all numbers from the first position to the last velocity.
        index: [2, n] which of them are positions and velocities of the policy's joints; None
            until `use`.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.index: NDArray[np.intp] | None = None
        self.dtype = np.dtype(f"{layout.order}f8")
        self.first = self.count = 0
        assert layout.stamp is not None  # a joint state has a header
        self._stamp_at = layout.stamp
        self._stamp = struct.Struct(f"{layout.order}iI")
        self._shape = [
            (slice(*place), expected)
            for place, expected in zip(layout.fixed, layout.shape, strict=True)
        ]

    def use(self, joints: list[int]) -> None:
        """Prepare to take positions and velocities of the joints at these places, in this order.

        CDR aligns doubles, so those of both fields and all between lie on one grid of 8 bytes.
        """
        (self.first, count), (velocity, _) = (
            self.layout.arrays[field] for field in ("position", "velocity")
        )
        between = (velocity - self.first) // 8
        self.count = between + count
        self.index = np.array([joints, [between + joint for joint in joints]])

    def describes(self, raw: bytes) -> bool:
        """Tell whether another message has everything at the same places."""
        if len(raw) != self.layout.size:
            return False
        return all(raw[place] == expected for place, expected in self._shape)

    def stamp_ns(self, raw: bytes) -> int:
        """Return the header's stamp, ns."""
        seconds, nanoseconds = self._stamp.unpack_from(raw, self._stamp_at)
        return int(seconds * 1_000_000_000 + nanoseconds)
