# SPDX-License-Identifier: Apache-2.0
"""The swap benchmark runs, and would notice a node that goes quiet or jumps while it loads."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: `make setup` brings it")

import swap
from faulty_robot import policy_process
from faulty_robot.models import WRONG, opposite, wrong_files

from sac_ros.policy.runtime import Policy
from sac_ros.utils.errors import PolicyFileError
from sac_ros.utils.package_share import share_path

pytestmark = pytest.mark.long

MODEL = share_path("models", "iiwa_reach.onnx")
# A queue of five states at 50 Hz bridges what a busy machine steals.
SLOWLY = ["--rate", "50", "--seconds", "3"]


@pytest.fixture(autouse=True)
def domain_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROS_DOMAIN_ID", os.environ["ROS_DOMAIN_ID"])  # the swap takes its own


def figures(directory: Path) -> dict[str, float]:
    found = json.loads((directory / "swap.json").read_text())
    return {figure["name"]: figure["median"] for figure in found["figures"]}


def patched(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    """Let every policy_node run these lines before it starts."""
    program = ["import sys, time", *lines, "from sac_ros.ros.policy import node as policy_node"]
    text = "\n".join([*program, "sys.exit(policy_node.main())"])
    start = policy_process.PolicyProcess.start
    monkeypatch.setattr(
        policy_process.PolicyProcess,
        "start",
        lambda self, model, parameters: start(self, model, parameters, text),
    )


def test_swaps_under_load_leave_no_state_without_an_answer_and_break_no_rule(
    tmp_path: Path,
) -> None:
    assert swap.main([*SLOWLY, "--directory", str(tmp_path)]) == 0
    found = figures(tmp_path)
    assert found["swaps done"] == 2
    assert found["swaps refused, as they must be"] == 1
    assert found["violations of the always-true list"] == 0
    assert found["never answered, with swaps"] == 0
    assert found["states, with swaps"] > 50
    assert found["states, without"] > 100


def test_a_node_that_is_deaf_while_it_loads_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    patched(
        monkeypatch,
        "from sac_ros.ros.policy.node import PolicyNode",
        "answer = PolicyNode._answer_states_until",
        "def deaf(self, done, timeout_s):",
        "    if timeout_s == 3.0:",  # a load, and no activation
        "        time.sleep(0.5)",
        "    answer(self, done, timeout_s)",
        "PolicyNode._answer_states_until = deaf",
    )
    assert swap.main([*SLOWLY, "--directory", str(tmp_path)]) == 1
    found = figures(tmp_path)
    assert found["never answered, with swaps"] > 0
    assert found["never answered, without"] == 0


def test_a_swap_that_jumps_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    patched(
        monkeypatch,
        "from sac_ros.policy import guards",
        "guards.limit_slew = lambda wanted, *_: wanted",
    )
    assert swap.main([*SLOWLY, "--directory", str(tmp_path)]) == 1
    assert figures(tmp_path)["violations of the always-true list"] > 0


def test_the_opposite_policy_asks_for_minus_the_torque(tmp_path: Path) -> None:
    good, other = Policy.load(MODEL), Policy.load(opposite(MODEL, tmp_path / "opposite.onnx"))
    inputs = {name: np.array(rows) for name, rows in good.spec.self_test.inputs.items()}
    for torque, negated in zip(good(**inputs), other(**inputs), strict=True):
        assert np.any(torque != 0.0)
        np.testing.assert_array_equal(negated, -torque)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("truncated", "its content is not"),
        ("text", "its content is not"),
        ("missing", "does not exist"),
        ("wrong torque", "the self test fails"),
    ],
)
def test_a_wrong_file_is_refused_for_what_is_wrong(tmp_path: Path, name: str, reason: str) -> None:
    path = dict(zip(WRONG, wrong_files(MODEL, tmp_path), strict=True))[name]
    with pytest.raises(PolicyFileError, match=reason):
        Policy.load(path)


def test_a_file_for_other_joints_is_sound_but_for_their_names(tmp_path: Path) -> None:
    path = dict(zip(WRONG, wrong_files(MODEL, tmp_path), strict=True))["other joints"]
    names = Policy.load(MODEL).spec.joint_names
    assert Policy.load(path).spec.joint_names == tuple(f"other_{name}" for name in names)
