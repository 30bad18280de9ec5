# SPDX-License-Identifier: Apache-2.0
"""`--help` starts nothing, and what is no ROS argument is refused with the right form."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: `make setup` brings it")

from sac_ros.entry import NODES
from sac_ros.ros.node_arguments import help_asked
from sac_ros.utils.errors import ConfigurationError


@pytest.mark.parametrize("name", NODES)
@pytest.mark.parametrize("asked", ["--help", "-h"])
def test_help_lists_the_parameters_and_starts_nothing(
    name: str,
    asked: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.argv", [f"/bin/{name}", asked])
    monkeypatch.setattr("rclpy.init", lambda **_: pytest.fail("it started"))
    assert importlib.import_module(NODES[name]).main() == 0
    out = capsys.readouterr().out
    assert out.startswith(f"usage: {name} [--ros-args [-p NAME:=VALUE]")
    assert "parameters:\n" in out
    assert "Left out: " in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["total_steps:=100"], "as in --ros-args -p total_steps:=100; got total_steps:=100"),
        (["-p", "total_steps:=100"], "as in --ros-args -p total_steps:=100; got -p total"),
        (["a:=1", "b:=2"], "as in --ros-args -p a:=1 -p b:=2; got"),
        (["start"], "nothing but ROS arguments, --ros-args -p NAME:=VALUE; got start"),
    ],
)
def test_an_argument_that_ros_would_ignore_is_refused_with_the_right_form(
    arguments: list[str], words: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        help_asked(arguments)
    assert words in str(caught.value)


def test_ros_arguments_are_taken() -> None:
    assert not help_asked([])
    assert not help_asked(
        ["--ros-args", "-p", "arm:=iiwa", "-r", "__ns:=/left", "--log-level", "warn"]
    )


def test_the_refusal_is_one_sentence_and_exit_code_2() -> None:
    command = [sys.executable, "-m", "sac_ros.ros.train_node", "total_steps:=100"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60.0, check=False)
    assert done.returncode == 2
    assert "error: parameters must be given as in --ros-args -p total_steps:=100" in done.stderr
    assert len(done.stderr.splitlines()) == 1
