# SPDX-License-Identifier: Apache-2.0
"""Whatever is published while the recorder runs is in its bag, and the bag is whole."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: `make setup` brings it")

from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from rosbags.highlevel import AnyReader
from rosbags.typesys import Stores, get_typestore
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, String

from sac_ros.bags.reader.bag import Bag
from sac_ros.utils.errors import BagError

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
Record = Callable[..., "subprocess.Popen[str]"]

_DAMAGING = """
import sys
from sac_ros.ros import recorder_node
from sac_ros.ros.bag_writer import BagWriter
recorder_node._READ_BACK, damage, close = {}, "{}", BagWriter.close

def close_and_damage(bag):
    close(bag)
    (file,) = [each for each in bag.path.iterdir() if each.suffix != ".yaml"]
    content = file.read_bytes()
    if damage == "content":
        file.write_bytes(content.replace(b"joint of the test", b"joint of a test!!"))
    elif damage:
        file.write_bytes(content[:-5000])

BagWriter.close = close_and_damage
sys.exit(recorder_node.main())
"""


@pytest.fixture
def record(tmp_path: Path) -> Iterator[Record]:
    """Starts a recorder_node that writes `tmp_path/bag`."""
    started: list[subprocess.Popen[str]] = []

    def start(*more: str, code: str = "") -> subprocess.Popen[str]:
        node = ["-c", code] if code else ["-m", "sac_ros.ros.recorder_node"]
        command = [sys.executable, *node, "--ros-args"]
        arguments = ["-p", f"bag:={tmp_path / 'bag'}", *more]
        started.append(subprocess.Popen([*command, *arguments], stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def end(process: subprocess.Popen[str], how: signal.Signals = signal.SIGINT, code: int = 0) -> str:
    process.send_signal(how)
    _, log = process.communicate(timeout=30.0)
    assert process.returncode == code, log
    assert "Traceback" not in log
    return log


def messages(bag: Path) -> dict[str, list[tuple[int, Any]]]:
    """Every message by topic, with its time in ns."""
    found: dict[str, list[tuple[int, Any]]] = {}
    with AnyReader([bag], default_typestore=get_typestore(Stores.LATEST)) as reader:
        for connection, time_ns, data in reader.messages():
            message = reader.deserialize(data, connection.msgtype)
            found.setdefault(connection.topic, []).append((time_ns, message))
    return found


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_sigint_leaves_a_whole_bag_with_every_message_in_it(
    ros: Any, eventually: Callable[..., None], record: Record, tmp_path: Path, storage: str
) -> None:
    node = ros.node()
    states = node.create_publisher(JointState, "joint_states", 1000)
    commands = node.create_publisher(Float64MultiArray, "commands", 1)
    recorder = record("-p", f"storage:={storage}")
    for publisher in (states, commands):
        eventually(publisher.get_subscription_count, "the recorder listens")
    before = node.get_clock().now().nanoseconds
    for number in range(300):
        state = JointState(name=["a"], position=[0.1 * number], velocity=[float("nan")])
        state.header.stamp.sec = number
        states.publish(state)
    assert states.wait_for_all_acked()
    commands.publish(Float64MultiArray(data=[1.0, 2.0]))
    assert commands.wait_for_all_acked()
    eventually((tmp_path / "bag").exists, "the bag")
    end(recorder)

    assert (tmp_path / "bag" / "metadata.yaml").exists()
    found = messages(tmp_path / "bag")
    assert [message.header.stamp.sec for _, message in found["/joint_states"]] == [*range(300)]
    assert [m.position[0] for _, m in found["/joint_states"]] == [0.1 * n for n in range(300)]
    ((time_ns, command),) = found["/commands"]
    assert command.data.tolist() == [1.0, 2.0]
    assert before <= time_ns <= node.get_clock().now().nanoseconds


def test_a_driver_that_offers_best_effort_is_recorded_too(
    ros: Any, eventually: Callable[..., None], record: Record, tmp_path: Path
) -> None:
    node = ros.node()
    states = node.create_publisher(JointState, "joint_states", qos_profile_sensor_data)
    count = 0

    def heard() -> bool:
        nonlocal count
        states.publish(JointState(name=["a"]))
        count += 1
        return bool(states.get_subscription_count()) and count > 20

    recorder = record()
    eventually(heard, "the recorder listens")
    end(recorder)
    assert messages(tmp_path / "bag")["/joint_states"]


def test_what_was_latched_before_the_recorder_started_is_in_the_bag(
    ros: Any, eventually: Callable[..., None], record: Record, tmp_path: Path
) -> None:
    node = ros.node()
    spec = node.create_publisher(String, "arm/policy_node/policy_spec", LATCHED)
    spec.publish(String(data="{}"))
    recorder = record("-r", "__ns:=/arm")
    eventually(spec.get_subscription_count, "the recorder listens")
    assert spec.wait_for_all_acked()
    end(recorder, signal.SIGTERM)
    ((_, message),) = messages(tmp_path / "bag")["/arm/policy_node/policy_spec"]
    assert message.data == "{}"


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_of_a_recorder_that_is_killed_the_bag_can_be_read(
    ros: Any, eventually: Callable[..., None], record: Record, tmp_path: Path, storage: str
) -> None:
    states = ros.node().create_publisher(JointState, "joint_states", 1000)
    recorder = record("-p", f"storage:={storage}")
    eventually(states.get_subscription_count, "the recorder listens")
    for number in range(30):  # far from a megabyte
        states.publish(JointState(name=["a"], position=[0.1 * number]))

    def recovered() -> int:
        try:
            with Bag(tmp_path / "bag") as bag:
                return sum(len(batch) for batch in bag.batches({"/joint_states"}))
        except BagError:  # nothing is in it yet
            return 0

    eventually(lambda: recovered() == 30, "they are on the disk")
    recorder.kill()
    recorder.wait()
    assert not (tmp_path / "bag" / "metadata.yaml").exists()
    assert recovered() == 30


def test_a_bag_that_exists_is_never_written_over(record: Record, tmp_path: Path) -> None:
    (tmp_path / "bag").mkdir()
    (tmp_path / "bag" / "precious").write_text("data")
    _, log = record().communicate(timeout=60.0)
    (line,) = [line for line in log.splitlines() if "error" in line]
    assert f"bag {tmp_path / 'bag'} exists already" in line
    assert "Traceback" not in log
    assert [path.name for path in (tmp_path / "bag").iterdir()] == ["precious"]


@pytest.mark.parametrize(
    ("storage", "read_back", "damage", "said"),
    [
        ("mcap", 100, "content", "it has as many, but others"),
        ("sqlite3", 100, "end", "cannot be read back"),
        ("mcap", 10, "", "only counts are compared, as in any bag of more than 10 messages"),
        ("mcap", 10, "end", "is damaged .cut off"),
        ("sqlite3", 10, "end", "cannot be read back"),
    ],
)
def test_a_bag_that_is_not_what_was_recorded_is_an_error(
    ros: Any,
    eventually: Callable[..., None],
    record: Record,
    storage: str,
    read_back: int,
    damage: str,
    said: str,
) -> None:
    states = ros.node().create_publisher(JointState, "joint_states", 1000)
    recorder = record("-p", f"storage:={storage}", code=_DAMAGING.format(read_back, damage))
    eventually(states.get_subscription_count, "the recorder listens")
    for _ in range(50):
        states.publish(JointState(name=["joint of the test"]))
    assert states.wait_for_all_acked()
    assert re.search(said, end(recorder, code=2 if damage else 0))
