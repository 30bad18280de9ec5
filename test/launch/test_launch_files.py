# SPDX-License-Identifier: Apache-2.0
"""The launch files are valid Python everywhere, and valid launch files where launch is there."""

from __future__ import annotations

import ast
import asyncio
import importlib.util
import signal
from pathlib import Path
from typing import Any

import pytest
import yaml

from sac_ros.robots.arm import load_arm
from sac_ros.utils.errors import ConfigurationError
from sac_ros.utils.package_share import share_path
from sac_ros.utils.settings import leaves

FILES = sorted(share_path("launch").glob("*.launch.py"))


def by_name(file: Path) -> str:
    return file.name.removesuffix(".launch.py")


def loaded(file: Path) -> Any:
    """A launch file as a module."""
    spec = importlib.util.spec_from_file_location(f"launch_file_{by_name(file)}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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
    arguments = loaded(file).generate_launch_description().get_launch_arguments()
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
        ("policy_node/events", "left/arm", "/left/arm/policy_node/events"),
        ("/diagnostics", "/left", "/diagnostics"),
    ],
)
def test_a_recorded_topic_has_the_name_that_the_nodes_use(
    name: str, namespace: str, full: str
) -> None:
    pytest.importorskip("rclpy", reason="rclpy is not installed: `make setup` brings it")
    from sac_ros.ros.bag_writer import absolute

    assert absolute(name, namespace) == full


WITH_A_ROBOT = [file for file in FILES if by_name(file) in ("deploy", "simulate")]


@pytest.mark.parametrize("file", WITH_A_ROBOT, ids=by_name)
def test_a_recording_is_asked_for_by_record_true(file: Path) -> None:
    launch = pytest.importorskip("launch", reason="launch comes with ROS 2, not from PyPI")
    pytest.importorskip("launch_ros", reason="launch_ros comes with ROS 2, not from PyPI")
    source = launch.launch_description_sources.PythonLaunchDescriptionSource(str(file))
    context = launch.LaunchContext()
    description = source.get_launch_description(context)
    arguments = {each.name: each for each in description.get_launch_arguments()}
    assert arguments["record"].choices == ["true", "false"]
    (default,) = arguments["record"].default_value
    assert default.perform(context) == "false"
    assert "bag" in arguments


@pytest.mark.parametrize(
    ("name", "config", "apart"),
    [
        ("deploy", "policy.config.PolicyNodeConfig", {"model_path": "model", "autostart": None}),
        ("simulate", "sim_config.SimNodeConfig", {}),
        (
            "replay",
            "replay_config.ReplayConfig",
            {"model_path": "model", "policy_params_file": "params_file"},
        ),
    ],
)
def test_every_parameter_of_the_node_is_an_argument_that_overrides_the_file_if_given(
    name: str, config: str, apart: dict[str, str | None]
) -> None:
    launch = pytest.importorskip("launch", reason="launch comes with ROS 2, not from PyPI")
    pytest.importorskip("launch_ros", reason="launch_ros comes with ROS 2, not from PyPI")
    module, _, class_name = config.rpartition(".")
    wanted = getattr(importlib.import_module(f"sac_ros.ros.{module}"), class_name)
    (file,) = (file for file in FILES if by_name(file) == name)
    description = loaded(file).generate_launch_description()
    arguments = {argument.name: argument for argument in description.get_launch_arguments()}
    context = launch.LaunchContext()
    for leaf in leaves(wanted):
        argument = apart.get(leaf.name, leaf.name)
        if argument is None:
            assert leaf.name not in arguments
            continue
        assert argument in arguments, leaf.name
        if argument not in apart.values() and argument != "arm":
            (default,) = arguments[argument].default_value
            assert default.perform(context) == "", f"{argument} would override the file"


def test_what_is_given_reaches_the_node_as_a_number_and_the_rest_leaves_the_file_alone() -> None:
    launch = pytest.importorskip("launch", reason="launch comes with ROS 2, not from PyPI")
    pytest.importorskip("launch_ros", reason="launch_ros comes with ROS 2, not from PyPI")
    (file,) = (file for file in FILES if by_name(file) == "deploy")
    parameters = loaded(file).PARAMETERS
    context = launch.LaunchContext()
    for argument in parameters.declared():
        context.launch_configurations[argument.name] = ""
    context.launch_configurations["torque_scale"] = "0.1"
    assert parameters.given(context) == {"torque_scale": 0.1}


@pytest.mark.parametrize("argument", ["params_file", "torque_scale", "state_loss", "bag"])
def test_what_is_wrong_with_an_argument_is_told_before_any_process_starts(
    tmp_path: Path, argument: str
) -> None:
    launch = pytest.importorskip("launch", reason="launch comes with ROS 2, not from PyPI")
    pytest.importorskip("launch_ros", reason="launch_ros comes with ROS 2, not from PyPI")
    (file,) = (file for file in FILES if by_name(file) == "deploy")
    context = launch.LaunchContext()
    wrong = str(tmp_path) if argument in ("bag", "params_file") else "two"
    context.launch_configurations.update({"record": "true", argument: wrong})

    def run_until_something_starts() -> None:
        for entity in loaded(file).generate_launch_description().entities:
            starts = (launch.actions.ExecuteProcess, launch.actions.GroupAction)
            assert not isinstance(entity, starts)
            entity.visit(context)

    with pytest.raises(ConfigurationError, match=argument):
        run_until_something_starts()


@pytest.mark.parametrize(
    ("file", "given", "words"),
    [
        ("deploy", "arm:=ur99", "launch argument arm: arm must be one of"),
        ("deploy", "model:=/nope.onnx", "launch argument model must name a file"),
        ("deploy", "modl:=x", "launch argument modl is unknown, did you mean model?"),
        ("deploy", "sim_params_file:=/nope", "launch argument sim_params_file must name a file"),
        ("simulate", "namespace:=a b", "launch argument namespace must be a ROS namespace"),
        ("simulate", "command_topic:=a b", "launch argument command_topic must be the name"),
        ("replay", "bag:=/nope", "launch argument bag must name a file or folder that exists"),
        ("train", "total_steps:=abc", "launch argument total_steps must be a whole number"),
        ("train", "arm:=ur99", "launch argument arm: arm must be one of"),
        ("train", "params_file:=/nope", "launch argument params_file must name a file"),
        ("train", "task:=walk", "launch argument task must be one of"),
        ("train", "resume:=true", "resume:=true finds no run with a checkpoint"),
    ],
)
def test_a_wrong_argument_ends_the_launch_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, given: str, words: str
) -> None:
    launch = pytest.importorskip("launch", reason="launch comes with ROS 2, not from PyPI")
    pytest.importorskip("launch_ros", reason="launch_ros comes with ROS 2, not from PyPI")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["ros2", "launch", "sac_ros", f"{file}.launch.py", given])
    (path,) = (each for each in FILES if by_name(each) == file)
    context = launch.LaunchContext()
    name, _, value = given.partition(":=")
    context.launch_configurations[name] = value

    def run_until_something_starts() -> None:
        for entity in loaded(path).generate_launch_description().entities:
            for each in entity.visit(context) or []:
                assert not isinstance(each, launch.actions.ExecuteLocal)

    with pytest.raises(ConfigurationError) as caught:
        run_until_something_starts()
    assert words in str(caught.value)


@pytest.mark.parametrize("told", ["", "policy", "robot"])
def test_the_simulated_arm_does_about_gravity_what_the_policy_node_is_told(told: str) -> None:
    launch = pytest.importorskip("launch", reason="launch comes with ROS 2, not from PyPI")
    pytest.importorskip("launch_ros", reason="launch_ros comes with ROS 2, not from PyPI")
    (file,) = (file for file in FILES if by_name(file) == "deploy")
    context = launch.LaunchContext()
    context.launch_configurations["gravity_compensation"] = told
    module, expected = loaded(file), {"gravity_compensation": told} if told else {}
    assert module.PARAMETERS.given(context) == module.SIM_PARAMETERS.given(context) == expected


def test_what_is_given_to_train_goes_to_the_node_with_p_and_so_changes_a_resumed_run(
    tmp_path: Path,
) -> None:
    launch = pytest.importorskip("launch", reason="launch comes with ROS 2, not from PyPI")
    pytest.importorskip("launch_ros", reason="launch_ros comes with ROS 2, not from PyPI")
    from sac_ros.ros.parameters import named_parameters

    (file,) = (file for file in FILES if by_name(file) == "train")
    context = launch.LaunchContext()
    module = loaded(file)
    for argument in module.generate_launch_description().get_launch_arguments():
        argument.visit(context)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "checkpoint_1.pt").touch()
    given = {"name": "mine", "total_steps": "500", "resume": "true", "directory": str(tmp_path)}
    context.launch_configurations.update(given)
    (node,) = module._train_node(context)
    node._perform_substitutions(context)
    # Name and namespace, the other substitutions, are known when the node runs.
    command = [each.text for part in node.cmd for each in part if hasattr(each, "text")]
    assert named_parameters(command) == set(given)
    assert str(share_path("config", "robust.yaml")) in command


def test_ctrl_c_raises_nothing_in_launch_which_could_lose_a_process_that_it_starts() -> None:
    launch = pytest.importorskip("launch", reason="launch comes with ROS 2, not from PyPI")
    pytest.importorskip("launch_ros", reason="launch_ros comes with ROS 2, not from PyPI")
    context = launch.LaunchContext()
    (file,) = (file for file in FILES if by_name(file) == "simulate")
    loop = asyncio.new_event_loop()
    context._set_asyncio_loop(loop)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        loaded(file).generate_launch_description().entities[0].visit(context)
        signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
        loop.close()
