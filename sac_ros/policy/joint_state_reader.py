# SPDX-License-Identifier: Apache-2.0
"""Joint state messages to arrays in the policy's joint order, by name and never by place."""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

from sac_ros.cdr import JOINT_STATE, CdrError, Layout, read_layout
from sac_ros.policy.safety_config import Array
from sac_ros.utils.errors import JointStateError

LONGEST_MESSAGE = 65536
"""Bytes: those of 500 joints. A longer message is not parsed, which would take its time."""


class JointStateReader:
    """Reads positions and velocities of some joints; other joints in a message are ignored.

    It reads the bytes as they came over the wire (CDR), by the places of the numbers where the
    shape is that of the message before. To make a Python object of every message takes longer
    than all that is done with it (docs/timing.md). The arrays that `read` returns are written
    again by the next call.

    Attributes:
        stamp_ns: the header's stamp of the last message, ns; 0 where that has none or is no
            joint state.
        names: the joints that it has.
    """

    def __init__(self, joint_names: tuple[str, ...]) -> None:
        self._joint_names = joint_names
        self._state = np.zeros((2, len(joint_names)))  # positions, velocities
        self._layout: Layout | None = None  # of the last message and all that have its shape
        self._shape: list[tuple[slice, bytes]] = []
        self._index: NDArray[np.intp] | None = None  # [2, n] the joints' places in `_numbers`
        self._numbers = (np.dtype("f8"), 0, 0)  # type, count, first byte
        self.stamp_ns = 0
        self.names: tuple[str, ...] = ()

    def read(self, raw: bytes) -> tuple[Array, Array]:
        """Return ``(position, velocity)``, each [n], rad and rad/s, of a serialised message.

        Raises:
            JointStateError: the bytes are no joint state, a joint is missing or named twice, the
                lengths of the fields differ, or velocities are not filled. There is no default
                for a value that is not there.
        """
        self._look(raw)
        if self._index is None:
            assert self._layout is not None
            self._index = self._find_numbers(self._layout)
        numbers = np.frombuffer(raw, *self._numbers)
        numbers.take(self._index, out=self._state, mode="clip")  # other modes make a copy first
        return self._state[0], self._state[1]

    def _look(self, raw: bytes) -> None:
        """Read the head of a serialised message: its stamp and names."""
        layout = self._layout
        if layout is None or not (
            len(raw) == layout.size and all(raw[place] == same for place, same in self._shape)
        ):
            self._layout, self._index = None, None
            self.stamp_ns, self.names = 0, ()
            if len(raw) > LONGEST_MESSAGE:
                raise JointStateError(
                    f"a joint state's message must have at most {LONGEST_MESSAGE} bytes; "
                    f"got {len(raw)}"
                )
            try:
                layout = self._layout = read_layout(raw, JOINT_STATE)
            except CdrError as error:
                raise JointStateError(
                    f"a message on the joint states' topic is no joint state: {error}"
                ) from None
            places = (slice(*place) for place in layout.fixed)
            self._shape = list(zip(places, layout.shape, strict=True))
            self.names = layout.names
        assert layout.stamp is not None  # a joint state has a header
        seconds, nanoseconds = struct.unpack_from(f"{layout.order}iI", raw, layout.stamp)
        self.stamp_ns = int(seconds * 1_000_000_000 + nanoseconds)

    def _find_numbers(self, layout: Layout) -> NDArray[np.intp]:
        """Return [2, n] where positions and velocities are, counted from the first position.

        CDR aligns doubles, so those of both fields and all between lie on one grid of 8 bytes.
        """
        for joint in self._joint_names:
            count = self.names.count(joint)
            if count != 1:
                problem = "is missing from" if count == 0 else f"stands {count} times in"
                raise JointStateError(
                    f"joint {joint} {problem} the joint states, which have {', '.join(self.names)}"
                )
        (first, count), (velocity, velocities) = (
            layout.arrays[field] for field in ("position", "velocity")
        )
        self._check_length("position", count)
        self._check_length("velocity", velocities)
        between = (velocity - first) // 8
        self._numbers = (np.dtype(f"{layout.order}f8"), between + count, first)
        joints = np.array([self.names.index(joint) for joint in self._joint_names])
        return np.array([joints, between + joints])

    def _check_length(self, field: str, length: int) -> None:
        if length == len(self.names):
            return
        hint = "; the robot's driver must fill it" if not length else ""
        raise JointStateError(
            f"the joint states' {field} must have {len(self.names)} values, one for each name; "
            f"got {length}{hint}"
        )
