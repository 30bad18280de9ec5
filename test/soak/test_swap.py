# SPDX-License-Identifier: Apache-2.0
"""A policy_node whose policy is swapped under load, and one that goes quiet or jumps meanwhile.

`SAC_ROS_MINUTES` says for how long, `SAC_ROS_RATE` how many joint states a second there are.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: `make setup` brings it")

from faulty_robot import policy_process
from faulty_robot.models import WRONG, opposite, wrong_files
from kept_result import keep
from swap import MUST_BE_ZERO, Swap

from sac_ros.policy.runtime import Policy
from sac_ros.utils.errors import PolicyFileError
from sac_ros.utils.package_share import share_path

pytestmark = [pytest.mark.long, pytest.mark.timeout(0)]

MODEL = share_path("models", "iiwa_reach.onnx")
SECONDS = 60.0 * float(os.environ.get("SAC_ROS_MINUTES", "0.1"))
# A queue of five states at 50 Hz bridges what a busy machine steals.
RATE_HZ = float(os.environ.get("SAC_ROS_RATE", "50"))


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
    ros: Any, tmp_path: Path
) -> None:
    found = Swap(SECONDS, 0, MODEL, RATE_HZ).measure(ros.node("robot"), tmp_path)
    figures = keep(found)
    assert [name for name in MUST_BE_ZERO if figures[name]] == []
    assert figures["swaps done"] + figures["swaps refused, as they must be"] >= round(SECONDS)
    assert figures["states, with swaps"] > 10 * SECONDS
    assert figures["states, without"] > 10 * SECONDS


def test_a_node_that_is_deaf_while_it_loads_is_told(
    ros: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    patched(
        monkeypatch,
        "from sac_ros.ros.policy.node import PolicyNode",
        "swap = PolicyNode._swap",
        "def deaf(self, path):",
        "    self._control.call(lambda: time.sleep(0.5))",
        "    swap(self, path)",
        "PolicyNode._swap = deaf",
    )
    figures = keep(Swap(3.0, 0, MODEL, 50.0).measure(ros.node("robot"), tmp_path))
    assert figures["never answered, with swaps"] > 0
    assert figures["never answered, without"] == 0


def test_a_swap_that_jumps_is_told(
    ros: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    patched(
        monkeypatch,
        "from sac_ros.policy import guards",
        "guards.limit_slew = lambda wanted, *_: wanted",
    )
    figures = keep(Swap(3.0, 0, MODEL, 50.0).measure(ros.node("robot"), tmp_path))
    assert figures["violations of the always-true list"] > 0


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
