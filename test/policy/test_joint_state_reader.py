# SPDX-License-Identifier: Apache-2.0
"""Joint states are matched by name, and nothing is ever made up."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: `make setup` brings it")

from hypothesis import given
from hypothesis import strategies as st
from rclpy.serialization import serialize_message
from sensor_msgs.msg import JointState

from sac_ros.policy.joint_state_reader import JointStateReader
from sac_ros.utils.errors import JointStateError

JOINTS = ("a", "b", "c")


def message(
    names: list[str], position: list[float] | None = None, velocity: list[float] | None = None
) -> bytes:
    values = [float(ord(name[0])) for name in names]
    said = JointState(
        name=names,
        position=values if position is None else position,
        velocity=[-v for v in values] if velocity is None else velocity,
    )
    return serialize_message(said)


@given(st.permutations(["a", "b", "c", "x", "y"]))
def test_any_order_and_extra_joints_give_the_same_arrays(names: list[str]) -> None:
    position, velocity = JointStateReader(JOINTS).read(message(names))
    np.testing.assert_array_equal(position, [97.0, 98.0, 99.0])
    np.testing.assert_array_equal(velocity, [-97.0, -98.0, -99.0])


def test_an_order_that_changes_between_messages_is_followed() -> None:
    reader = JointStateReader(JOINTS)
    for names in (["a", "b", "c"], ["c", "b", "a"], ["x", "a", "c", "b"]):
        position, _ = reader.read(message(names))
        np.testing.assert_array_equal(position, [97.0, 98.0, 99.0])


def test_numbers_and_stamp_of_every_message_are_its_own_whatever_its_frame() -> None:
    reader = JointStateReader(JOINTS)
    for frame, stamp_ns in (("base", 5), ("base", 2_000_000_007), ("tool", 1), ("tool", 0)):
        said = JointState(
            name=list(JOINTS), position=[0.1 * stamp_ns, 2.0, 3.0], velocity=[4.0] * 3
        )
        said.header.frame_id = frame
        said.header.stamp.sec, said.header.stamp.nanosec = divmod(stamp_ns, 10**9)
        position, velocity = reader.read(serialize_message(said))
        np.testing.assert_array_equal(position, [0.1 * stamp_ns, 2.0, 3.0])
        np.testing.assert_array_equal(velocity, [4.0] * 3)
        assert (reader.stamp_ns, reader.names) == (stamp_ns, JOINTS)


def test_padding_does_not_matter() -> None:
    reader = JointStateReader(JOINTS)
    raw = bytearray(message(list(JOINTS)))
    reader.read(bytes(raw))
    layout = reader._layout
    first_name_ends = raw.index(b"a\0") + 2
    raw[first_name_ends : first_name_ends + 2] = b"\x7f\x55"  # as Fast CDR leaves them
    np.testing.assert_array_equal(reader.read(bytes(raw))[0], [97.0, 98.0, 99.0])
    assert reader._layout is layout, "it was read anew"


def test_a_big_endian_message_is_read() -> None:
    doubles = b"".join(struct.pack(">d", value) for value in (0.5, -0.25))
    raw = (
        b"\0\0\0\0" + struct.pack(">iI", 7, 9) + struct.pack(">I", 1) + b"\0" + bytes(3)
        + struct.pack(">II", 1, 2) + b"a\0" + bytes(2)
        + struct.pack(">I", 1) + doubles[:8] + struct.pack(">I", 1) + bytes(4) + doubles[8:]
        + struct.pack(">I", 0)
    )  # fmt: skip
    reader = JointStateReader(("a",))
    position, velocity = reader.read(raw)
    assert (position[0], velocity[0], reader.stamp_ns) == (0.5, -0.25, 7_000_000_009)


@given(st.data())
def test_damaged_bytes_are_refused_or_read_as_if_they_were_the_first(data: st.DataObject) -> None:
    reader = JointStateReader(JOINTS)
    whole = message(list(JOINTS))
    reader.read(whole)
    raw = bytearray(whole[: data.draw(st.integers(0, len(whole)), "length")])
    for _ in range(data.draw(st.integers(0, 3), "flips") if raw else 0):
        raw[data.draw(st.integers(0, len(raw) - 1), "place")] ^= data.draw(st.integers(1, 255))
    try:
        position, velocity = reader.read(bytes(raw))
    except JointStateError:
        pass
    else:
        twin = JointStateReader(JOINTS)  # one that has nothing to compare with
        again = twin.read(bytes(raw))
        np.testing.assert_array_equal(position, again[0])
        np.testing.assert_array_equal(velocity, again[1])
        assert reader.stamp_ns == twin.stamp_ns
    np.testing.assert_array_equal(reader.read(whole)[0], [97.0, 98.0, 99.0])


@pytest.mark.parametrize("raw", [b"", b"\0", b"\0\1\0\0", b"not a message", bytes(400)])
def test_bytes_that_are_no_joint_state_are_refused_in_one_sentence(raw: bytes) -> None:
    reader = JointStateReader(JOINTS)
    with pytest.raises(
        JointStateError,
        match=r"^a message on the joint states' topic is no joint state: .+$|joint a is missing",
    ):
        reader.read(raw)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"names": ["a", "b"]}, "joint c is missing from the joint states, which have a, b"),
        ({"names": ["a", "b", "c", "b"]}, "joint b stands 2 times in"),
        ({"names": list(JOINTS), "position": [1.0]}, "position must have 3 values"),
        ({"names": list(JOINTS), "position": [1.0] * 4}, "position must have 3 values"),
        ({"names": list(JOINTS), "velocity": [1.0]}, "velocity must have 3 values"),
        ({"names": list(JOINTS), "velocity": []}, "got 0; the robot's driver must fill it"),
        ({"names": []}, "joint a is missing"),
    ],
)
def test_what_is_not_there_is_refused_by_name_every_time(
    wrong: dict[str, Any], sentence: str
) -> None:
    reader = JointStateReader(JOINTS)
    reader.read(message(list(JOINTS)))
    for _ in range(2):
        with pytest.raises(JointStateError, match=sentence):
            reader.read(message(**wrong))
    reader.read(message(list(JOINTS)))


def test_a_message_of_eight_megabytes_is_refused_before_it_is_parsed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    state = JointState(name=["a"], position=[0.0], velocity=[0.0])
    state.header.frame_id = "x" * 8_000_000
    raw = bytes(serialize_message(state))
    monkeypatch.delattr("sac_ros.policy.joint_state_reader.read_layout")
    with pytest.raises(JointStateError, match="must have at most 65536 bytes; got 8000"):
        JointStateReader(("a",)).read(raw)
