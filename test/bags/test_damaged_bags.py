# SPDX-License-Identifier: Apache-2.0
"""Of a damaged bag everything else is read, and what was lost is located and counted."""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from bag_maker import COMMANDS, STATES, TYPE_OF, TYPES, Motion, write_bag
from evaluate_command import storage_file
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from sac_ros.cli.evaluate_bag import main

_MOTION = Motion(count=9000)
_GOAL = ("--goal", "0.3,0,0.2")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bag of several chunks."""
    path = tmp_path_factory.mktemp("whole") / "bag"
    writer = Writer(path, version=9, storage_plugin=StoragePlugin.MCAP)
    writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
    with writer:
        known = {
            topic: writer.add_connection(topic, TYPE_OF[kind], typestore=TYPES)
            for topic, kind in ((STATES, "states"), (COMMANDS, "numbers"))
        }
        entries = [*_MOTION.states(), *_MOTION.commands()]
        for each in sorted(entries, key=lambda each: each.time_ns):
            writer.write(known[each.topic], each.time_ns, each.cdr)
    return path


def records(content: bytes) -> list[tuple[int, int]]:
    """Opcode and first byte of every record of an MCAP file."""
    at, found = 8, []
    while at + 9 <= len(content) - 8:
        opcode, length = struct.unpack_from("<BQ", content, at)
        found.append((opcode, at))
        at += 9 + length
    return found


def chunks(content: bytes) -> list[int]:
    return [at for opcode, at in records(content) if opcode == 6]


def damaged(whole: Path, folder: Path, numbers: Sequence[int], cut: bool = False) -> Path:
    """The bare file with some chunks' content destroyed; cut: without its index, too."""
    content = bytearray(storage_file(whole).read_bytes())
    starts = chunks(bytes(content))
    for number in numbers:
        at = starts[number] + 9 + 36 + 8 + 12
        content[at : at + 4] = b"\x55" * 4
    if cut:
        del content[next(at for opcode, at in records(bytes(content)) if opcode == 15) :]
    file = folder / "damaged.mcap"
    file.write_bytes(content)
    return file


# Cut off, the names of the topics are in the first chunk alone.
@pytest.mark.parametrize(
    ("number", "place", "cut"),
    [
        *((0, "the first", False), (1, "number 2", False), (-1, "the last", False)),
        *((1, "number 2", True), (-1, "the last", True)),
    ],
)
def test_a_damaged_chunk_is_located_and_what_it_had_is_counted(
    tmp_path: Path, whole: Path, evaluated: Any, number: int, place: str, cut: bool
) -> None:
    file = damaged(whole, tmp_path, [number], cut)
    found = evaluated(file, *_GOAL)
    states = found["recording"]["states"]
    lost = states["dropped"].get("lost to damage", 0)
    count = len(chunks(storage_file(whole).read_bytes()))
    text = " ".join(found["warnings"])
    assert f"{place} of {count} chunks is damaged" in text
    assert states["used"] == 9000 - lost
    assert lost > 900
    assert f"{lost:,} of 9,000 messages of {STATES} lost" in text
    assert found["models"][0]["errors"][0]["overall"]["max_fraction"] < 1e-5


def test_states_that_were_lost_to_damage_miss_a_threshold_of_none_dropped(
    tmp_path: Path, whole: Path, model: Path
) -> None:
    asked = ["--model", str(model), *_GOAL, "--fail-on", "dropped=0", "--json"]
    assert main([str(storage_file(whole)), *asked]) == 0
    assert main([str(damaged(whole, tmp_path, [0])), *asked]) == 1


@pytest.mark.parametrize("cut", [False, True])
def test_where_every_chunk_is_damaged_that_is_said(
    tmp_path: Path, whole: Path, refused: Any, cut: bool
) -> None:
    count = len(chunks(storage_file(whole).read_bytes()))
    message = refused(damaged(whole, tmp_path, range(count), cut))
    assert f"all {count} chunks are damaged" in message


@pytest.mark.parametrize(
    "head", [b"\x06" + b"\xff" * 8, b"\x55" + b"\x01" * 8, b"\x06" + bytes(8)]
)
def test_a_damaged_head_of_a_chunk_costs_no_more_than_the_chunk(
    tmp_path: Path, whole: Path, evaluated: Any, head: bytes
) -> None:
    content = bytearray(storage_file(whole).read_bytes())
    start = chunks(bytes(content))[1]
    content[start : start + 9] = head
    file = tmp_path / "damaged.mcap"
    file.write_bytes(content)
    states = evaluated(file, *_GOAL)["recording"]["states"]
    assert (states["used"], states["dropped"]) == (9000, {})


def test_a_damaged_head_between_chunks_costs_nothing(
    tmp_path: Path, whole: Path, evaluated: Any
) -> None:
    content = bytearray(storage_file(whole).read_bytes())
    start = next(at for opcode, at in records(bytes(content)) if opcode == 7)
    content[start : start + 9] = b"\xff" * 9
    file = tmp_path / "damaged.mcap"
    file.write_bytes(content)
    found = evaluated(file, *_GOAL)
    assert found["recording"]["states"]["used"] == 9000
    assert any(f"the record at byte {start}" in warning for warning in found["warnings"])


def test_metadata_tells_how_much_a_cut_off_file_lost(
    tmp_path: Path, whole: Path, evaluated: Any
) -> None:
    bag = tmp_path / "bag"
    bag.mkdir()
    content = storage_file(whole).read_bytes()
    (bag / "bag.mcap").write_bytes(content[: len(content) // 2])
    (bag / "metadata.yaml").write_bytes((whole / "metadata.yaml").read_bytes())
    states = evaluated(bag, *_GOAL)["recording"]["states"]
    assert states["used"] + states["dropped"]["lost to damage"] == 9000


# ---- sqlite3 -----------------------------------------------------------------------------------


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("pages", [(0.3, 1), (0.5, 12), (1.0, 3)])
def test_of_a_damaged_database_the_rows_around_the_damage_are_read_and_the_others_counted(
    tmp_path: Path, evaluated: Any, pages: tuple[float, int], known: bool
) -> None:
    bag = write_bag(tmp_path / "bag", Motion(count=2000).entries())
    file = storage_file(bag)
    content = bytearray(file.read_bytes())
    place, count = pages
    (size,) = struct.unpack_from(">H", content, 16)
    leaves = [at for at in range(size, len(content), size) if content[at] == 13]
    leaves = [at for at in leaves if content.find(b"shoulder", at, at + size) > 0]
    for at in leaves[int(place * (len(leaves) - count)) :][:count]:
        content[at : at + size] = b"\x55" * size
    file.write_bytes(content)
    found = evaluated(bag if known else file, *_GOAL)
    states = found["recording"]["states"]
    lost = states["dropped"]["lost to damage"]
    assert count <= lost <= 40 * count
    assert abs(states["used"] + lost - 2000) <= (0 if known else 10 * count)
    assert any("are damaged" in warning for warning in found["warnings"])
    assert found["models"][0]["errors"][0]["overall"]["max_fraction"] < 1e-5


def test_values_of_other_types_in_a_database_are_dropped_and_counted(
    tmp_path: Path, evaluated: Any, refused: Any
) -> None:
    file = storage_file(write_bag(tmp_path / "bag", Motion().entries()))
    with sqlite3.connect(file) as database:
        database.execute("UPDATE messages SET data = 'text' WHERE id = 8")
        database.execute("UPDATE messages SET timestamp = 'later' WHERE id = 14")
    states = evaluated(file)["recording"]["states"]
    commands = evaluated(file)["recording"]["commands"]
    assert sum(each["dropped"].get("no bytes, or no time", 0) for each in (states, commands)) == 2
    with sqlite3.connect(file) as database:
        database.execute("UPDATE topics SET name = x'ff00'")
    assert "is damaged: its topics have no names" in refused(file)
