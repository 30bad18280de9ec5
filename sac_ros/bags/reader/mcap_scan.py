# SPDX-License-Identifier: Apache-2.0
"""MCAP read from the front, record by record, without its index.

So a file of a killed recorder still has all that was written whole, a damaged chunk costs only
itself, and the time of sending is there, which the ``rosbags`` library leaves out. It takes half
as long, too: messages need not be in order here. Format: https://mcap.dev/spec
"""

from __future__ import annotations

import struct
from binascii import crc32
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import lz4.frame

from sac_ros.bags.reader import zstd
from sac_ros.bags.reader.messages import StoredTopic
from sac_ros.utils.errors import BagError

_MAGIC = b"\x89MCAP0\r\n"
_SCHEMA, _CHANNEL, _MESSAGE, _CHUNK, _DATA_END = 0x03, 0x04, 0x05, 0x06, 0x0F
_LARGEST_CHUNK = 2**28  # bytes, unpacked, and of a record; writers' chunks have some megabytes

_HEAD = struct.Struct("<HIQQ").unpack_from  # channel, sequence, times of logging and publishing
_RECORD = struct.Struct("<BQ").unpack_from  # opcode, length

_Record = tuple[int, bytes, int]  # opcode, content, where it ends in the file


class McapScan:
    """One MCAP file.

    Attributes:
        counts: messages, by the id of their channel.
        span_ns: log times of the first and last message; None without one.
        whole_bytes: so much from the front is whole.
        damage: why the rest is not read; empty where everything is.
    """

    def __init__(self, path: Path, names: Mapping[int, str] | None = None) -> None:
        """Reads the file once through, unless its topics are known from its own index.

        ``names`` are those of the topics, by channel; None: to be found, and counted.

        Raises:
            BagError: it is not an MCAP file at all.
        """
        self._path = path
        self._names = dict(names or {})
        self._about: dict[int, tuple[str, str]] = {}
        self.counts: Counter[int] = Counter()
        self.span_ns: tuple[int, int] | None = None
        self.whole_bytes = 0
        self.damage = ""
        if names is None:
            self._learn_all()

    def _learn_all(self) -> None:
        schemas: dict[int, str] = {0: ""}
        for opcode, content, end in self._records():
            self.whole_bytes = end
            try:
                self._learn(opcode, content, schemas)
            except (struct.error, UnicodeDecodeError, KeyError) as error:
                self.damage = self.damage or f"a record that ends at byte {end} is bad: {error}"

    @property
    def topics(self) -> tuple[StoredTopic, ...]:
        """What was found."""
        return tuple(
            StoredTopic(self._names[key], kind, self.counts[key], encoding)
            for key, (kind, encoding) in self._about.items()
        )

    def messages(self, topics: Collection[str]) -> Iterator[tuple[str, int, int, bytes]]:
        """Yield ``(topic, log time, publish time, data)`` as the file has them; times in ns."""
        wanted = {key: name for key, name in self._names.items() if name in topics}
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
            self._about[key] = schemas[schema], _text(content, at)[0]
            self._names[key] = topic
        elif opcode == _MESSAGE:
            key, _, log_ns, _ = struct.unpack_from("<HIQQ", content)
            self.counts[key] += 1
            first, last = self.span_ns or (log_ns, log_ns)
            self.span_ns = min(first, log_ns), max(last, log_ns)

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
                start, end = file.tell(), file.tell() + length
                torn = end > size
                if torn:
                    self.damage = f"cut off within a record at byte {start} of {size}"
                if opcode == _CHUNK:
                    record = file.read(min(length, size - start))
                    yield from self._chunk(record, min(end, size), torn)
                elif opcode in (_SCHEMA, _CHANNEL, _MESSAGE) and not torn:
                    yield opcode, file.read(length), end
                if torn:
                    return
                file.seek(end)

    def _chunk(self, record: bytes, end: int, torn: bool) -> Iterator[_Record]:
        """Yield the records of a chunk that ends at a byte; of a torn one, those that are there.

        Any other that is damaged is left out: its records cannot be relied upon.
        """
        try:
            data, size, checksum = _unpacked(record)
            if not torn and (len(data) != size or (checksum and crc32(data) != checksum)):
                raise ValueError("its size or checksum is wrong")
        except Exception as error:  # three libraries, each with errors of its own
            self.damage = self.damage or f"the chunk before byte {end} is bad: {error}"
            return
        at = 0
        while at + 9 <= len(data):
            opcode, length = _RECORD(data, at)
            at += 9 + length
            if at > len(data):
                return
            yield opcode, data[at - length : at], end


def _unpacked(record: bytes) -> tuple[bytes, int, int]:
    """Return a chunk's records, how many bytes they should be, and their checksum; 0: none."""
    size, checksum = struct.unpack_from("<QI", record, 16)
    compression, at = _text(record, 28)
    (packed,) = struct.unpack_from("<Q", record, at)
    data = record[at + 8 : at + 8 + packed]
    if size > _LARGEST_CHUNK:
        raise ValueError(f"it claims {size} bytes")
    if compression == "zstd":
        data = zstd.decompress_some(data, size + 1)  # one more tells that it claims too few
    elif compression == "lz4":
        data = lz4.frame.LZ4FrameDecompressor().decompress(data, max_length=size + 1)
    elif compression:
        raise ValueError(f"unknown compression {compression!r}")
    return data, size, checksum


def _text(data: bytes, at: int) -> tuple[str, int]:
    (length,) = struct.unpack_from("<I", data, at)
    if at + 4 + length > len(data):
        raise struct.error("a text longer than its record")
    return data[at + 4 : at + 4 + length].decode(), at + 4 + length
