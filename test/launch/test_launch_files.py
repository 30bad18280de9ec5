# SPDX-License-Identifier: Apache-2.0
"""The launch files are valid Python everywhere, and valid launch files where launch is there."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

import pytest
import yaml

from sac_ros.share import share_path
from sac_ros.sim.arm_model import load_arm

FILES = sorted(share_path("launch").glob("*.launch.py"))


def by_name(file: Path) -> str:
    return file.name.removesuffix(".launch.py")


@pytest.mark.parametrize("file", FILES, ids=by_name)
def test_it_compiles_and_defines_what_launch_looks_for(file: Path) -> None:
    tree = ast.parse(file.read_text(), str(file))
    compile(tree, str(file), "exec")
    functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    assert "generate_launch_description" in functions


@pytest.mark.parametrize("file", FILES, ids=by_name)
def test_every_argument_is_described_and_has_a_default(file: Path) -> None:
    calls = [
        node
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "DeclareLaunchArgument"
    ]
    assert calls
    for call in calls:
        keywords = {keyword.arg for keyword in call.keywords}
        assert {"default_value", "description"} <= keywords, ast.unparse(call.args[0])


@pytest.mark.parametrize("file", FILES, ids=by_name)
def test_launch_reads_it_and_lists_its_arguments(file: Path) -> None:
    pytest.importorskip("launch_ros", reason="launch comes with ROS 2 and is not on PyPI")
    spec = importlib.util.spec_from_file_location(f"launch_file_{by_name(file)}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    arguments = module.generate_launch_description().get_launch_arguments()
    robot = set() if by_name(file) == "replay" else {"rviz", "arm"}
    assert {"namespace", "params_file", *robot} <= {each.name for each in arguments}
    assert all(argument.description for argument in arguments)


def test_rviz_looks_from_the_base_link_at_the_topics_that_the_nodes_publish() -> None:
    text = share_path("rviz", "sac_ros.rviz").read_text()
    manager = yaml.safe_load(text)["Visualization Manager"]
    displays = {display["Class"].rpartition("/")[2]: display for display in manager["Displays"]}
    assert manager["Global Options"]["Fixed Frame"] == load_arm("iiwa").base_link
    assert displays["RobotModel"]["Description Topic"]["Value"] == "/robot_description"
    assert displays["RobotModel"]["Description Topic"]["Durability Policy"] == "Transient Local"
    assert displays["Pose"]["Topic"]["Value"] == "/goal_pose"
    assert "TF" in displays


@pytest.mark.parametrize(
    ("name", "namespace", "full"),
    [
        ("joint_states", "", "/joint_states"),
        ("joint_states", "/left", "/left/joint_states"),
        ("policy_node/decisions", "left/arm", "/left/arm/policy_node/decisions"),
        ("/diagnostics", "/left", "/diagnostics"),
    ],
)
def test_a_recorded_topic_has_the_name_that_the_nodes_use(
    name: str, namespace: str, full: str
) -> None:
    pytest.importorskip("rclpy", reason="rclpy is not installed: `make setup` brings it")
    from sac_ros.nodes.recorded_topics import absolute

    assert absolute(name, namespace) == full


@pytest.mark.parametrize("file", FILES, ids=by_name)
def test_a_recording_is_asked_for_by_record_true(file: Path) -> None:
    launch = pytest.importorskip("launch", reason="launch comes with ROS 2, not from PyPI")
    pytest.importorskip("launch_ros", reason="launch_ros comes with ROS 2, not from PyPI")
    if by_name(file) not in ("deploy", "simulate"):
        pytest.skip("this launch file has no robot to record")
    source = launch.launch_description_sources.PythonLaunchDescriptionSource(str(file))
    context = launch.LaunchContext()
    description = source.get_launch_description(context)
    arguments = {each.name: each for each in description.get_launch_arguments()}
    assert arguments["record"].choices == ["true", "false"]
    (default,) = arguments["record"].default_value
    assert default.perform(context) == "false"
    assert "bag" in arguments
