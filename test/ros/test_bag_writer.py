# SPDX-License-Identifier: Apache-2.0
"""A bag that was written is read back, and whatever is not as it was written is found."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: `make setup` brings it")

from sensor_msgs.msg import JointState
from std_msgs.msg import String

from sac_ros.ros.bag_writer import STORAGES, BagWriter, RecordedTopic

TOPICS = (RecordedTopic("/states", JointState), RecordedTopic("/texts", String))


def written(path: Path, storage: str, count: int = 100) -> BagWriter:
    """A closed bag with messages on the first topic only."""
    bag = BagWriter(path, TOPICS, storage)
    for number in range(count):
        bag.write("/states", 10**18 + number, b"\0\1\0\0" + number.to_bytes(40, "little"))
    bag.close()
    return bag


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("count", [0, 100])
def test_a_bag_that_was_written_has_no_mismatch(tmp_path: Path, storage: str, count: int) -> None:
    assert written(tmp_path / "bag", storage, count).mismatch() == ""


@pytest.mark.parametrize("storage", STORAGES)
def test_counts_alone_tell_a_message_that_is_lost(tmp_path: Path, storage: str) -> None:
    bag = written(tmp_path / "bag", storage)
    assert bag.miscount() == ""
    bag._sums["/states"].count += 1
    must = f"bag {bag.path} must have the 101 messages written to /states; its index has 100"
    assert bag.miscount() == must
    metadata = bag.path / "metadata.yaml"
    metadata.write_text(metadata.read_text().replace("message_count: 100", "message_count: 99"))
    bag._sums["/states"].count -= 1
    assert "metadata.yaml promises 99 messages, 100 are there" in bag.miscount()


@pytest.mark.parametrize("storage", STORAGES)
def test_messages_may_be_written_in_another_order_than_that_of_their_times(
    tmp_path: Path, storage: str
) -> None:
    bag = BagWriter(tmp_path / "bag", TOPICS, storage)
    for time_ns in (3, 1, 2, 2):
        bag.write("/states", time_ns, bytes([time_ns]) * 8)
    bag.close()
    assert bag.mismatch() == ""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("DELETE FROM messages WHERE id = 7", "it has 99, its metadata.yaml has 100"),
        (
            "INSERT INTO messages SELECT 1000, topic_id, timestamp, data FROM messages LIMIT 1",
            "it has 101, its metadata.yaml has 100",
        ),
        ("UPDATE messages SET timestamp = 5 WHERE id = 7", "it has as many, but others"),
        ("UPDATE messages SET data = X'00010000' WHERE id = 7", "it has as many, but others"),
        ("DROP TABLE messages", "cannot be read back: "),
    ],
)
def test_a_message_that_is_lost_doubled_or_changed_is_one_sentence(
    tmp_path: Path, change: str, words: str
) -> None:
    bag = written(tmp_path / "bag", "sqlite3")
    with sqlite3.connect(next(bag.path.glob("*.db3"))) as storage:
        storage.execute(change)
    assert words in bag.mismatch()
    assert str(bag.path) in bag.mismatch()


def test_a_flipped_bit_and_a_lost_end_of_mcap_are_found(tmp_path: Path) -> None:
    bag = written(tmp_path / "bag", "mcap")
    (file,) = bag.path.glob("*.mcap")
    content = bytearray(file.read_bytes())
    content[content.index((50).to_bytes(40, "little"))] ^= 1
    file.write_bytes(content)
    assert "it has as many, but others" in bag.mismatch()
    file.write_bytes(content[:-100])
    assert "cannot be read back: " in bag.mismatch()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("  - message_count: 100", "its metadata.yaml has 99"),
        ("  message_count: 100\n  relative", "has 100 messages; its metadata.yaml has 99"),
    ],
)
def test_counts_of_the_metadata_that_are_wrong_are_found(
    tmp_path: Path, line: str, words: str
) -> None:
    bag = written(tmp_path / "bag", "mcap")
    metadata = bag.path / "metadata.yaml"
    text = metadata.read_text()
    assert line in text
    metadata.write_text(text.replace(line, line.replace("100", "99")))
    assert words in bag.mismatch()
