# SPDX-License-Identifier: Apache-2.0
"""MCAP read from the front, record by record, without its index.

So a file of a killed recorder still has all that was written whole, a damaged chunk costs only
itself, and the time of sending is there, which the ``rosbags`` library leaves out. It takes half
as long, too: messages need not be in order here. Format: https://mcap.dev/spec
"""

from __future__ import annotations

import os
import struct
from binascii import crc32
from bisect import bisect
from collections import Counter
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import lz4.frame

from sac_ros.bags.reader import zstd
from sac_ros.bags.reader.messages import StoredTopic
from sac_ros.bags.reader.zstd import LARGEST_CHUNK
from sac_ros.utils.errors import BagError

_MAGIC = b"\x89MCAP0\r\n"
_FOOTER, _SCHEMA, _CHANNEL, _MESSAGE, _CHUNK, _INDEX = 0x02, 0x03, 0x04, 0x05, 0x06, 0x07
_STATISTICS, _DATA_END = 0x0B, 0x0F

_HEAD = struct.Struct("<HIQQ").unpack_from  # channel, sequence, times of logging and publishing
_RECORD = struct.Struct("<BQ").unpack_from  # opcode, length

_Record = tuple[int, bytes, int]  # opcode, content, where it ends in the file


class McapScan:
    """One MCAP file.

    Attributes:
        counts: messages, by the id of their channel.
        span_ns: log times of the first and last message; None without one.
        whole_bytes: so much from the front is whole.
    """

    def __init__(
        self, path: Path, names: Mapping[int, str] | None = None, known: Sequence[int] = ()
    ) -> None:
        """Reads the file once through, unless its topics are known from its own index.

        ``names`` are those of the topics, by channel; None: to be found, and counted. ``known``
        are the bytes where chunks begin and, last, where they end, if there is an index: then a
        damaged length costs no more than its chunk.

        Raises:
            BagError: it is not an MCAP file at all.
        """
        self._path = path
        self._names = dict(names or {})
        self._known, self._starts = sorted(known), frozenset(known)
        self._about: dict[int, tuple[str, str]] = {}
        self.counts: Counter[int] = Counter()
        self.span_ns: tuple[int, int] | None = None
        self.whole_bytes = 0
        self._statistics: Counter[int] | None = None
        self._odd = ""  # the first record that makes no sense
        self._begin()
        if names is None:
            self._learn_all()

    def _begin(self) -> None:
        self._chunks, self._bad = 0, list[int]()  # all of them, and the numbers of damaged ones
        self._why = self._cut = ""
        self._lost: dict[
            int, Counter[int]
        ] = {}  # by a damaged chunk's number, if listed behind it

    def _learn_all(self) -> None:
        schemas: dict[int, str] = {0: ""}
        for opcode, content, end in self._records():
            self.whole_bytes = end
            try:
                self._learn(opcode, content, schemas)
            except (struct.error, UnicodeDecodeError, KeyError) as error:
                self._odd = self._odd or f"a record that ends at byte {end} is bad: {error}"

    @property
    def damage(self) -> str:
        """What the last reading left out, and why; empty where nothing."""
        chunks = f"{_which(self._bad, self._chunks)} ({self._why})" if self._bad else ""
        return "; ".join(filter(None, (chunks, self._cut, self._odd)))

    @property
    def expected(self) -> Counter[str]:
        """How many messages of each topic there were before the damage, at least."""
        counts = self._statistics
        if counts is None:
            counts = sum(self._lost.values(), self.counts)
        found: Counter[str] = Counter()
        for key, name in self._names.items():
            found[name] += counts[key]
        return found

    @property
    def complete(self) -> bool:
        """Whether there were no more messages than `expected`."""
        indexed = all(number in self._lost for number in self._bad)
        return self._statistics is not None or (indexed and not self._cut)

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
        elif opcode == _STATISTICS:
            (length,) = struct.unpack_from("<I", content, 42)
            self._statistics = Counter(dict(struct.iter_unpack("<HQ", content[46 : 46 + length])))

    def _records(self) -> Iterator[_Record]:
        """Yield the records of the file, chunks unpacked, as far as they are whole.

        Where no index leads on behind a damaged length, it is the end.
        """
        self._begin()
        size, start = self._path.stat().st_size, len(_MAGIC)
        with self._path.open("rb") as file:
            if file.read(start) != _MAGIC:
                raise BagError(f"bag {self._path} must begin as MCAP does; it does not")
            while not self._known or start < self._known[-1]:
                file.seek(start)
                head = file.read(9)
                if len(head) < 9:
                    self._cut = f"cut off at byte {size}, without an index"
                    return
                opcode, length = struct.unpack("<BQ", head)
                if opcode == _DATA_END:
                    yield from self._summary(file)
                    return
                indexed = start in self._starts  # then its head is not needed
                if indexed:
                    length = self._next(start) - start - 9
                end = start + 9 + length
                torn = end > size
                if opcode == _CHUNK or indexed:
                    record = file.read(min(length, LARGEST_CHUNK))
                    used = yield from self._chunk(record, end, torn and not self._known)
                    if indexed and 0 < used <= length:
                        end = start + 9 + used
                elif opcode == _INDEX and self._bad and self._bad[-1] == self._chunks:
                    self._count_lost(file.read(6))
                elif opcode in (_SCHEMA, _CHANNEL, _MESSAGE) and not torn:
                    if length > LARGEST_CHUNK:
                        self._odd = f"the record at byte {start} claims {length} bytes"
                    else:
                        yield opcode, file.read(length), end
                if torn and not self._known:
                    self._cut = f"cut off within a record at byte {start + 9} of {size}"
                    return
                if torn:
                    self._cut = self._cut or f"the record at byte {start} of {size} is damaged"
                start = self._next(start) if torn else end

    def _next(self, start: int) -> int:
        """Return where the next chunk begins by the index, or the data ends."""
        return self._known[bisect(self._known, start)]

    def _summary(self, file: BinaryIO) -> Iterator[_Record]:
        """Yield what names and counts topics behind the data: a damaged chunk may have had it."""
        file.seek(4, os.SEEK_CUR)  # the checksum of the data
        while len(head := file.read(9)) == 9:
            opcode, length = struct.unpack("<BQ", head)
            if opcode == _FOOTER or length > LARGEST_CHUNK:
                return
            content = file.read(length)
            if opcode in (_SCHEMA, _CHANNEL, _STATISTICS) and len(content) == length:
                yield opcode, content, file.tell()

    def _count_lost(self, index: bytes) -> None:
        """Count the messages that the index behind a damaged chunk has of one channel."""
        if len(index) == 6:
            channel, length = struct.unpack("<HI", index)
            self._lost.setdefault(self._chunks, Counter())[channel] += length // 16

    def _chunk(self, record: bytes, end: int, torn: bool) -> Generator[_Record, None, int]:
        """Yield the records of a chunk that ends at a byte; of a torn one, those that are there.

        Any other that is damaged is left out, as its records cannot be relied upon, and reported.
        Returns how many bytes it has by its own head; 0 of a damaged one.
        """
        self._chunks += 1
        try:
            data, size, checksum, used = _unpacked(record)
            if not torn and (len(data) != size or (checksum and crc32(data) != checksum)):
                raise ValueError("its size or checksum is wrong")
        except Exception as error:  # three libraries, each with errors of its own
            self._bad.append(self._chunks)
            self._why = self._why or " ".join(str(error).split())[:100] or type(error).__name__
            return 0
        at = 0
        while at + 9 <= len(data):
            opcode, length = _RECORD(data, at)
            at += 9 + length
            if at > len(data):
                break
            yield opcode, data[at - length : at], end
        return used


def _which(numbers: Sequence[int], count: int) -> str:
    """Return which of so many chunks are damaged."""
    if len(numbers) == count:
        return "its only chunk is damaged" if count == 1 else f"all {count} chunks are damaged"
    if len(numbers) > 1:
        first = ", ".join(map(str, numbers[:5])) + (", ..." if numbers[5:] else "")
        return f"{len(numbers)} of {count} chunks are damaged: {first}"
    place = {1: "the first", count: "the last"}.get(numbers[0], f"number {numbers[0]}")
    return f"{place} of {count} chunks is damaged"


def _unpacked(record: bytes) -> tuple[bytes, int, int, int]:
    """Return a chunk's records, their due size and checksum (0: none), and the chunk's size."""
    size, checksum = struct.unpack_from("<QI", record, 16)
    compression, at = _text(record, 28)
    (packed,) = struct.unpack_from("<Q", record, at)
    data = record[at + 8 : at + 8 + packed]
    if size > LARGEST_CHUNK:
        raise ValueError(f"it claims {size} bytes")
    if compression == "zstd":
        data = zstd.decompress_some(data, size + 1)  # one more shows that it claims too few
    elif compression == "lz4":
        data = lz4.frame.LZ4FrameDecompressor().decompress(data, max_length=size + 1)
    elif compression:
        raise ValueError(f"unknown compression {compression!r}")
    return data, size, checksum, at + 8 + packed


def _text(data: bytes, at: int) -> tuple[str, int]:
    (length,) = struct.unpack_from("<I", data, at)
    if at + 4 + length > len(data):
        raise struct.error("a text longer than its record")
    return data[at + 4 : at + 4 + length].decode(), at + 4 + length
