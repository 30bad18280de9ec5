# SPDX-License-Identifier: Apache-2.0
"""MCAP read from the front, record by record, without its index.

So a file of a killed recorder still has all that was written whole, a damaged chunk costs only
itself, and the time of sending is there, which the ``rosbags`` library leaves out. It takes half
as long, too: messages need not be in order here. Format: https://mcap.dev/spec
"""

from __future__ import annotations

import struct
from binascii import crc32
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import lz4.frame

from sac_ros.bags.reader import zstd
from sac_ros.utils.errors import BagError

_MAGIC = b"\x89MCAP0\r\n"
_SCHEMA, _CHANNEL, _MESSAGE, _CHUNK, _DATA_END = 0x03, 0x04, 0x05, 0x06, 0x0F
_LARGEST_CHUNK = 2**30  # bytes; writers make chunks of some megabytes at most

_HEAD = struct.Struct("<HIQQ").unpack_from  # channel, sequence, times of logging and publishing
_RECORD = struct.Struct("<BQ").unpack_from  # opcode, length

_Record = tuple[int, bytes, int]  # opcode, content, where it ends in the file


@dataclass(frozen=True)
class Channel:
    """One channel: a topic with the name of its type and the encoding of its messages."""

    topic: str
    type: str
    encoding: str


class McapScan:
    """One MCAP file.

    Attributes:
        channels: by their id.
        counts: messages, by the id of their channel.
        first_ns, last_ns: log times of the first and last message; None without one.
        whole_bytes: so much from the front is whole.
        damage: why the rest is not read; empty where everything is.
    """

    def __init__(self, path: Path, channels: Mapping[int, Channel] | None = None) -> None:
        """Reads the file once through, unless its channels are known.

        Args:
            path: of the file.
            channels: by their id, from the file's own index; None: to be found, and counted.

        Raises:
            BagError: it is not an MCAP file at all.
        """
        self._path = path
        self.channels: dict[int, Channel] = dict(channels or {})
        self.counts: dict[int, int] = {}
        self.first_ns: int | None = None
        self.last_ns: int | None = None
        self.whole_bytes = 0
        self.damage = ""
        if channels is None:
            self._learn_all()

    def _learn_all(self) -> None:
        schemas: dict[int, str] = {0: ""}
        for opcode, content, end in self._records():
            self.whole_bytes = end
            try:
                self._learn(opcode, content, schemas)
            except (struct.error, UnicodeDecodeError, KeyError) as error:
                self.damage = self.damage or f"a record that ends at byte {end} is bad: {error}"

    def messages(self, topics: Collection[str]) -> Iterator[tuple[str, int, int, bytes]]:
        """Yield ``(topic, log time, publish time, data)`` as the file has them; times in ns."""
        wanted = {key: c.topic for key, c in self.channels.items() if c.topic in topics}
        for opcode, content, _ in self._records():
            if opcode == _MESSAGE and len(content) >= 22:
                channel, _, log_ns, publish_ns = _HEAD(content)
                if channel in wanted:
                    yield wanted[channel], log_ns, publish_ns, content[22:]

    def _learn(self, opcode: int, content: bytes, schemas: dict[int, str]) -> None:
        if opcode == _SCHEMA:
            (key,) = struct.unpack_from("<H", content)
            schemas[key] = _text(content, 2)[0]
        elif opcode == _CHANNEL:
            key, schema = struct.unpack_from("<HH", content)
            topic, at = _text(content, 4)
            encoding, _ = _text(content, at)
            self.channels[key] = Channel(topic, schemas[schema], encoding)
        elif opcode == _MESSAGE:
            key, _, log_ns, _ = struct.unpack_from("<HIQQ", content)
            self.counts[key] = self.counts.get(key, 0) + 1
            self.first_ns = log_ns if self.first_ns is None else min(self.first_ns, log_ns)
            self.last_ns = log_ns if self.last_ns is None else max(self.last_ns, log_ns)

    def _records(self) -> Iterator[_Record]:
        """Yield the records of the data section, chunks unpacked, up to the first damage."""
        size = self._path.stat().st_size
        with self._path.open("rb") as file:
            if file.read(len(_MAGIC)) != _MAGIC:
                raise BagError(f"bag {self._path} must begin as MCAP does; it does not")
            while True:
                head = file.read(9)
                if len(head) < 9:
                    self.damage = f"cut off at byte {file.tell()}, without an index"
                    return
                opcode, length = struct.unpack("<BQ", head)
                if opcode == _DATA_END:
                    return
                end = file.tell() + length
                if end > size:
                    self.damage = f"cut off within a record at byte {file.tell()} of {size}"
                    if opcode == _CHUNK:
                        for inner, content in _inside(_torn(file.read())):
                            yield inner, content, size
                    return
                if opcode != _CHUNK:
                    yield from self._plain(file, opcode, length, end)
                    continue
                try:
                    chunk = _unpacked(file.read(length))
                except Exception as error:  # three libraries, each with errors of its own
                    self.damage = self.damage or f"the chunk before byte {end} is bad: {error}"
                    continue
                for inner, content in _inside(chunk):
                    yield inner, content, end

    @staticmethod
    def _plain(file: BinaryIO, opcode: int, length: int, end: int) -> Iterator[_Record]:
        if opcode in (_SCHEMA, _CHANNEL, _MESSAGE):
            yield opcode, file.read(length), end
        else:
            file.seek(end)


def _unpacked(record: bytes) -> bytes:
    """Return the records within a chunk, checked against its size and checksum."""
    data, size, checksum = _plain_chunk(record)
    if len(data) != size or (checksum and crc32(data) != checksum):
        raise ValueError("its size or checksum is wrong")
    return data


def _torn(record: bytes) -> bytes:
    """Return what can be had of a chunk whose end is missing."""
    try:
        return _plain_chunk(record)[0]
    except Exception:  # as in `_records`; it is known to be damaged
        return b""


def _plain_chunk(record: bytes) -> tuple[bytes, int, int]:
    """Return a chunk's records, how many bytes they should be, and their checksum; 0: none."""
    size, checksum = struct.unpack_from("<QI", record, 16)
    compression, at = _text(record, 28)
    (packed,) = struct.unpack_from("<Q", record, at)
    data = record[at + 8 : at + 8 + packed]
    if size > _LARGEST_CHUNK:
        raise ValueError(f"it claims {size} bytes")
    if compression == "zstd":
        data = zstd.decompress_some(data, size)
    elif compression == "lz4":
        data = lz4.frame.LZ4FrameDecompressor().decompress(data, max_length=size)
    elif compression:
        raise ValueError(f"unknown compression {compression!r}")
    return data, size, checksum


def _inside(chunk: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 9 <= len(chunk):
        opcode, length = _RECORD(chunk, at)
        at += 9 + length
        if at > len(chunk):
            return
        yield opcode, chunk[at - length : at]


def _text(data: bytes, at: int) -> tuple[str, int]:
    (length,) = struct.unpack_from("<I", data, at)
    if at + 4 + length > len(data):
        raise struct.error("a text longer than its record")
    return data[at + 4 : at + 4 + length].decode(), at + 4 + length
