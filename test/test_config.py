# SPDX-License-Identifier: Apache-2.0
"""Every YAML file in config/ is accepted by what reads it, and docs/ repeats it truly."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sac_ros.policy.safety_config import SafetyConfig
from sac_ros.robots.arm import load_arm
from sac_ros.utils.package_share import share_path
from sac_ros.utils.settings import build, leaves

CLASSES = {
    "policy_node": ("sac_ros.ros.policy.config", "PolicyNodeConfig"),
    "sim_node": ("sac_ros.ros.sim_config", "SimNodeConfig"),
    "train_node": ("sac_ros.training.config", "TrainConfig"),
}
ROOT = Path(__file__).parents[1]
CONFIG = share_path("config")
# Read by the robot's controller_manager, and by evaluate_bag.
OTHERS = {"ros2_control_effort.yaml", "evaluation.yaml"}
PARAMETER_FILES = sorted(path for path in CONFIG.glob("*.yaml") if path.name not in OTHERS)


def config_class(node: str) -> type:
    """The configuration class of a node."""
    pytest.importorskip("rclpy", reason="rclpy is not installed: `make setup` brings it")
    module, name = CLASSES[node]
    found: type = getattr(importlib.import_module(module), name)
    return found


def flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Parameters as ROS names them: ``group.name``."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


@pytest.mark.parametrize("path", sorted(CONFIG.rglob("*.yaml")), ids=lambda path: path.name)
def test_a_yaml_file_parses_and_holds_something(path: Path) -> None:
    assert isinstance(yaml.safe_load(path.read_text()), dict)


@pytest.mark.parametrize("path", PARAMETER_FILES, ids=lambda path: path.name)
def test_a_parameter_file_is_accepted_by_its_nodes_configuration(path: Path) -> None:
    sections = yaml.safe_load(path.read_text())
    for pattern, section in sections.items():
        assert pattern.startswith("/**/"), "a node in a namespace would not find its parameters"
        wanted = config_class(pattern.removeprefix("/**/"))
        known = {leaf.name: leaf for leaf in leaves(wanted)}
        given = dict(flat(section["ros__parameters"]))
        assert set(given) <= set(known)
        build(wanted, {name: known[name].check(value) for name, value in given.items()})


@pytest.mark.parametrize(
    "path", sorted((CONFIG / "arms").glob("*.yaml")), ids=lambda path: path.stem
)
def test_an_arm_file_describes_an_arm(path: Path) -> None:
    assert load_arm(path.stem).name == path.stem


def test_the_ros2_control_example_drives_the_iiwas_joints_in_the_policys_order() -> None:
    example = yaml.safe_load((CONFIG / "ros2_control_effort.yaml").read_text())
    controllers = example.pop("controller_manager")["ros__parameters"]
    assert controllers.pop("update_rate") > 0
    assert set(example) <= set(controllers), "parameters of a controller that nobody loads"
    parameters = example["forward_effort_controller"]["ros__parameters"]
    assert parameters["interface_name"] == "effort"
    assert tuple(parameters["joints"]) == load_arm("iiwa").joint_names


def test_the_documented_defaults_of_the_safety_parameters_are_the_codes() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \|([^|]*)\|([^|]*)\|",
        (ROOT / "docs/safety.md").read_text(),
        re.MULTILINE,
    )
    documented = {name: (default.strip(), unit.strip()) for name, default, unit in rows}
    known = {leaf.name: leaf for leaf in leaves(config_class("policy_node"))}
    for name, (default, unit) in documented.items():
        leaf = known[name]
        assert unit == leaf.rule.unit, name
        if leaf.default != ():
            assert default == str(leaf.default).replace("False", "false"), name
    assert {leaf.name for leaf in leaves(SafetyConfig)} <= set(documented)


def test_the_documented_parameters_of_the_launch_file_exist() -> None:
    """What a user copies from docs/ is an argument of deploy.launch.py."""
    declared = set(
        re.findall(
            r'DeclareLaunchArgument\(\s*"(\w+)"', (ROOT / "launch/deploy.launch.py").read_text()
        )
    )
    declared |= {"record", "bag"}  # sac_ros/ros/launch_support.py
    for node in ("policy_node", "sim_node"):
        declared |= {leaf.name for leaf in leaves(config_class(node))}
    text = (ROOT / "docs/deploying.md").read_text().replace("\\\n", " ")
    commands = re.findall(r"^ros2 launch sac_ros deploy\.launch\.py.*$", text, re.MULTILINE)
    assert commands
    # All that is launched on this page takes these arguments, in tables too.
    commands.append((ROOT / "docs/robots.md").read_text())
    for command in commands:
        assert set(re.findall(r"(\w+):=", command)) <= declared, command


def test_every_step_of_the_commissioning_list_has_its_command() -> None:
    safety = (ROOT / "docs/safety.md").read_text().partition("## Commissioning")[2]
    steps = re.findall(r"^(\d+)\. \*\*", safety.partition("\n## ")[0], re.MULTILINE)
    robots = (ROOT / "docs/robots.md").read_text().partition("## Commissioning")[2]
    assert steps == re.findall(r"^\| (\d+) \w", robots, re.MULTILINE)
    assert "10" in steps
