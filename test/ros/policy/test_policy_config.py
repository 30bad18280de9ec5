# SPDX-License-Identifier: Apache-2.0
"""policy_node's parameters: the shipped file says what the node would do without it."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: `make setup` brings it")

import rclpy
from rclpy.context import Context
from rclpy.node import Node
from tiny_policy import tiny_spec, write_tiny_policy

from sac_ros.policy.runtime import Policy
from sac_ros.ros.parameters import declare
from sac_ros.ros.policy.config import PolicyNodeConfig
from sac_ros.utils.errors import ConfigurationError
from sac_ros.utils.package_share import share_path
from sac_ros.utils.settings import leaves

PATH = share_path("config", "policy.yaml")


def test_the_shipped_file_holds_the_defaults() -> None:
    context = Context()
    rclpy.init(context=context)
    arguments = ["--ros-args", "--params-file", str(PATH)]
    node = Node("policy_node", context=context, cli_args=arguments)
    assert "watchdog_s" in node._parameter_overrides
    assert declare(node, PolicyNodeConfig) == PolicyNodeConfig()
    node.destroy_node()
    rclpy.shutdown(context=context)


def test_the_shipped_file_explains_every_parameter() -> None:
    lines = PATH.read_text().splitlines()
    for leaf in leaves(PolicyNodeConfig):
        (line,) = [
            line for line in lines if line.strip().removeprefix("# ").startswith(leaf.name + ":")
        ]
        assert "#" in line.strip()[1:], line
        if leaf.rule.unit and "N·m/s" not in leaf.rule.unit:
            assert leaf.rule.unit in line, line


@pytest.mark.parametrize(
    ("robot", "policy", "fits"),
    [
        ("robot", "robot", True),
        ("policy", "policy", True),
        ("robot", "policy", False),
        ("policy", "robot", False),
    ],
)
def test_gravity_is_added_exactly_once(
    tmp_path: Path, robot: str, policy: str, fits: bool
) -> None:
    config = PolicyNodeConfig(gravity_compensation=robot)
    file = Policy.load(write_tiny_policy(tmp_path / "a.onnx", gravity_compensation=policy))
    if fits:
        config.check_policy(file)
        return
    with pytest.raises(ConfigurationError, match=f"policy file .*a.onnx has {policy}"):
        config.check_policy(file)


def test_where_files_are_listed_by_their_hash_no_other_runs(tmp_path: Path) -> None:
    one, other = (
        Policy.load(write_tiny_policy(tmp_path / f"{gain}.onnx", gain=gain)) for gain in (1.0, 0.5)
    )
    config = PolicyNodeConfig(policy_sha256=(one.sha256,))
    config.check_policy(one)
    with pytest.raises(ConfigurationError, match=f"its own is {other.sha256}"):
        config.check_policy(other)


def test_the_command_order_is_the_policys_unless_given() -> None:
    spec = tiny_spec()
    assert PolicyNodeConfig().command_order(spec) == [0, 1, 2]
    config = PolicyNodeConfig(command_joints=("wrist", "shoulder", "elbow"))
    assert config.command_order(spec) == [2, 0, 1]


@pytest.mark.parametrize("joints", [("wrist",), ("wrist", "elbow", "elbow"), ("a", "b", "c")])
def test_command_joints_are_the_policys_joints_each_once(joints: tuple[str, ...]) -> None:
    with pytest.raises(ConfigurationError, match="shoulder, elbow, wrist"):
        PolicyNodeConfig(command_joints=joints).command_order(tiny_spec())
