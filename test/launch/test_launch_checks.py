# SPDX-License-Identifier: Apache-2.0
"""What a launch file refuses before it starts anything; `launch` itself is not needed."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: `make setup` brings it")

from sac_ros.ros.launch_checks import (
    arm_of_policy,
    check_arm,
    check_exists,
    check_file,
    check_folder,
    check_model,
    check_namespace,
    check_new,
    check_topic,
    full_name,
    given_on_command_line,
    refuse_unknown,
    settings_of,
    training_settings,
)
from sac_ros.ros.policy.config import PolicyNodeConfig
from sac_ros.ros.sim_config import SimNodeConfig
from sac_ros.training.config import TrainConfig
from sac_ros.utils.errors import ConfigurationError
from sac_ros.utils.package_share import share_path


@pytest.fixture
def written(tmp_path: Path) -> Path:
    return tmp_path / "params.yaml"


def settings(path: Path, node: str = "/policy_node", **given: object) -> PolicyNodeConfig:
    config = settings_of(PolicyNodeConfig, node, given, str(path), "params_file")
    assert isinstance(config, PolicyNodeConfig)
    return config


@pytest.mark.parametrize(
    ("check", "value", "words"),
    [
        (check_file, "/nope.yaml", "must name a file; got '/nope.yaml'"),
        (check_exists, "", "must name a file or folder that exists; got ''"),
        (check_exists, "/nope", "must name a file or folder that exists; got '/nope'"),
        (check_new, "/tmp", "must name a folder that does not exist yet; /tmp does"),
        (check_model, "/nope.onnx", "must name a file; got '/nope.onnx'"),
        (check_model, __file__, "must be an ONNX model"),
        (check_arm, "ur99", "arm must be one of .*; got 'ur99'"),
        (check_namespace, "my ns", "must be a ROS namespace such as left_arm; got 'my ns'"),
        (check_topic, "/a b", "must be the name of a topic; got '/a b'"),
        (check_folder, f"{__file__}/runs", "must be a folder that can be written"),
    ],
)
def test_a_wrong_value_is_refused_with_the_name_of_its_argument(
    check: object, value: str, words: str
) -> None:
    assert callable(check)
    with pytest.raises(ConfigurationError, match=f"^launch argument the_name.*{words}"):
        check("the_name", value)


def test_right_values_pass(tmp_path: Path) -> None:
    check_arm("arm", "panda")
    check_arm("arm", "robot_description")  # known once the robot publishes it
    check_model("model", str(share_path("models", "iiwa_reach.onnx")))
    check_folder("directory", str(tmp_path / "a" / "b"))
    for namespace in ("", "left", "/left/arm"):
        check_namespace("namespace", namespace)
    for topic in ("commands", "/forward_effort_controller/commands"):
        check_topic("command_topic", topic)


def test_the_arm_of_the_guard_is_that_of_the_policy_unless_another_description_is_given() -> None:
    panda = str(share_path("models", "panda_reach.onnx"))
    assert arm_of_policy("", panda) == "panda"
    assert arm_of_policy("robot_description", panda) == "robot_description"
    own = str(share_path("config", "arms", "panda.yaml"))
    assert arm_of_policy(own, panda) == own


def test_an_arm_with_other_joints_than_the_policy_s_is_refused() -> None:
    panda = str(share_path("models", "panda_reach.onnx"))
    with pytest.raises(ConfigurationError, match=r"arm must be the arm of .*'panda'.*got 'iiwa'"):
        arm_of_policy("iiwa", panda)


def test_a_policy_of_an_unknown_arm_needs_the_arm_s_description(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    panda = str(share_path("models", "panda_reach.onnx"))
    monkeypatch.setattr("sac_ros.ros.launch_checks.arm_names", lambda: ["iiwa"])
    with pytest.raises(ConfigurationError, match=r"for 'panda', which is none of .*\(iiwa\)"):
        arm_of_policy("", panda)


@pytest.mark.parametrize(
    ("name", "hint"), [("modl", "unknown, did you mean model?"), ("xyz", "unknown (--show-args")]
)
def test_an_argument_that_the_launch_file_lacks_is_refused(name: str, hint: str) -> None:
    refuse_unknown(["arm", "launch-prefix"], {"arm", "model"})
    with pytest.raises(ConfigurationError) as caught:
        refuse_unknown(["arm", name], {"arm", "model"})
    assert f"launch argument {name} is {hint}" in str(caught.value)


def test_only_the_arguments_of_the_launch_file_that_is_started_are_its_own() -> None:
    own = ["ros2", "launch", "sac_ros", "deploy.launch.py", "--debug", "arm:=iiwa", "modl:=x"]
    path = ["ros2", "launch", str(share_path("launch", "deploy.launch.py")), "modl:=x"]
    others = ["ros2", "launch", "my_lab", "deploy.launch.py", "robot:=x"]
    assert given_on_command_line(own, "deploy.launch.py") == ["arm", "modl"]
    assert given_on_command_line(path, "deploy.launch.py") == ["modl"]
    assert given_on_command_line(own, "simulate.launch.py") == []  # which it includes
    assert given_on_command_line(others, "deploy.launch.py") == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [b", "must be a YAML file"),
        ("- 1", "must hold NODE: .*; got list"),
        ("policy_node:\n  shadow: true", "must hold NODE: .*; got bool in /policy_node/shadow"),
        ("", "must hold NODE"),
        ("/**/polcy_node: {ros__parameters: {}}", "node /policy_node, did you mean policy_node?"),
        ("/left/policy_node: {ros__parameters: {}}", "did you mean /\\*\\*/policy_node?"),
        (
            "/**: {ros__parameters: {}}\n/**/policy_nodes: {ros__parameters: {}}",
            "did you mean policy_node?",
        ),
        ("/**: {ros__parameters: {shadwo: true}}", "shadwo is unknown .*, did you mean shadow?"),
        ("/**: {ros__parameters: {watchdog_s: -1}}", "watchdog_s must be .* above 0 .*; got -1"),
    ],
)
def test_a_parameter_file_that_the_node_would_ignore_or_refuse_is_refused(
    written: Path, text: str, words: str
) -> None:
    written.write_text(text)
    with pytest.raises(ConfigurationError, match=rf"launch argument params_file.*{words}"):
        settings(written)


@pytest.mark.parametrize(
    ("section", "node"),
    [
        ("policy_node", "/policy_node"),
        ("/policy_node", "/policy_node"),
        ("/**", "/left/policy_node"),
        ("/**/policy_node", "/policy_node"),
        ("/**/policy_node", "/left/arm/policy_node"),
        ("/*/policy_node", "/left/policy_node"),
        ("left: {policy_node", "/left/policy_node"),
    ],
)
def test_a_section_is_that_of_the_nodes_that_its_name_matches(
    written: Path, section: str, node: str
) -> None:
    end = "}" * section.count("{")
    written.write_text(
        f"{section}: {{ros__parameters: {{slew_limit: 1e3, use_sim_time: true}}}}{end}\n"
        "/camera: {ros__parameters: {fps: 30}}\n"  # of somebody else
    )
    assert settings(written, node).slew_limit == 1000.0
    assert settings(written, node, slew_limit=10.0).slew_limit == 10.0  # given over it


@pytest.mark.parametrize(
    ("config_class", "node", "file"),
    [
        (PolicyNodeConfig, "policy_node", "policy.yaml"),
        (SimNodeConfig, "sim_node", "sim.yaml"),
        (TrainConfig, "train_node", "train.yaml"),
        (TrainConfig, "train_node", "robust.yaml"),
    ],
)
def test_the_parameter_files_of_the_package_pass_in_any_namespace(
    config_class: type, node: str, file: str
) -> None:
    for namespace in ("", "left", "/left/arm/"):
        name = full_name(node, namespace)
        settings_of(config_class, name, {}, str(share_path("config", file)), "params_file")


def training(**given: object) -> TrainConfig:
    file = str(share_path("config", "robust.yaml"))
    return training_settings(given, "/train_node", file, "params_file")


def test_a_training_is_what_train_node_would_make_of_it(tmp_path: Path) -> None:
    config = training(total_steps=100, directory=str(tmp_path))
    assert (config.total_steps, config.backend) == (100, "mujoco")  # given, of the file
    assert config.sac.gamma == 0.97
    assert not list(tmp_path.iterdir())  # nothing is made


def test_a_training_that_could_not_begin_is_refused(tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "notes.txt").touch()
    with pytest.raises(ConfigurationError, match="name 'taken' is taken"):
        training(directory=str(tmp_path), name="taken")
    with pytest.raises(ConfigurationError, match="resume:=true finds no run"):
        training(directory=str(tmp_path), resume=True)
    with pytest.raises(ConfigurationError, match="launch argument arm: arm must be one of"):
        training(directory=str(tmp_path), arm="ur99")
