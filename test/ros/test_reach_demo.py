# SPDX-License-Identifier: Apache-2.0
"""The demo as a user runs it: processes, topics, exit codes."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: `make setup` brings it")

from tiny_policy import write_tiny_policy

from sac_ros.policy.spec import GoalSpec
from sac_ros.robots.arm import load_arm
from sac_ros.utils.package_share import share_path

ARM = load_arm("iiwa")
COMMAND = "import sys; from sac_ros.ros.reach_demo import main; sys.exit(main())"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return iiwa_policy(tmp_path, "robot")


def iiwa_policy(folder: Path, gravity: str) -> Path:
    """A policy for the iiwa that loads, runs and reaches nothing."""
    goal = GoalSpec(
        ("x", "y", "z"),
        "m",
        ARM.base_link,
        tuple(ARM.goal_low.tolist()),
        tuple(ARM.goal_high.tolist()),
        0.02,
    )
    limits = tuple((low, high) for low, high in ARM.position_limit.tolist())
    return write_tiny_policy(
        folder / "tiny.onnx",
        ARM.joint_names,
        arm="iiwa",
        goal=goal,
        position_limit=limits,
        gravity_compensation=gravity,
    )


def start(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(*arguments: object) -> tuple[int, str, str]:
    demo = start(*arguments)
    out, err = demo.communicate(timeout=200.0)
    return demo.returncode, out, err


def children_of(pid: int) -> list[int]:
    """Read from /proc: `ps` is not everywhere."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it may end while it is read
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    return [child for child, parent in parents.items() if parent == pid]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_missed_goals_are_told_row_by_row_and_the_exit_code_is_1(model: Path) -> None:
    film = model.with_name("film.gif")
    code, out, err = run("--model", model, "--goals", 2, "--seconds", 0.5, "--picture", film)
    assert code == 1, err
    assert film.read_bytes().startswith(b"GIF89a")
    assert f"the arm reaching its first goals is in {film}" in out
    assert len(re.findall(r"^ +\d+ .* cm +missed$", out, re.MULTILINE)) == 2
    assert "0 of 2 goals reached within 5 cm" in out


def test_a_policy_that_carries_the_arm_gets_a_robot_that_does_not(tmp_path: Path) -> None:
    policy = iiwa_policy(tmp_path, "policy")
    code, out, err = run("--model", policy, "--goals", 1, "--seconds", 3, "--picture", "none")
    assert code == 1, err
    assert "on the way to goal 1: 2 s" in err  # never silent for long
    assert "0 of 1 goals reached within 5 cm" in out


@pytest.mark.parametrize(
    ("how", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_ctrl_c_or_kill_ends_it_and_the_nodes_that_it_started(
    model: Path, how: signal.Signals, code: int, eventually: Callable[..., None]
) -> None:
    demo = start("--model", model, "--goals", 50, "--seconds", 60, "--picture", "none")
    assert demo.stdout is not None
    line = demo.stdout.readline()
    while not line.startswith("goal"):
        assert line, demo.communicate()[1]
        line = demo.stdout.readline()
    nodes = children_of(demo.pid)
    assert len(nodes) == 2
    demo.send_signal(how)
    # The nodes share its stderr: it is at its end when they are, too.
    _, err = demo.communicate(timeout=30.0)
    assert demo.returncode == code
    assert ("interrupted" in err) == (how == signal.SIGINT)
    assert "Traceback" not in err
    eventually(lambda: not [pid for pid in nodes if alive(pid)], "the nodes have ended")


def test_a_policy_node_that_refuses_its_model_ends_it_with_exit_code_2(
    model: Path, tmp_path: Path
) -> None:
    """The joints are not those of the arm that the file names, which only the robot can tell."""
    other = write_tiny_policy(tmp_path / "other.onnx", arm="iiwa")
    code, out, err = run("--model", other, "--goals", 1, "--seconds", 0.5)
    assert code == 2, out
    assert "policy_node refused to activate" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--model", "/no/such.onnx"), "/no/such.onnx"),
        (("--goals", "0"), "--goals must be at least 1; got 0"),
        (("--seed", "-1"), "--seed must be at least 0; got -1"),
        (("--seconds", "inf"), "--seconds must be above 0"),
        (("--picture", "a.png"), "--picture must be window, none or end in .gif; got a.png"),
        (("--model", share_path("config", "sim.yaml")), "sim.yaml"),
    ],
)
def test_what_cannot_run_is_one_sentence_and_exit_code_2(
    arguments: tuple[object, ...], words: str
) -> None:
    code, _, err = run(*arguments)
    assert code == 2
    assert words in err
    assert "Traceback" not in err


@pytest.mark.slow
def test_the_shipped_policy_reaches_every_goal() -> None:
    code, out, err = run("--goals", 3, "--seed", 11, "--picture", "none")
    assert code == 0, out + err
    assert "3 of 3 goals reached" in out
