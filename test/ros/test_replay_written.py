# SPDX-License-Identifier: Apache-2.0
"""The bag that a replay writes holds what was sent and received, and the replay checks that."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: `make setup` brings it")

import yaml
from replay_bags import STATES, TORQUES, Replay, replay_here, write_bag
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import Writer
from tiny_policy import write_tiny_policy

from sac_ros.cdr import JOINT_STATE, POSE, without_padding
from sac_ros.ros.bag_writer import STORAGES

__all__ = ["replay_here"]
KINDS = {"joint_states": JOINT_STATE, "goal_pose": POSE}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_policy(tmp_path_factory.mktemp("model") / "policy.onnx")


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bag(tmp_path_factory.mktemp("robot") / "bag")


def held(bag: Path, prefix: str = "/") -> dict[str, list[bytes]]:
    """The states and goals of a bag as the ``rosbags`` library reads them, in order."""
    found: dict[str, list[bytes]] = {name: [] for name in KINDS}
    with AnyReader([bag]) as reader:
        for connection, _, data in reader.messages():
            name = connection.topic.removeprefix(prefix)
            if name in KINDS:
                found[name].append(without_padding(bytes(data), KINDS[name]))
    return found


@pytest.mark.parametrize("rate", [1.0, 2.0, 5.0])
@pytest.mark.parametrize("storage", STORAGES)
def test_in_real_time_every_state_and_goal_is_written_once_in_order_bit_for_bit(
    bag: Path, model: Path, replay_here: Replay, tmp_path: Path, rate: float, storage: str
) -> None:
    """Whatever of it was answered: that depends on the machine."""
    output = tmp_path / "out"
    given = (f"model_path:={model}", "mode:=real_time", f"rate:={rate}", f"storage:={storage}")
    code, log = replay_here(bag, output, *given, "max_unanswered:=1.0")
    assert code == 0, log
    assert held(output, "/replay_node/") == held(bag)
    with AnyReader([output]) as reader:
        counts = Counter(connection.topic for connection, _, _ in reader.messages())
        assert reader.message_count == counts.total()
    told = yaml.safe_load((output / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert told["message_count"] == counts.total()
    assert {
        each["topic_metadata"]["name"]: each["message_count"]
        for each in told["topics_with_message_count"]
        if each["message_count"]
    } == counts
    assert counts[f"/replay_node/{TORQUES[1]}"] > 0


@pytest.mark.parametrize("mode", ["lock_step", "real_time"])
def test_a_message_that_the_storage_lost_is_exit_code_1(
    bag: Path,
    model: Path,
    replay_here: Replay,
    tmp_path: Path,
    mode: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write, states = Writer.write, 0

    def lose(writer: Writer, connection: Any, *message: Any) -> None:
        nonlocal states
        states += connection.topic == "/replay_node/joint_states"
        if states != 100:
            write(writer, connection, *message)

    monkeypatch.setattr(Writer, "write", lose)
    given = (f"model_path:={model}", f"mode:={mode}", "max_unanswered:=1.0")
    code, log = replay_here(bag, tmp_path / "out", *given)
    assert code == 1, log
    (line,) = [line for line in log.splitlines() if "[ERROR]" in line]
    assert (
        f"bag {tmp_path / 'out'} must have the {STATES} messages written to /replay_node/" in line
    )
    assert "it has 299, its metadata.yaml has 299" in line


def test_more_states_without_a_torque_than_allowed_are_exit_code_1(
    model: Path, replay_here: Replay, tmp_path: Path
) -> None:
    """Every other state repeats a stamp: the policy_node refuses it."""
    bag = write_bag(tmp_path / "bag", repeats=2)
    given = (f"model_path:={model}", "mode:=real_time")
    for most, expected in ((0.4, 1), (1.0, 0)):
        output = tmp_path / f"{most}"
        code, log = replay_here(bag, output, *given, f"max_unanswered:={most}")
        assert code == expected, log
        found = re.search(r"(\d+) of (\d+) joint states sent after the first goal got no", log)
        assert found, log
        assert int(found[2]) == STATES - 51
        assert int(found[1]) >= int(found[2]) // 2
        assert ("parameter max_unanswered allows a fraction of 0.4" in log) == bool(expected)


def test_a_goal_from_before_the_first_state_is_sent(
    model: Path, replay_here: Replay, tmp_path: Path
) -> None:
    bag = write_bag(tmp_path / "bag", goal_at=0)
    given = (f"model_path:={model}", "mode:=real_time", "max_unanswered:=1.0")
    code, log = replay_here(bag, tmp_path / "out", *given)
    assert code == 0, log
    assert f"of {STATES} joint states sent after the first goal" in log
    assert held(tmp_path / "out", "/replay_node/") == held(bag)
