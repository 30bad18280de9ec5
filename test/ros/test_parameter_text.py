# SPDX-License-Identifier: Apache-2.0
"""A launch argument says what its parameter is, and is read as what it is."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: `make setup` brings it")

from sac_ros.ros.parameters import describe, read
from sac_ros.ros.policy.config import PolicyNodeConfig
from sac_ros.utils.errors import ConfigurationError
from sac_ros.utils.settings import leaves

LEAVES = {leaf.name: leaf for leaf in leaves(PolicyNodeConfig)}


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("torque_scale", "0.1", 0.1),
        ("torque_scale", "1", 1.0),
        ("shadow", "true", True),
        ("realtime_priority", "40", 40),
        ("gravity_compensation", "policy", "policy"),
        ("torque_limit", "[10, 5.5]", (10.0, 5.5)),
        ("command_joints", "[fr3_joint1, fr3_joint2]", ("fr3_joint1", "fr3_joint2")),
    ],
)
def test_a_text_is_read_as_the_parameters_own_type(name: str, text: str, value: Any) -> None:
    found = read(LEAVES[name], text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("torque_scale", "2.0", "launch argument torque_scale must be .*at most 1; got 2.0"),
        ("torque_scale", "full", "torque_scale must be a number .*; got 'full'"),
        ("torque_scale", "{", "torque_scale must be a number .*; got '{'"),
        ("shadow", "1", "shadow must be true or false; got 1"),
        ("gravity_compensation", "moon", "must be one of robot, policy; got 'moon'"),
        ("torque_limit", "10", "torque_limit must be a list of values"),
        ("torque_limit", "[]", "torque_limit must not be an empty list; leave it out"),
    ],
)
def test_a_text_that_is_no_valid_value_is_refused_by_name(
    name: str, text: str, words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        read(LEAVES[name], text)


@pytest.mark.parametrize("name", LEAVES)
def test_a_description_tells_meaning_unit_and_default(name: str) -> None:
    leaf = LEAVES[name]
    text = describe(leaf, "policy_node")
    assert leaf.rule.description in text
    assert leaf.rule.unit in text
    assert "policy_node's parameter file" in text
    written = text.rpartition("or else ")[2].removesuffix(".")
    if leaf.default not in ((), ""):
        assert read(leaf, written) == leaf.default
