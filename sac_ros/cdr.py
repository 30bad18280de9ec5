# SPDX-License-Identifier: Apache-2.0
"""The few message types that an evaluation reads, from CDR bytes straight to arrays.

One publisher's messages all have the same shape: the same joint names, the same array lengths,
hence every number at the same place. So the first message is read byte by byte into a `Layout`,
and thousands that follow are compared with it and copied as one array: ten times as fast as making
an object of each. CDR: https://www.omg.org/spec/DDSI-RTPS (10.2), little or big endian.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

JOINT_STATE = "sensor_msgs/msg/JointState"
NUMBERS = "std_msgs/msg/Float64MultiArray"
POSE = "geometry_msgs/msg/PoseStamped"
TRAJECTORY = "trajectory_msgs/msg/JointTrajectory"
TEXT = "std_msgs/msg/String"

_PADDING = 7  # bytes that a serialiser may leave at the end of a message


class CdrError(ValueError):
    """A message does not have the form of its type."""


@dataclass(frozen=True)
class Layout:
    """Where the values of one message stand, and of all others of the same shape.

    Attributes:
        size: of the message, bytes.
        fixed: ranges of bytes that make the shape: lengths, names.
        shape: those bytes.
        order: ``<`` or ``>``.
        trailing: bytes behind the message's end.
        stamp: where the header's stamp is; None without a header.
        names: the joint names; empty where the type has none.
        arrays: where each array of doubles is, and how many they are.
        texts: ``frame_id``, or ``data`` of a text.
        points: of a trajectory, whose `arrays` are those of the first; 1 of all other types.
    """

    size: int
    fixed: tuple[tuple[int, int], ...]
    shape: tuple[bytes, ...]
    order: str
    trailing: int
    stamp: int | None = None
    names: tuple[str, ...] = ()
    arrays: dict[str, tuple[int, int]] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    points: int = 1

    def matches(self, block: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Return which rows of [k, size] bytes have this shape."""
        same = np.ones(len(block), dtype=bool)
        for (start, end), expected in zip(self.fixed, self.shape, strict=True):
            wanted = np.frombuffer(expected, dtype=np.uint8)
            equal = block[:, start:end] == wanted
            if not equal.all():  # nearly always it is, and this is the quick check
                same &= equal.all(axis=1)
        return same

    def doubles(self, block: NDArray[np.uint8], name: str) -> NDArray[np.float64]:
        """Return an array of every row: [k, count]."""
        start, count = self.arrays[name]
        part = np.ascontiguousarray(block[:, start : start + 8 * count])
        numbers = part.view(f"{self.order}f8").reshape(len(block), count)
        return numbers.astype(np.float64, copy=False)

    def stamps_ns(self, block: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Return the header stamp of every row, ns: [k]; 0 without one."""
        if self.stamp is None:
            return np.zeros(len(block), dtype=np.int64)
        part = np.ascontiguousarray(block[:, self.stamp : self.stamp + 8])
        seconds = part[:, :4].copy().view(f"{self.order}i4").astype(np.int64)[:, 0]
        nanoseconds = part[:, 4:].copy().view(f"{self.order}u4").astype(np.int64)[:, 0]
        return seconds * 1_000_000_000 + nanoseconds


class _Cursor:
    """Walks through one message and notes what of it is shape."""

    def __init__(self, raw: bytes) -> None:
        if len(raw) < 4 or raw[0] != 0 or raw[1] > 1:
            raise CdrError(f"not plain CDR, it begins with {bytes(raw[:8])!r}")
        self._raw = raw
        self.order = "<" if raw[1] == 1 else ">"
        self.at = 4
        self.fixed: list[tuple[int, int]] = [(0, 2)]

    def skip(self, count: int, size: int = 1) -> int:
        """Step over so many bytes, aligned to a size, and return where they begin."""
        start = 4 + -(-(self.at - 4) // size) * size  # CDR aligns from behind its own header
        self.at = start + count
        if self.at > len(self._raw):
            raise CdrError(f"its {len(self._raw)} bytes end within a field")
        return start

    def count(self) -> int:
        start = self.skip(4, 4)
        self.fixed.append((start, self.at))
        number: int = struct.unpack_from(f"{self.order}I", self._raw, start)[0]
        return number

    def text(self) -> str:
        start = self.skip(self.count())
        self.fixed.append((start, self.at))
        try:
            return bytes(self._raw[start : self.at]).rstrip(b"\0").decode()
        except UnicodeDecodeError:
            raise CdrError("a text is not UTF-8") from None

    def doubles(self) -> tuple[int, int]:
        count = self.count()
        return self.skip(8 * count, 8 if count else 1), count

    def point(self) -> dict[str, tuple[int, int]]:
        """Step over a JointTrajectoryPoint, its ``time_from_start`` too."""
        fields = ("position", "velocity", "acceleration", "effort")
        arrays = {name: self.doubles() for name in fields}
        self.skip(8, 4)
        return arrays

    def layout(self, **found: Any) -> Layout:
        ranges = _joined(self.fixed)
        trailing = len(self._raw) - self.at
        return Layout(
            size=len(self._raw),
            fixed=ranges,
            shape=tuple(bytes(self._raw[start:end]) for start, end in ranges),
            order=self.order,
            trailing=trailing if trailing > _PADDING else 0,
            **found,
        )


def read_layout(raw: bytes, kind: str) -> Layout:
    """Read one message of a type that this module has.

    Raises:
        CdrError: the bytes are no such message.
    """
    cursor = _Cursor(raw)
    if kind == JOINT_STATE:
        stamp, frame = cursor.skip(8, 4), cursor.text()
        names = tuple(cursor.text() for _ in range(_sane(cursor.count(), raw)))
        arrays = {name: cursor.doubles() for name in ("position", "velocity", "effort")}
        return cursor.layout(stamp=stamp, names=names, arrays=arrays, texts={"frame_id": frame})
    if kind == TRAJECTORY:
        stamp, frame = cursor.skip(8, 4), cursor.text()
        names = tuple(cursor.text() for _ in range(_sane(cursor.count(), raw)))
        points = [cursor.point() for _ in range(_sane(cursor.count(), raw, "points"))]
        first = points[0] if points else dict.fromkeys(("position", "velocity", "effort"), (0, 0))
        about = {"names": names, "arrays": first, "points": len(points)}
        return cursor.layout(stamp=stamp, texts={"frame_id": frame}, **about)
    if kind == NUMBERS:
        for _ in range(_sane(cursor.count(), raw)):
            cursor.text()
            cursor.count()  # size
            cursor.count()  # stride
        cursor.count()  # data_offset
        return cursor.layout(arrays={"data": cursor.doubles()})
    if kind == POSE:
        stamp, frame = cursor.skip(8, 4), cursor.text()
        arrays = {"pose": (cursor.skip(56, 8), 7)}
        return cursor.layout(stamp=stamp, arrays=arrays, texts={"frame_id": frame})
    if kind == TEXT:
        return cursor.layout(texts={"data": cursor.text()})
    raise CdrError(f"messages of type {kind} are not read")


def without_padding(raw: bytes, kind: str) -> bytes:
    """Return a message with zeros between its values: a serialiser leaves there what was there.

    Not for trajectories, of which a `Layout` has the first point only.

    Raises:
        CdrError: as `read_layout`.
    """
    layout = read_layout(raw, kind)
    places = [*layout.fixed, *((at, at + 8 * count) for at, count in layout.arrays.values())]
    if layout.stamp is not None:
        places.append((layout.stamp, layout.stamp + 8))
    clean = bytearray(len(raw))
    for start, end in places:
        clean[start:end] = raw[start:end]
    return bytes(clean)


def _sane(count: int, raw: bytes, what: str = "texts") -> int:
    """Refuse a count that could never fit: damage, and a loop of years."""
    if count > len(raw) // 4:
        raise CdrError(f"it claims {count} {what} in {len(raw)} bytes")
    return count


def _joined(ranges: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Join ranges that touch, so that a comparison takes few steps."""
    joined: list[tuple[int, int]] = []
    for start, end in ranges:
        if joined and joined[-1][1] == start:
            joined[-1] = (joined[-1][0], end)
        elif end > start:
            joined.append((start, end))
    return tuple(joined)
