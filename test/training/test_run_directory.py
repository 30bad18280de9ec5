# SPDX-License-Identifier: Apache-2.0
"""A new run never writes over an old one, and a resumed one finds it."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny_run import tiny_config

from sac_ros.training.config import TrainConfig
from sac_ros.training.run_directory import RunDirectory, find_run_directory, settings_to_resume
from sac_ros.utils.errors import ConfigurationError
from sac_ros.utils.settings import build, leaves


def open_run_directory(config: TrainConfig) -> RunDirectory:
    run = find_run_directory(config)
    run.make(config)
    return run


def with_checkpoint(root: Path, name: str, age: float = 0.0) -> Path:
    path = root / name / "checkpoint_0000000100.pt"
    path.parent.mkdir(parents=True)
    path.touch()
    os.utime(path, (1e9 - age, 1e9 - age))
    return path.parent


def test_a_new_run_gets_a_directory_of_its_name(tmp_path: Path) -> None:
    run = open_run_directory(tiny_config(tmp_path / "deep" / "runs", name="mine"))
    assert run.path == tmp_path / "deep" / "runs" / "mine"
    assert run.path.is_dir()
    assert {run.policy.parent, run.evaluation.parent} == {run.path}


def test_a_run_writes_its_parameters_as_a_file_that_train_node_takes(tmp_path: Path) -> None:
    config = tiny_config(tmp_path, name="mine", seed=5)
    run = open_run_directory(config)
    nodes = yaml.safe_load(run.configuration.read_text(encoding="utf-8"))
    flat = flattened(nodes["/**/train_node"]["ros__parameters"])
    assert set(flat) == {leaf.name for leaf in leaves(TrainConfig) if leaf.default != ()}
    assert build(TrainConfig, flat) == config


def flattened(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        inner = flattened(value, f"{prefix}{key}.") if isinstance(value, dict) else None
        flat |= inner if inner is not None else {prefix + key: value}
    return flat


def test_a_run_without_a_name_is_called_by_arm_task_and_time(tmp_path: Path) -> None:
    run = open_run_directory(tiny_config(tmp_path, name=""))
    assert re.fullmatch(r"iiwa_reach_\d{8}-\d{6}", run.path.name)
    run = open_run_directory(tiny_config(tmp_path, name="", arm="robots/my_arm.urdf"))
    assert re.fullmatch(r"my_arm_reach_\d{8}-\d{6}", run.path.name)


def test_a_taken_name_is_refused_and_an_empty_directory_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    open_run_directory(tiny_config(tmp_path, name="mine"))
    open_run_directory(tiny_config(tmp_path, name="mine"))  # killed before its first checkpoint
    (tmp_path / "mine" / "policy.onnx").touch()
    with pytest.raises(ConfigurationError, match=r"name 'mine' is taken.*resume:=true"):
        open_run_directory(tiny_config(tmp_path, name="mine"))


def test_a_directory_that_cannot_be_made_is_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match=r"directory '.*file' cannot take the run: \w+"):
        open_run_directory(tiny_config(tmp_path / "file"))


@pytest.mark.parametrize("name", ["../out", "a/b", ".hidden", ".."])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match="name must be a plain directory name"):
        tiny_config(tmp_path, name=name)


def test_resume_finds_the_run_by_its_name(tmp_path: Path) -> None:
    expected = with_checkpoint(tmp_path, "first", age=9.0)
    with_checkpoint(tmp_path, "second")
    assert open_run_directory(tiny_config(tmp_path, name="first", resume=True)).path == expected


def test_resume_without_a_name_takes_the_latest_checkpoint(tmp_path: Path) -> None:
    with_checkpoint(tmp_path, "z_older", age=9.0)
    expected = with_checkpoint(tmp_path, "a_newer")
    (tmp_path / "no_checkpoint").mkdir()
    assert open_run_directory(tiny_config(tmp_path, name="", resume=True)).path == expected


def test_checkpoints_are_listed_newest_first_by_their_steps(tmp_path: Path) -> None:
    path = with_checkpoint(tmp_path, "mine")
    for name in ("checkpoint_0000000099.pt", "checkpoint_99999999999.pt", "checkpoint_x.pt"):
        (path / name).touch()
    found = open_run_directory(tiny_config(tmp_path, name="mine", resume=True)).checkpoints
    assert [int(each.stem[11:]) for each in found] == [99999999999, 100, 99]


def test_resume_removes_what_a_killed_run_has_half_written(tmp_path: Path) -> None:
    path = with_checkpoint(tmp_path, "mine")
    kept = {"checkpoint_0000000100.pt", "policy.onnx", "train.yaml"}
    for name in (*kept, ".checkpoint_0000000200.partial.pt", ".policy.partial.onnx"):
        (path / name).touch()
    open_run_directory(tiny_config(tmp_path, name="mine", resume=True))
    assert {each.name for each in path.iterdir()} == kept


def test_resume_of_an_unknown_run_lists_those_that_exist(tmp_path: Path) -> None:
    with_checkpoint(tmp_path, "first")
    (tmp_path / "empty").mkdir()
    for name in ("nonesuch", "empty"):
        with pytest.raises(ConfigurationError, match=rf"name '{name}' has no ch.*one: first$"):
            open_run_directory(tiny_config(tmp_path, name=name, resume=True))


def test_resume_where_there_is_nothing_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"finds no run with a checkpoint in .*/"):
        open_run_directory(tiny_config(tmp_path, name="", resume=True))


# ---- the settings of a run that is resumed -----------------------------------------------------


def given_to_resume(root: Path, **changes: Any) -> dict[str, Any]:
    """Every setting as a node has it, from defaults and files."""
    values = {leaf.name: leaf.default for leaf in leaves(TrainConfig)}
    return {**values, "directory": str(root), "resume": True, "seed": 9, **changes}


def a_run(root: Path, **changes: Any) -> TrainConfig:
    config = tiny_config(root, **changes)
    open_run_directory(config)
    (root / config.name / "checkpoint_0000000100.pt").touch()
    return config


def test_a_resumed_run_keeps_its_settings_but_for_those_that_are_named(tmp_path: Path) -> None:
    config = a_run(tmp_path, name="mine", seed=5)
    given = given_to_resume(tmp_path, name="mine", total_steps=800)
    own = {**given, **settings_to_resume(given, {"directory", "name", "resume"})}
    assert build(TrainConfig, own) == replace(config, resume=True)
    longer = {**given, **settings_to_resume(given, {"total_steps"})}
    assert build(TrainConfig, longer) == replace(config, resume=True, total_steps=800)


def test_what_was_named_at_a_resume_counts_at_the_next_one(tmp_path: Path) -> None:
    config = a_run(tmp_path, name="mine")
    open_run_directory(replace(config, resume=True, total_steps=800))
    given = given_to_resume(tmp_path, name="mine")
    assert settings_to_resume(given, set())["total_steps"] == 800


def test_the_latest_run_is_resumed_with_its_own_name_and_settings(tmp_path: Path) -> None:
    a_run(tmp_path, name="mine", seed=5)
    settings = settings_to_resume(given_to_resume(tmp_path), set())
    assert (settings["name"], settings["seed"]) == ("mine", 5)


def test_a_run_without_its_settings_takes_those_that_are_given(tmp_path: Path) -> None:
    with_checkpoint(tmp_path, "mine")
    assert settings_to_resume(given_to_resume(tmp_path), set()) == {"name": "mine"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("seed: [", "must hold the parameters of the run"),
        ("just words", "must hold the parameters of the run"),
        ("/**/train_node: {ros__parameters: {seed: many}}", "seed must be a whole number.*many"),
    ],
)
def test_settings_that_cannot_be_read_are_refused_with_their_file(
    tmp_path: Path, text: str, words: str
) -> None:
    a_run(tmp_path, name="mine")
    (tmp_path / "mine" / "train.yaml").write_text(text)
    with pytest.raises(ConfigurationError, match=rf"mine/train\.yaml.* {words}"):
        settings_to_resume(given_to_resume(tmp_path), set())


def test_a_run_that_is_not_resumed_takes_what_is_given(tmp_path: Path) -> None:
    assert settings_to_resume(given_to_resume(tmp_path, resume=False), set()) == {}
