# SPDX-License-Identifier: Apache-2.0
"""Joint states are matched by name, and nothing is ever made up."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: `make setup` brings it")

from hypothesis import given
from hypothesis import strategies as st
from sensor_msgs.msg import JointState

from sac_ros.errors import JointStateError
from sac_ros.nodes.joint_state_reader import JointStateReader

JOINTS = ("a", "b", "c")


def message(
    names: list[str], position: list[float] | None = None, velocity: list[float] | None = None
) -> JointState:
    values = [float(ord(name[0])) for name in names]
    return JointState(
        name=names,
        position=values if position is None else position,
        velocity=[-v for v in values] if velocity is None else velocity,
    )


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
