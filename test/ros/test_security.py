# SPDX-License-Identifier: Apache-2.0
"""The names that config/sros2/policy.xml allows are those that the nodes have."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: `make setup` brings it")

from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.node import Node
from tiny_policy import write_tiny_policy

from sac_ros.ros.policy.command_guard import CommandGuardNode
from sac_ros.ros.policy.node import PolicyNode
from sac_ros.ros.sim_node import SimNode
from sac_ros.utils.package_share import share_path

POLICY = ElementTree.parse(share_path("config", "sros2", "policy.xml")).getroot()
PROFILES = {profile.get("node", ""): profile for profile in POLICY.iter("profile")}
# In rclpy since Jazzy; an older one that is allowed it and has none loses nothing by it.
NEW_SERVICE = "get_type_description"

Names = dict[str, set[str]]


def allowed(node: str) -> Names:
    """Kind of access → full names, as `ros2 security create_permission` expands them."""
    profile = PROFILES[node]
    namespace = profile.get("ns", "").rstrip("/")

    def full(name: str) -> str:
        if name.startswith("~"):
            return f"{namespace}/{node}{name[1:]}"
        return name if name.startswith("/") else f"{namespace}/{name}"

    found: Names = {}
    for rule in profile:
        for access, qualifier in rule.attrib.items():
            assert qualifier == "ALLOW"
            names = [full((each.text or "").strip()) for each in rule]
            assert len(set(names)) == len(names)
            found.setdefault(access, set()).update(names)
    return found


def used(node: Node) -> Names:
    """Kind of access → full names of everything that a node has in the graph."""
    name, namespace = node.get_name(), node.get_namespace()
    by_access = {
        "publish": node.get_publisher_names_and_types_by_node,
        "subscribe": node.get_subscriber_names_and_types_by_node,
        "reply": node.get_service_names_and_types_by_node,
        "request": node.get_client_names_and_types_by_node,
    }
    names = {
        access: {each for each, _ in find(name, namespace)} for access, find in by_access.items()
    }
    return {access: found for access, found in names.items() if found}


@pytest.fixture
def nodes(ros_with: Callable[..., Any], tmp_path: Path) -> Iterator[dict[str, Node]]:
    """The nodes as deploy.launch.py wires them: the guard stands before the robot."""
    model = write_tiny_policy(tmp_path / "policy.onnx")
    ros_with(
        *("-p", f"policy_node:model_path:={model}", "-r", "policy_node:commands:=policy_commands")
    )
    made: list[Any] = [PolicyNode(), CommandGuardNode(), SimNode()]
    assert made[0].trigger_configure() == TransitionCallbackReturn.SUCCESS
    yield {node.get_name(): node for node in made}
    for node in made:
        node.stop()  # or its control thread waits on what is destroyed
        node.destroy_node()


def test_a_node_is_allowed_exactly_the_names_that_it_has(nodes: dict[str, Node]) -> None:
    for name, node in nodes.items():
        access = used(node)
        access["reply"].add(f"/{name}/{NEW_SERVICE}")
        assert allowed(name) == access, name


def test_an_operator_reaches_only_what_the_nodes_have() -> None:
    operator = allowed("operator")
    others = [allowed(name) for name in PROFILES if name != "operator"]

    def of_the_nodes(access: str) -> set[str]:
        return set.union(*(each.get(access, set()) for each in others))

    everybodys = {"/rosout", "/parameter_events"}
    assert operator["request"] <= of_the_nodes("reply")
    assert operator["subscribe"] <= of_the_nodes("publish")
    assert operator["publish"] - everybodys <= of_the_nodes("subscribe")


def test_only_the_command_guard_may_command_the_robot() -> None:
    may = [name for name in PROFILES if "/commands" in allowed(name).get("publish", set())]
    assert may == ["command_guard"]
    assert PROFILES.keys() == {"policy_node", "command_guard", "sim_node", "operator"}
