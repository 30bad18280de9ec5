# SPDX-License-Identifier: Apache-2.0
"""One storage file of a bag: opened by the ``rosbags`` library or, where that refuses, by us."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from rosbags.rosbag1 import Reader as Ros1Reader
from rosbags.rosbag2.storage_mcap import McapReader
from rosbags.rosbag2.storage_sqlite3 import Sqlite3Reader
from rosbags.typesys import Stores, get_typestore

from sac_ros.bags.reader import zstd
from sac_ros.bags.reader.mcap_scan import McapScan
from sac_ros.bags.reader.messages import Message, StoredTopic
from sac_ros.utils.errors import BagError

_types = cache(get_typestore)

BATCH = 4096
"""Messages that are read at a time."""

_BATCH_BYTES = 2**26  # that a batch is ended at, however few its messages


class _IndexedMcap(McapReader):
    """An MCAP file by its index; without one we read it, who unpack no chunk beyond a limit."""

    def meta_scan(self) -> None:
        raise BagError("it has no index")


class StorageFile:
    """What can be read from one file, whichever way.

    Attributes:
        topics: what it holds.
        span_ns: times of the first and last message; None without messages.
        warnings: what is odd; reading may add to it.
        lost: of the last reading, by topic: the reason to how many messages.
    """

    def __init__(self, path: Path, kind: str, sent: bool) -> None:
        """Opens a file of the kind that `storage_kind` says, but not ``zstd``.

        ``sent``: whether the times of sending are needed, which only MCAP has.

        Raises:
            BagError: it cannot be read at all.
        """
        self._path = path
        self._kind = kind
        self.topics: tuple[StoredTopic, ...] = ()
        self.span_ns: tuple[int, int] | None = None
        self.warnings: list[str] = []
        self.lost: dict[str, Counter[str]] = {}
        self._scan: McapScan | None = None
        self._reader: Any = None
        if sent and kind != "mcap":
            raise BagError(f"bag {path}: --time sent needs mcap; {kind} has no times of sending")
        if sent:
            self._use(McapScan(path))
        else:
            self._open()

    def close(self) -> None:
        """Close the file."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def batches(self, topics: Collection[str]) -> Iterator[list[Message]]:
        """Yield the messages of some topics in the order of recording, `BATCH` at a time.

        A damage in the middle ends it and leaves a warning.
        """
        self.lost = {topic: Counter() for topic in topics}
        stored = self._scanned(topics) if self._kind == "mcap" else self._read(topics)
        messages = self._unpacked(stored)
        count, damage, more = 0, "", True
        while more:
            batch: list[Message] = []
            size = 0
            try:
                for message in messages:
                    batch.append(message)
                    size += len(message[3])
                    if len(batch) == BATCH or size > _BATCH_BYTES:
                        break
                else:
                    more = False
            except Exception as error:  # see `_open`
                damage, more = _one_line(error), False
            count += len(batch)
            if batch:
                yield batch
        if damage:
            self.warnings.append(f"{self._path.name} is damaged after {count} messages: {damage}")

    def _open(self) -> None:
        ros1 = self._kind == "ros1"
        kinds = {"mcap": _IndexedMcap, "sqlite3": Sqlite3Reader}
        try:
            kind: Any = kinds.get(self._kind, Ros1Reader)
            reader = kind(self._path)
            reader.open()
        except Exception as error:  # the library lets everything through that damage can cause
            if self._kind != "mcap":
                raise BagError(f"bag {self._path} is damaged: {_one_line(error)}") from error
            self._salvage(error)
            return
        self._reader = reader
        self.topics = tuple(
            StoredTopic(
                c.topic, c.msgtype, c.msgcount, "cdr" if ros1 else c.ext.serialization_format
            )
            for c in reader.connections
        )
        about = reader if ros1 else reader.metadata
        if about.message_count:
            self.span_ns = (about.start_time, about.end_time - 1)

    def _salvage(self, error: Exception) -> None:
        """Read an MCAP file that the library refuses from its front."""
        scan = McapScan(self._path)
        if scan.damage:
            size = self._path.stat().st_size
            self.warnings.append(
                f"{self._path.name} is damaged ({scan.damage}): recovered "
                f"{scan.counts.total()} messages, {scan.whole_bytes} of {size} bytes"
            )
        else:
            self.warnings.append(
                f"{self._path.name} was read record by record: {_one_line(error)}"
            )
        self._use(scan)

    def _use(self, scan: McapScan) -> None:
        self._scan, self.topics, self.span_ns = scan, scan.topics, scan.span_ns

    def _read(self, topics: Collection[str]) -> Iterator[Message]:
        connections = [each for each in self._reader.connections if each.topic in topics]
        if not connections:
            return  # to the library, none would be all
        # To ROS 2's types, without what only ROS 1 headers have.
        convert = _types(Stores.LATEST).ros1_to_cdr if self._kind == "ros1" else None
        for connection, time_ns, data in self._reader.messages(connections=connections):
            if convert:
                data = bytes(convert(data, connection.msgtype))  # noqa: PLW2901
            yield connection.topic, time_ns, time_ns, data

    def _unpacked(self, messages: Iterator[Message]) -> Iterator[Message]:
        """Yield messages, those that were compressed one by one unpacked."""
        for message in messages:
            if message[3][:4] != zstd.MAGIC:
                yield message
                continue
            topic, received_ns, sent_ns, packed = message
            try:
                data = zstd.decompress(packed)
            except zstd.ZstdError as error:
                self.lost[topic][str(error)] += 1
                continue
            yield topic, received_ns, sent_ns, data

    def _scanned(self, topics: Collection[str]) -> Iterator[Message]:
        """Yield the messages of an MCAP file record by record; see `mcap_scan` for why."""
        scan = self._scan
        if scan is None:
            scan = McapScan(self._path, {c.id: c.topic for c in self._reader.connections})
        yield from scan.messages(topics)
        if scan.damage and scan is not self._scan:  # of that one `_salvage` has told already
            raise BagError(scan.damage)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
