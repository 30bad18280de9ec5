# SPDX-License-Identifier: Apache-2.0
"""Every odd file and folder is opened, or refused with one sentence and exit code 2."""

from __future__ import annotations

import gzip
import os
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from bag_maker import (
    COMMANDS,
    START_NS,
    STATES,
    TYPE_OF,
    TYPES,
    Entry,
    Motion,
    numbers,
    write_bag,
)
from evaluate_command import is_exact, storage_file
from rosbags.rosbag1 import Writer as Ros1Writer
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore


def test_a_folder_named_like_a_ros_1_bag_is_opened(tmp_path: Path, evaluated: Any) -> None:
    assert is_exact(evaluated(write_bag(tmp_path / "x.bag", Motion().entries())))


@pytest.mark.parametrize("storage", ["sqlite3", "mcap"])
def test_a_bare_storage_file_is_opened_whatever_its_name(
    tmp_path: Path, evaluated: Any, storage: str
) -> None:
    file = storage_file(write_bag(tmp_path / "bag", Motion().entries(), storage))
    assert is_exact(evaluated(file))
    bare = tmp_path / f"elsewhere{file.suffix}"
    shutil.copy(file, bare)
    assert is_exact(evaluated(bare))


def test_metadata_that_names_a_renamed_file_is_no_obstacle(tmp_path: Path, evaluated: Any) -> None:
    bag = write_bag(tmp_path / "bag", Motion().entries())
    file = storage_file(bag)
    file.rename(file.with_name("renamed.db3"))
    found = evaluated(bag)
    assert is_exact(found)
    assert any("renamed.db3" in warning for warning in found["warnings"])


@pytest.mark.parametrize("content", [None, "", "a: [", "rosbag2_bagfile_information: 7"])
def test_metadata_that_is_missing_or_nonsense_is_no_obstacle(
    tmp_path: Path, evaluated: Any, content: str | None
) -> None:
    bag = write_bag(tmp_path / "bag", Motion().entries())
    metadata = bag / "metadata.yaml"
    metadata.unlink() if content is None else metadata.write_text(content)
    found = evaluated(bag)
    assert is_exact(found)
    assert any("metadata.yaml" in warning for warning in found["warnings"])


def test_metadata_from_the_future_is_refused(tmp_path: Path, refused: Any) -> None:
    bag = write_bag(tmp_path / "bag", Motion(count=3).entries())
    metadata = bag / "metadata.yaml"
    metadata.write_text(metadata.read_text().replace("version: 9", "version: 77"))
    assert "version 9 or older; got 77" in refused(bag)


def test_the_parts_of_a_split_bag_are_joined_in_their_order(
    tmp_path: Path, evaluated: Any
) -> None:
    motion = Motion(count=330)
    folder = tmp_path / "split"
    folder.mkdir()
    for part in range(11):  # the tenth must not come behind the first
        first, last = motion.time_ns(30 * part), motion.time_ns(30 * part + 30)
        some = [e for e in [*motion.states(), *motion.commands()] if first <= e.time_ns < last]
        if part == 0:
            some += motion.goals()
        written = storage_file(write_bag(tmp_path / f"part{part}", some, "mcap"))
        shutil.copy(written, folder / f"split_{part}.mcap")
    assert is_exact(evaluated(folder), 330)


@pytest.mark.parametrize(
    ("storage", "mode"),
    [
        ("SQLITE3", "FILE"),
        ("SQLITE3", "MESSAGE"),
        ("MCAP", "FILE"),
        ("MCAP", "MESSAGE"),
        ("MCAP", "STORAGE"),
    ],
)
def test_zstd_by_file_by_message_and_by_chunk_is_unpacked(
    tmp_path: Path, evaluated: Any, storage: str, mode: str
) -> None:
    plugin = StoragePlugin[storage]
    writer = Writer(tmp_path / "bag", version=9, storage_plugin=plugin)
    writer.set_compression(CompressionMode[mode], CompressionFormat.ZSTD)
    types = get_typestore(Stores.LATEST)
    with writer:
        known: dict[str, Any] = {}
        for each in sorted(Motion().entries(), key=lambda each: each.time_ns):
            if each.topic not in known:
                kind = {
                    "states": "sensor_msgs/msg/JointState",
                    "numbers": "std_msgs/msg/Float64MultiArray",
                    "pose": "geometry_msgs/msg/PoseStamped",
                }[each.kind]
                known[each.topic] = writer.add_connection(each.topic, kind, typestore=types)
            writer.write(known[each.topic], each.time_ns, each.cdr)
    assert is_exact(evaluated(tmp_path / "bag"))


@pytest.mark.parametrize("share", [0.1, 0.3, 0.6, 0.7])
def test_of_a_cut_off_mcap_everything_whole_is_recovered_and_the_loss_told(
    tmp_path: Path, evaluated: Any, share: float
) -> None:
    bag = write_bag(tmp_path / "bag", Motion(count=3000).entries(), "mcap")
    file = storage_file(bag)
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    found = evaluated(bag)
    assert found["recording"]["states"]["used"] >= 0.9 * share * 3000
    (lost,) = (each for each in found["warnings"] if "recovered" in each)
    assert f"of {int(share * len(content))} bytes" in lost
    assert any("promises 6001 messages" in each for each in found["warnings"])
    assert found["models"][0]["errors"][0]["overall"]["max_fraction"] < 1e-5


def test_a_damaged_chunk_costs_only_itself_and_is_told(tmp_path: Path, evaluated: Any) -> None:
    motion = Motion(count=9000)
    writer = Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.MCAP)
    writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
    with writer:
        known = {
            topic: writer.add_connection(topic, TYPE_OF[kind], typestore=TYPES)
            for topic, kind in ((STATES, "states"), (COMMANDS, "numbers"))
        }
        entries = [*motion.states(), *motion.commands()]
        for each in sorted(entries, key=lambda each: each.time_ns):
            writer.write(known[each.topic], each.time_ns, each.cdr)
    file = storage_file(tmp_path / "bag")
    content = bytearray(file.read_bytes())
    start = content.index(b"\x28\xb5\x2f\xfd")  # of the first chunk's frame
    content[start : start + 4] = b"\x55" * 4
    file.write_bytes(content)
    found = evaluated(file, "--goal", "0.3,0,0.2")
    assert 0 < found["recording"]["states"]["used"] < 9000
    assert found["models"][0]["errors"][0]["overall"]["max_fraction"] < 1e-5
    assert any("the first of " in warning for warning in found["warnings"])


def test_mcap_with_definitions_that_no_parser_knows_is_read(
    tmp_path: Path, evaluated: Any
) -> None:
    bag = write_bag(tmp_path / "bag", Motion().entries(), "mcap")
    file = storage_file(bag)
    # As service events have it: a schema of an encoding that the rosbags library refuses.
    file.write_bytes(file.read_bytes().replace(b"ros2msg", b"strange"))
    found = evaluated(bag)
    assert is_exact(found)
    assert any("record by record" in warning for warning in found["warnings"])


def test_a_ros_1_bag_is_read(tmp_path: Path, evaluated: Any) -> None:
    types = get_typestore(Stores.ROS1_NOETIC)
    motion = Motion()
    kinds = {"states": "sensor_msgs/msg/JointState", "numbers": "std_msgs/msg/Float64MultiArray"}
    with Ros1Writer(tmp_path / "old.bag") as writer:
        known = {
            topic: writer.add_connection(topic, kinds[kind], typestore=types)
            for topic, kind in ((STATES, "states"), (COMMANDS, "numbers"))
        }
        entries = [*motion.states(), *motion.commands()]
        for each in sorted(entries, key=lambda each: each.time_ns):
            message = get_typestore(Stores.LATEST).deserialize_cdr(each.cdr, kinds[each.kind])
            if each.kind == "states":
                message.header = types.types["std_msgs/msg/Header"](  # type: ignore[attr-defined]
                    0,
                    message.header.stamp,
                    "",  # type: ignore[attr-defined]
                )
            raw = types.serialize_ros1(message, kinds[each.kind])
            writer.write(known[each.topic], each.time_ns, raw)
    found = evaluated(tmp_path / "old.bag", "--goal", "0.3,0,0.2")
    assert found["bags"][0]["storage"] == "ros1"
    assert is_exact(found)


def test_an_empty_bag_is_refused(tmp_path: Path, refused: Any) -> None:
    with Writer(tmp_path / "bag", version=9) as writer:
        writer.add_connection(
            STATES, "sensor_msgs/msg/JointState", typestore=get_typestore(Stores.LATEST)
        )
    assert "has no messages" in refused(tmp_path / "bag")


def test_a_file_of_0_bytes_is_refused(tmp_path: Path, refused: Any) -> None:
    bag = write_bag(tmp_path / "bag", Motion(count=3).entries())
    storage_file(bag).write_bytes(b"")
    assert "is empty: 0 bytes" in refused(bag)
    assert "is empty: 0 bytes" in refused(storage_file(bag))


def test_an_empty_folder_and_a_file_that_is_no_bag_are_refused(
    tmp_path: Path, refused: Any
) -> None:
    (tmp_path / "folder").mkdir()
    assert "holds no metadata.yaml and no" in refused(tmp_path / "folder")
    (tmp_path / "x.mcap").write_bytes(gzip.compress(b"something"))
    assert "must be sqlite3, mcap or a ROS 1 bag" in refused(tmp_path / "x.mcap")


def test_a_bag_without_joint_states_is_refused_with_what_it_has(
    tmp_path: Path, refused: Any
) -> None:
    bag = write_bag(tmp_path / "bag", Motion().commands())
    message = refused(bag)
    assert "must have sensor_msgs/msg/JointState messages" in message
    assert "/commands (std_msgs/msg/Float64MultiArray, 300)" in message


def test_another_serialisation_than_cdr_is_refused(tmp_path: Path, refused: Any) -> None:
    bag = write_bag(tmp_path / "bag", Motion(count=3).entries())
    metadata = bag / "metadata.yaml"
    metadata.write_text(metadata.read_text().replace("format: cdr", "format: wrong"))
    assert "must be serialised as cdr; got wrong" in refused(bag)


def test_a_damaged_database_is_refused(tmp_path: Path, refused: Any) -> None:
    file = storage_file(write_bag(tmp_path / "bag", Motion().entries()))
    content = bytearray(file.read_bytes())
    content[4096:20000] = b"\x55" * (20000 - 4096)
    file.write_bytes(content)
    assert "is damaged" in refused(file)


def test_a_table_of_something_else_is_refused(tmp_path: Path, refused: Any) -> None:
    with sqlite3.connect(tmp_path / "x.db3") as other:
        other.execute("CREATE TABLE addresses (name TEXT)")
    assert "it must have one table named messages" in refused(tmp_path / "x.db3")


def test_a_log_that_sqlite3_never_merged_is_warned_of(tmp_path: Path, evaluated: Any) -> None:
    bag = write_bag(tmp_path / "bag", Motion().entries())
    file = storage_file(bag)
    file.with_name(file.name + "-wal").write_bytes(b"pages")
    assert any("never merged" in warning for warning in evaluated(bag)["warnings"])


def test_a_topic_of_two_types_is_refused(tmp_path: Path, refused: Any) -> None:
    one = write_bag(tmp_path / "one", Motion(count=3).entries())
    other = write_bag(tmp_path / "other", [Entry(STATES, "numbers", START_NS, numbers([1.0]))])
    assert "in another" in refused(one, other)


def test_a_pipe_is_refused_and_nobody_waits_for_it(tmp_path: Path, refused: Any) -> None:
    os.mkfifo(tmp_path / "bag.mcap")
    assert "must be a folder or a file; it is neither" in refused(tmp_path / "bag.mcap")
