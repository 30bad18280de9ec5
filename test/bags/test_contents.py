# SPDX-License-Identifier: Apache-2.0
"""`evaluate_bag BAG` without a policy says what is in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bag_maker import STATES, Entry, Motion, joint_state, write_bag
from tiny_policy import JOINTS

from sac_ros.cli.evaluate_bag import main


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Any:
    def tell(*arguments: object) -> str:
        assert main([str(each) for each in arguments]) == 0
        return capsys.readouterr().out

    return tell


def test_topics_joints_rates_and_health_are_listed(tmp_path: Path, told: Any) -> None:
    motion = Motion()
    entries = [each for i, each in enumerate(motion.states()) if not 100 <= i < 110]
    entries.append(Entry(STATES, "states", motion.time_ns(299) + 1, joint_state(1, JOINTS, [1.0])))
    gripper = [
        Entry("/gripper", "states", motion.time_ns(i), joint_state(1, ("f",), [0.1], [0.0]))
        for i in range(20)
    ]
    bag = write_bag(tmp_path / "bag", [*entries, *motion.commands(), *gripper])
    text = told(bag)
    assert "/commands" in text
    assert "std_msgs/msg/Float64MultiArray" in text
    assert "/joint_states: 290 of 291 joint states usable at 100.0 Hz" in text
    assert "position measured, velocity measured, effort measured" in text
    assert "gaps      1, the longest 0.110 s" in text
    assert "not used  1: position has 1 values for 3 joints" in text
    found = json.loads(told(bag, "--json"))
    states = {each["stream"]["topic"]: each for each in found["joint_states"]}
    assert states["/joint_states"]["stream"]["joints"] == list(JOINTS)
    assert states["/gripper"]["filled"] == {
        "position": "constant",
        "velocity": "constant",
        "effort": "empty",
    }
    assert {each["name"] for each in found["bags"][0]["topics"]} >= {STATES, "/commands"}


def test_a_bag_without_joint_states_says_that_there_is_nothing_to_evaluate(
    tmp_path: Path, told: Any
) -> None:
    text = told(write_bag(tmp_path / "bag", Motion().commands()))
    assert "no topic of type sensor_msgs/msg/JointState: there is nothing to evaluate" in text


def test_joint_states_that_cannot_be_read_are_counted(tmp_path: Path, told: Any) -> None:
    motion = Motion(count=30)
    noise = np.random.default_rng(0).bytes(40)
    bad = [Entry("/bad", "states", motion.time_ns(i), noise) for i in range(5)]
    text = told(write_bag(tmp_path / "bag", [*motion.states(), *bad]))
    assert "/bad: 0 of 5 joint states usable" in text
    assert "not used  5: cannot be decoded" in text
