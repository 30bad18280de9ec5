# SPDX-License-Identifier: Apache-2.0
"""What is compressed is unpacked up to a limit, which bounds the memory and the disk it takes."""

from __future__ import annotations

import shutil
import sqlite3
import struct
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lz4.frame
import pytest
from bag_maker import START_NS, STATES, Entry, Motion, write_bag
from evaluate_command import storage_file
from rosbags.rosbag1 import Writer as Ros1Writer
from rosbags.typesys import Stores, get_typestore

from sac_ros.bags.reader import sqlite_limits, zstd
from sac_ros.bags.reader.bag import Bag
from sac_ros.utils.errors import BagError

_BOMB = 200  # MiB, unpacked
_MIB = 2**20


def _zstd_frame(first: bytes, mib: int = _BOMB) -> bytes:
    """A frame of some bytes and so many MiB of zeros behind them."""
    press = zstd.zstd.ZstdCompressor()
    parts = [press.compress(first), *(press.compress(bytes(_MIB)) for _ in range(mib))]
    return b"".join([*parts, press.flush()])


def _lz4_frame(first: bytes, mib: int = _BOMB) -> bytes:
    press = lz4.frame.LZ4FrameCompressor()
    parts = [press.begin(), press.compress(first)]
    return b"".join([*parts, *(press.compress(bytes(_MIB)) for _ in range(mib)), press.flush()])


@contextmanager
def _memory_below(mib: int) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < mib * _MIB
    finally:
        tracemalloc.stop()


@pytest.fixture
def unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


# ---- files -------------------------------------------------------------------------------------


def test_a_file_that_unpacks_to_far_more_than_its_size_is_refused_and_leaves_nothing(
    tmp_path: Path, refused: Any, unpacked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zstd, "_LARGEST_FILE", 16 * _MIB)
    bag = tmp_path / "bomb.db3.zstd"
    bag.write_bytes(_zstd_frame(b"SQLite format 3\0"))
    assert "must unpack to at most 16777216 bytes" in refused(bag)
    assert not list(unpacked.iterdir())


def test_a_file_that_the_disk_has_no_room_for_is_refused_and_leaves_nothing(
    tmp_path: Path, refused: Any, unpacked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = shutil.disk_usage(tmp_path)._replace(free=zstd._RESERVE + 3 * _MIB)
    monkeypatch.setattr(zstd.shutil, "disk_usage", lambda _: free)
    bag = tmp_path / "bomb.mcap.zstd"
    bag.write_bytes(_zstd_frame(b"\x89MCAP0\r\n", 5))
    message = refused(bag)
    assert f"at most {3 * _MIB} bytes, what is free in {unpacked}" in message
    assert not list(unpacked.iterdir())


# ---- messages ----------------------------------------------------------------------------------


@pytest.mark.parametrize("storage", ["sqlite3", "mcap"])
def test_a_message_that_unpacks_to_more_than_a_mebibyte_is_dropped_and_counted(
    tmp_path: Path, evaluated: Any, storage: str
) -> None:
    entries = Motion().entries()
    states = [each for each in entries if each.topic == STATES]
    for each in states[10:20]:
        each.cdr = _zstd_frame(each.cdr, 20)
    states[30].cdr = zstd.MAGIC + b"nonsense"
    states[31].cdr = zstd.zstd.compress(states[31].cdr)
    states[32].cdr = zstd.zstd.compress(states[32].cdr)[:-3]
    bag = write_bag(tmp_path / "bag", entries, storage)
    with _memory_below(24):
        found = evaluated(bag)["recording"]["states"]
    assert found["dropped"] == {"larger than 1048576 bytes unpacked": 10, "damaged zstd": 2}
    assert (found["read"], found["used"]) == (300, 288)


def test_many_large_messages_are_read_a_few_at_a_time(tmp_path: Path) -> None:
    packed = _zstd_frame(b"", 1)
    entries = [Entry(STATES, "states", i, packed) for i in range(200)]
    bag = write_bag(tmp_path / "bag", entries)
    with _memory_below(160), Bag(bag) as opened:
        assert sum(len(batch) for batch in opened.batches({STATES})) == 200


# ---- chunks of mcap ----------------------------------------------------------------------------


def _with_chunk(bag: Path, pack: Callable[[bytes], bytes], kind: str, claimed: int) -> Path:
    """Put a chunk behind the header of an MCAP file without chunks, which loses its index."""
    file = storage_file(bag)
    content = file.read_bytes()
    start = 17 + struct.unpack_from("<Q", content, 9)[0]
    packed = pack(b"")
    name = kind.encode()
    body = struct.pack("<QQQII", 0, 0, claimed, 0, len(name)) + name
    body += struct.pack("<Q", len(packed)) + packed
    bare = file.with_name("with_chunk.mcap")
    end = content.index(b"\x0f" + struct.pack("<Q", 4))  # DataEnd
    bare.write_bytes(
        content[:start] + struct.pack("<BQ", 6, len(body)) + body + content[start:end]
    )
    return bare


@pytest.mark.parametrize(("kind", "pack"), [("zstd", _zstd_frame), ("lz4", _lz4_frame)])
@pytest.mark.parametrize("claimed", [100, 2**62])
def test_a_chunk_that_lies_about_its_size_is_not_unpacked_beyond_it(
    tmp_path: Path, kind: str, pack: Callable[[bytes], bytes], claimed: int
) -> None:
    file = _with_chunk(
        write_bag(tmp_path / "bag", Motion().entries(), "mcap"), pack, kind, claimed
    )
    with _memory_below(16), Bag(file) as opened:
        assert sum(len(batch) for batch in opened.batches({STATES})) == 300
        assert any("is damaged" in warning for warning in opened.warnings)


# ---- chunks of ROS 1 ---------------------------------------------------------------------------


def _ros1_bag(file: Path, compression: str, count: int = 8, size: int = _MIB) -> Path:
    """Write joint states with nothing but a long frame_id; each mebibyte is a chunk."""
    state = struct.pack(f"<IIII{size}sIIII", 0, 0, 0, size, bytes(size), 0, 0, 0, 0)
    types = get_typestore(Stores.ROS1_NOETIC)
    writer = Ros1Writer(file)
    writer.set_compression(Ros1Writer.CompressionFormat[compression])
    with writer:
        topic = writer.add_connection(STATES, "sensor_msgs/msg/JointState", typestore=types)
        for i in range(count):
            writer.write(topic, START_NS + i, state)
    return file


def _read(file: Path) -> tuple[int, str]:
    """Return how many states are read, and what is said."""
    with Bag(file) as opened:
        count = sum(len(batch) for batch in opened.batches({STATES}))
        return count, "; ".join(opened.warnings)


@pytest.mark.parametrize("compression", ["BZ2", "LZ4"])
def test_a_chunk_of_ros_1_is_unpacked_to_what_it_claims_and_no_further(
    tmp_path: Path, compression: str, refused: Any
) -> None:
    bag = _ros1_bag(tmp_path / "bag.bag", compression)
    assert _read(bag) == (8, "")
    content = bag.read_bytes()
    at = content.index(b"size=") + 5
    claimed = int.from_bytes(content[at : at + 4], "little")
    assert claimed > _MIB
    bag.write_bytes(content[:at] + struct.pack("<I", 100) + content[at + 4 :])
    with _memory_below(8):
        count, said = _read(bag)
    assert count == 0
    assert "does not unpack to 100 bytes" in said
    assert f"8 of 8 messages of {STATES} lost" in said
    bag.write_bytes(content[:at] + struct.pack("<I", 2**31) + content[at + 4 :])
    assert "at most 268435456 bytes" in refused(bag)


@pytest.mark.parametrize("compression", ["BZ2", "LZ4"])
def test_the_chunks_of_a_ros_1_bag_unpack_together_to_a_hundred_times_its_size(
    tmp_path: Path, compression: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bag = _ros1_bag(tmp_path / "bag.bag", compression)
    monkeypatch.setattr(zstd, "_LARGEST_FILE", 5 * _MIB)
    monkeypatch.setattr(zstd, "_LARGEST_RATIO", 1)
    count, said = _read(bag)
    assert count == 2  # of each: the chunk, and the message in it
    assert f"in its {bag.stat().st_size} bytes must have at most {5 * _MIB}" in said


def test_an_index_of_ros_1_that_names_the_same_messages_again_and_again_is_refused(
    tmp_path: Path,
) -> None:
    bag = _ros1_bag(tmp_path / "bag.bag", "BZ2", 2000, 30)
    content = bag.read_bytes()
    info = content[content.rindex(b"\x08\0\0\0ver=") - 12 :]  # its length and op
    at = content.index(b"chunk_count=") + 12
    content = content[:at] + struct.pack("<I", 500) + content[at + 4 :]
    bag.write_bytes(content + 499 * info)
    with _memory_below(16), pytest.raises(BagError, match="its index must be part of its "):
        Bag(bag)


# ---- pages of .db3 -----------------------------------------------------------------------------


def _pages(file: Path, name: str) -> tuple[bytearray, int, int]:
    """Return the content of a database, the first page of a table or index, and a page's size."""
    with sqlite3.connect(file) as database:
        query = "SELECT rootpage FROM sqlite_master WHERE name = ?"
        (root,) = database.execute(query, (name,)).fetchone()
    content = bytearray(file.read_bytes())
    return content, root, struct.unpack_from(">H", content, 16)[0]


def _endless(file: Path, name: str, cell: bytes) -> None:
    """Put 12 pages above a table or index, each of which leads to the next a hundred times."""
    content, root, size = _pages(file, name)
    old = content[(root - 1) * size : root * size]
    kind = 5 if old[0] in (5, 13) else 2  # what leads on, of a table or an index
    first = len(content) // size + 1
    pages = [root, *range(first, first + 12)]
    for page, below in zip(pages, pages[1:], strict=False):
        packed = struct.pack(">I", below) + cell
        at = size - len(packed)
        head = struct.pack(">BHHHBI", kind, 0, 100, at, 0, below) + 100 * struct.pack(">H", at)
        content[(page - 1) * size : page * size] = head.ljust(at, b"\0") + packed
    content[(pages[-1] - 1) * size :] = old
    struct.pack_into(">I", content, 28, pages[-1])
    file.write_bytes(content)


_KEY = b"\x05"
_ENTRY = b"\x05\x03\x01\x01\x05\x05"  # a record of two small numbers


@pytest.mark.parametrize(
    ("name", "cell"), [("messages", _KEY), ("timestamp_idx", _ENTRY), ("topics", _KEY)]
)
def test_a_database_whose_rows_have_no_end_is_read_or_refused_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, cell: bytes
) -> None:
    monkeypatch.setattr(sqlite_limits, "_STEPS", 2**22)
    file = storage_file(write_bag(tmp_path / "bag", Motion().entries()))
    _endless(file, name, cell)
    start = time.thread_time()
    if name == "topics":
        with pytest.raises(BagError, match="topics must have at most 10000 rows"):
            Bag(file)
    else:
        count, said = _read(file)
        assert count <= 300
        assert file.name in said
    assert time.thread_time() - start < 20.0


def test_what_no_recorder_puts_into_a_database_is_not_computed(tmp_path: Path) -> None:
    file = storage_file(write_bag(tmp_path / "bag", Motion().entries()))
    with sqlite3.connect(file) as database:
        database.execute("CREATE INDEX other ON messages (topic_id)")
    count, said = _read(file)
    assert count == 300
    assert "row by row: messages has an index that no recorder writes" in said
    with sqlite3.connect(file) as database:
        database.execute("ALTER TABLE messages ADD COLUMN big AS (hex(zeroblob(100000000)))")
    with pytest.raises(BagError, match="messages has columns that are computed"):
        Bag(file)


def test_rows_that_share_their_bytes_are_not_believed(tmp_path: Path) -> None:
    file = storage_file(write_bag(tmp_path / "bag", [Entry(STATES, "states", 1, bytes(_MIB))]))
    content, root, size = _pages(file, "messages")
    at = (root - 1) * size
    struct.pack_into(">H", content, at + 3, 100)  # rows
    content[at + 8 : at + 208] = 100 * content[at + 8 : at + 10]
    file.write_bytes(content)
    with pytest.raises(sqlite3.DatabaseError, match=f"100 messages of {100 * _MIB} bytes"):
        sqlite_limits.check(file)
    with _memory_below(8):
        assert _read(file)[0] == 1
