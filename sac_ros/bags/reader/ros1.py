# SPDX-License-Identifier: Apache-2.0
"""ROS 1 bags: the parts of the ``rosbags`` library, put together so that they have an end."""

from __future__ import annotations

from bz2 import BZ2Decompressor
from collections.abc import Collection, Iterator
from io import SEEK_CUR, BytesIO
from typing import Any

from lz4.frame import LZ4FrameDecompressor
from rosbags.interfaces import Connection
from rosbags.rosbag1.reader import (
    Chunk,
    Header,
    IndexData,
    Reader,
    RecordType,
    read_bytes,
    read_uint32,
)

from sac_ros.bags.reader.zstd import LARGEST_CHUNK, largest_unpacked
from sac_ros.utils.errors import BagError

_DECOMPRESSORS: dict[str, Any] = {"bz2": BZ2Decompressor, "lz4": LZ4FrameDecompressor}
_SKIPPED = 2**10  # bytes that a record counts for that is read and not used


class Ros1Bag(Reader):
    """A bag that is read chunk by chunk, so that none is unpacked twice.

    Chunks and index entries may name the same bytes over and over; what they unpack to and hold
    is bounded in sum, as for a file that is compressed.
    """

    _index_bytes = 0
    _left = 0  # bytes, of this reading

    def read_chunk(self) -> Chunk:
        """Read the head of a chunk; where it is compressed, have it unpacked to what it claims."""
        assert self.bio
        start = self.bio.tell()
        header = Header.read(self.bio, RecordType.CHUNK)
        self.bio.seek(start)
        chunk = super().read_chunk()
        kind, claimed = header.get_string("compression"), header.get_uint32("size")
        if max(chunk.datasize, claimed) > LARGEST_CHUNK:
            raise BagError(
                f"a chunk must have at most {LARGEST_CHUNK} bytes; the one at byte {start} has "
                f"{chunk.datasize} and claims {claimed} unpacked"
            )

        def unpacked(data: bytes) -> bytes:
            self._spend(claimed)
            plain: bytes = _DECOMPRESSORS[kind]().decompress(data, claimed + 1)
            if len(plain) != claimed:
                raise BagError(f"the chunk at byte {start} does not unpack to {claimed} bytes")
            return plain

        return chunk._replace(decompressor=unpacked) if kind in _DECOMPRESSORS else chunk

    def read_index_data(self, pos: int, indexes: dict[int, list[IndexData]]) -> None:
        """Read the index of one connection behind a chunk."""
        assert self.bio
        start = self.bio.tell()
        super().read_index_data(pos, indexes)
        self._index_bytes += self.bio.tell() - start
        if self._index_bytes > (size := self.path.stat().st_size):
            raise BagError(f"its index must be part of its {size} bytes; it is larger")

    def by_chunk(
        self, connections: Collection[Connection]
    ) -> Iterator[tuple[Connection, int, bytes]]:
        """Yield the messages of connections, with their times; in a chunk, in order of these."""
        assert self.bio
        self._left = largest_unpacked(self.path.stat().st_size)
        wanted = {each.id: each for each in connections}
        entries: dict[int, list[IndexData]] = {info.pos: [] for info in self.chunk_infos}
        for key in wanted:
            for entry in self.indexes[key]:
                entries[entry.chunk_pos].append(entry)
        for pos, indexed in entries.items():
            if not indexed:
                continue
            chunk = self.chunks[pos]
            self._spend(chunk.datasize)
            self.bio.seek(chunk.datapos)
            content = BytesIO(chunk.decompressor(read_bytes(self.bio, chunk.datasize)))
            for entry in sorted(indexed):
                key, data = self._message(content, entry)
                yield wanted[key], entry.time, data

    def _message(self, content: BytesIO, entry: IndexData) -> tuple[int, bytes]:
        """Return connection and data of a message; records of connections may be before it."""
        content.seek(entry.offset)
        while (header := Header.read(content)).get_uint8("op") == RecordType.CONNECTION:
            self._spend(_SKIPPED)
            content.seek(read_uint32(content), SEEK_CUR)
        if header.get_uint8("op") != RecordType.MSGDATA or header.get_time("time") != entry.time:
            raise BagError(f"its index names byte {entry.offset} of a chunk, where no message is")
        size = read_uint32(content)
        self._spend(size)
        return header.get_uint32("conn"), read_bytes(content, size)

    def _spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            most = largest_unpacked(file := self.path.stat().st_size)
            raise BagError(
                f"chunks and messages in its {file} bytes must have at most {most}; they have more"
            )
