# SPDX-License-Identifier: Apache-2.0
"""Messages are read as the rosbags library reads them, thousands at a time."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from bag_maker import TYPE_OF, TYPES, header, joint_state, numbers, pose, text, trajectory
from hypothesis import given
from hypothesis import strategies as st

from sac_ros.cdr import CdrError, read_layout, without_padding

NAMES = st.lists(st.text("abc_é1", min_size=1, max_size=9), max_size=5)
VALUES = st.lists(st.floats(-1e9, 1e9), max_size=5)


def rows(*messages: bytes) -> np.ndarray:
    return np.frombuffer(b"".join(messages), dtype=np.uint8).reshape(len(messages), -1)


@given(NAMES, VALUES, VALUES, VALUES, st.integers(0, 2**31 * 10**9 - 1), st.booleans())
def test_joint_states_are_read_as_rosbags_reads_them(
    names: list[str],
    position: list[float],
    velocity: list[float],
    effort: list[float],
    stamp_ns: int,
    little: bool,
) -> None:
    kind = TYPE_OF["states"]
    arrays = [np.array(each, dtype=float) for each in (position, velocity, effort)]
    message = TYPES.types[kind](header(stamp_ns, "frame"), names, *arrays)
    raw = bytes(TYPES.serialize_cdr(message, kind, little_endian=little))
    layout = read_layout(raw, kind)
    assert list(layout.names) == names
    assert layout.texts == {"frame_id": "frame"}
    assert layout.trailing == 0
    assert layout.matches(rows(raw)).all()
    assert layout.stamps_ns(rows(raw)).tolist() == [stamp_ns]
    for field, values in zip(("position", "velocity", "effort"), arrays, strict=True):
        np.testing.assert_array_equal(layout.doubles(rows(raw), field), [values])


def test_arrays_of_numbers_are_read_with_their_dimensions() -> None:
    kind = TYPE_OF["numbers"]
    dimension = TYPES.types["std_msgs/msg/MultiArrayDimension"]("joint", 3, 3)
    layout = TYPES.types["std_msgs/msg/MultiArrayLayout"]([dimension], 0)
    raw = bytes(TYPES.serialize_cdr(TYPES.types[kind](layout, np.array([1.0, 2, 3])), kind))
    for message in (raw, numbers([1.0, 2.0, 3.0])):
        found = read_layout(message, kind)
        np.testing.assert_array_equal(found.doubles(rows(message), "data"), [[1, 2, 3]])


@given(NAMES, VALUES, VALUES, st.integers(0, 3))
def test_the_first_point_of_a_trajectory_is_read_and_the_others_counted(
    names: list[str], positions: list[float], effort: list[float], more: int
) -> None:
    others = [{"velocities": [1.0] * i} for i in range(more)]
    raw = trajectory(7, names, {"positions": positions, "effort": effort}, *others)
    found = read_layout(raw, TYPE_OF["trajectory"])
    assert list(found.names) == names
    assert (found.points, found.trailing) == (1 + more, 0)
    assert found.stamps_ns(rows(raw)).tolist() == [7]
    for field, values in (("position", positions), ("velocity", []), ("effort", effort)):
        np.testing.assert_array_equal(found.doubles(rows(raw), field), [values])


def test_a_trajectory_without_points_has_no_values() -> None:
    raw = trajectory(7, ("a", "b"))
    found = read_layout(raw, TYPE_OF["trajectory"])
    assert found.points == 0
    assert found.doubles(rows(raw), "effort").shape == (1, 0)


def test_poses_and_texts_are_read() -> None:
    raw = pose(1.0, 2.0, 3.0, "somewhere", 7)
    found = read_layout(raw, TYPE_OF["pose"])
    np.testing.assert_array_equal(found.doubles(rows(raw), "pose"), [[1, 2, 3, 0, 0, 0, 1]])
    assert found.texts == {"frame_id": "somewhere"}
    assert found.stamps_ns(rows(raw)).tolist() == [7]
    assert read_layout(text('{"é": 1}'), TYPE_OF["text"]).texts == {"data": '{"é": 1}'}


def test_only_messages_of_the_same_shape_match() -> None:
    one = joint_state(1, ("a", "b"), [1, 2], [3, 4], [5, 6])
    same = joint_state(2, ("a", "b"), [9, 9], [9, 9], [9, 9])
    renamed = joint_state(1, ("a", "c"), [1, 2], [3, 4], [5, 6])
    # As many bytes, but the third value is an effort instead of a velocity.
    shifted = joint_state(1, ("a", "b"), [1, 2], [3], [4, 5, 6])
    assert len({len(each) for each in (one, same, renamed, shifted)}) == 1
    found = read_layout(one, TYPE_OF["states"]).matches(rows(one, same, renamed, shifted))
    assert found.tolist() == [True, True, False, False]


def test_bytes_behind_the_end_are_told() -> None:
    raw = joint_state(1, ("a",), [1.0], [2.0])
    assert read_layout(raw + b"\0" * 3, TYPE_OF["states"]).trailing == 0  # padding
    assert read_layout(raw + b"\0" * 8, TYPE_OF["states"]).trailing == 8


def test_what_a_serialiser_leaves_between_the_values_is_made_zero() -> None:
    clean = joint_state(1, ("ab", "abc"), [1, 2], [3, 4], [5, 6])
    dirty = bytearray(clean)
    end = clean.index(b"ab\0") + 3
    assert clean[end] == 0
    dirty[end] = dirty[2] = 0x7F
    assert without_padding(bytes(dirty), TYPE_OF["states"]) == clean
    for kind, raw in (("pose", pose(1, 2, 3, "somewhere", 7)), ("text", text("abc"))):
        assert without_padding(raw, TYPE_OF[kind]) == raw


@pytest.mark.parametrize("kind", sorted(TYPE_OF))
def test_every_cut_off_message_is_an_error(kind: str) -> None:
    raw = {
        "states": joint_state(1, ("a", "b"), [1, 2], [3, 4], [5, 6]),
        "numbers": numbers([1, 2]),
        "pose": pose(1, 2, 3),
        "text": text("abc"),
        "trajectory": trajectory(1, ("a",), {"positions": [1]}, {"effort": [2]}),
    }[kind]
    for end in range(len(raw) - 1):
        if kind == "text" and end >= len(raw) - 1:
            continue
        with pytest.raises(CdrError):
            read_layout(raw[:end], TYPE_OF[kind])


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b'{"name": []}', "not plain CDR"),
        (b"", "not plain CDR"),
        (b"\x00\x07\x00\x00" + b"\0" * 60, "not plain CDR"),  # XCDR 2 aligns otherwise
        (b"\x00\x01\0\0" + b"\0" * 8 + struct.pack("<I", 0) + struct.pack("<I", 2**31), "claims"),
        (b"\x00\x01\0\0" + b"\0" * 8 + struct.pack("<I", 2) + b"\xff\0" * 40, "not UTF-8"),
    ],
)
def test_what_is_no_message_is_an_error_that_says_why(raw: bytes, message: str) -> None:
    with pytest.raises(CdrError, match=message):
        read_layout(raw, TYPE_OF["states"])
