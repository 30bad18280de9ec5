# SPDX-License-Identifier: Apache-2.0
"""A recording of a policy_node that is not whole, or not of the policy that is there now."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: `make setup` brings it")

from rclpy.serialization import deserialize_message, serialize_message
from replay_bags import STATES, TORQUES, Replay, replay, replay_here, torques, write_bag
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from tiny_policy import write_tiny_policy

from sac_ros.bags.reader.bag import Bag
from sac_ros.ros.bag_writer import BagWriter, RecordedTopic

__all__ = ["replay_here"]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bag with events: that of a replay, which is one of a policy_node as well."""
    folder = tmp_path_factory.mktemp("recorded")
    model = write_tiny_policy(folder / "policy.onnx", state_size=3)
    code, log = replay(write_bag(folder / "bag"), folder / "out", f"model_path:={model}")
    assert code == 0, log
    return folder / "out"


Change = Callable[[str, bytes, int], bytes | None]


def changed(recorded: Path, path: Path, change: Change) -> Path:
    """A copy of a bag; ``change`` takes topic, CDR and number of a message, None drops it."""
    with Bag(recorded) as bag:
        kinds = {"joint_states": JointState, "applied_torque": JointState, "events": String}
        topics = [
            RecordedTopic(f"/{name}", kinds[name.rpartition("/")[2]])
            for name in ("joint_states", *TORQUES[1:])
        ]
        writer = BagWriter(path, topics)
        count = 0
        for batch in bag.batches([f"/replay_node{topic.name}" for topic in topics]):
            for name, time_ns, _, cdr in batch:
                count += 1
                topic = name.removeprefix("/replay_node")
                new = change(topic.rpartition("/")[2], cdr, count)
                if new is not None:
                    writer.write(topic, time_ns, new)
        writer.close()
    return path


def json_of(cdr: bytes) -> dict[str, Any]:
    return dict(json.loads(deserialize_message(cdr, String).data))


@pytest.mark.parametrize(
    ("lost", "words"),
    [
        ("joint_states", "the bag lacks the joint states of 10 events"),
        ("events", "the bag lacks 10 events"),
    ],
)
def test_what_a_bag_lost_is_counted_and_torques_that_differ_for_it_are_exit_code_1(
    recorded: Path, replay_here: Replay, tmp_path: Path, lost: str, words: str
) -> None:
    count = 0

    def lose(topic: str, cdr: bytes, _: int) -> bytes | None:
        nonlocal count
        count += topic == lost
        return None if topic == lost and 130 <= count < 140 else cdr

    bag = changed(recorded, tmp_path / "bag", lose)
    code, log = replay_here(bag, tmp_path / "out")
    assert code == 1
    (line,) = [line for line in log.splitlines() if "applied torques are equal" in line]
    assert words in line
    assert len(torques(tmp_path / "out")) == STATES - 10


def test_another_policy_than_the_recorded_one_is_said_and_no_bad_answer(
    recorded: Path, replay_here: Replay, tmp_path: Path
) -> None:
    other = write_tiny_policy(tmp_path / "other.onnx", gain=2.0)
    code, log = replay_here(recorded, tmp_path / "out", f"model_path:={other}")
    assert code == 0
    assert f"{other} is not the policy that was recorded" in log
    assert re.search(r"(\d+) of 300 applied torques are equal", log)
    assert f"{STATES} of {STATES}" not in log


def test_a_policy_file_that_is_gone_is_asked_for(
    recorded: Path, replay_here: Replay, tmp_path: Path
) -> None:
    def move(topic: str, cdr: bytes, _: int) -> bytes:
        if topic == "events" and json_of(cdr)["event"] == "activate":
            record = json_of(cdr)
            record["parameters"]["model_path"] = "/gone/policy.onnx"
            return bytes(serialize_message(String(data=json.dumps(record))))
        return cdr

    code, log = replay_here(changed(recorded, tmp_path / "bag", move), tmp_path / "out")
    assert code == 2
    assert "policy file /gone/policy.onnx, which the bag names, does not exist here" in log
    assert "parameter model_path" in log


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("no", "it is no JSON"),
        ("[1]", "it is no JSON object"),
        ('{"n": 1, "event": "state", "time": "now"}', "its field time is missing"),
        ('{"n": 1, "event": "state", "time": 1.0}', "its field stamp is missing"),
        (
            '{"n": 1, "event": "goal", "time": 1.0, "goal": [1, 2], "frame": ""}',
            "its goal must be three numbers, seven or null; got [1, 2]",
        ),
    ],
)
def test_a_decision_that_is_none_is_one_sentence(
    recorded: Path, replay_here: Replay, tmp_path: Path, text: str, words: str
) -> None:
    def spoil(topic: str, cdr: bytes, number: int) -> bytes:
        wrong = topic == "events" and number > 300
        return bytes(serialize_message(String(data=text))) if wrong else cdr

    code, log = replay_here(changed(recorded, tmp_path / "bag", spoil), tmp_path / "out")
    assert code == 2
    (line,) = [line for line in log.splitlines() if ": error: " in line]
    assert f"policy_node/events is no event of a policy_node: {words}" in line


def test_a_recording_that_was_cut_off_is_replayed_as_far_as_it_goes(
    recorded: Path, replay_here: Replay, tmp_path: Path
) -> None:
    cut = tmp_path / "cut.mcap"
    (file,) = recorded.glob("*.mcap")
    cut.write_bytes(file.read_bytes()[: int(0.7 * file.stat().st_size)])
    code, log = replay_here(cut, tmp_path / "out")
    assert code == 0, log
    assert "cut.mcap is damaged (cut off" in log
    found = re.search(r"(\d+) of (\d+) applied torques are equal", log)
    assert found, log
    assert 50 < int(found[1]) == int(found[2]) < STATES
