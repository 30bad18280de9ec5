# SPDX-License-Identifier: Apache-2.0
"""One storage file of a bag: opened by the ``rosbags`` library or, where that refuses, by us."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Collection, Iterator
from functools import cache
from operator import itemgetter
from pathlib import Path
from typing import Any

from rosbags.rosbag2.storage_mcap import McapReader
from rosbags.rosbag2.storage_sqlite3 import Sqlite3Reader
from rosbags.typesys import Stores, get_typestore

from sac_ros.bags.reader import sqlite_limits, zstd
from sac_ros.bags.reader.mcap_scan import McapScan
from sac_ros.bags.reader.messages import Message, StoredTopic
from sac_ros.bags.reader.ros1 import Ros1Bag
from sac_ros.bags.reader.sqlite_salvage import SqliteSalvage
from sac_ros.utils.errors import BagError

_types = cache(get_typestore)

BATCH = 4096
"""Messages that are read at a time."""

DAMAGE = "lost to damage"
"""The reason for which damaged messages are dropped."""

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
        warnings: what is odd.
        damage: of the last reading, what was left out, why, and how much where that is known.
        seen: of the last reading, the messages that were found, by topic.
        lost: of the last reading, by topic: the reason to how many messages.
        complete: whether ``lost`` has all that was lost to the damage.
    """

    def __init__(self, path: Path, kind: str, sent: bool) -> None:
        """Opens a file of the kind that `storage_kind` returns, but not ``zstd``.

        ``sent``: whether the times of sending are needed, which only MCAP has.

        Raises:
            BagError: it cannot be read at all.
        """
        self._path = path
        self._kind = kind
        self.topics: tuple[StoredTopic, ...] = ()
        self.span_ns: tuple[int, int] | None = None
        self.warnings: list[str] = []
        self.damage = ""
        self.seen: Counter[str] = Counter()
        self.lost: dict[str, Counter[str]] = {}
        self.complete = True
        self._scan: McapScan | None = None  # where there is no index
        self._last_scan: McapScan | None = None
        self._rows: SqliteSalvage | None = None  # of a damaged database
        self._reader: Any = None
        if sent and kind != "mcap":
            raise BagError(f"bag {path}: --time sent needs mcap; {kind} has no times of sending")
        if sent:
            self._salvage()
        else:
            self._open()

    def close(self) -> None:
        """Close the file."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        if self._rows is not None:
            self._rows.close()
            self._rows = None

    def batches(self, topics: Collection[str]) -> Iterator[list[Message]]:
        """Yield the messages of some topics in the order of recording, `BATCH` at a time.

        A damage in the middle costs what cannot be read behind it.
        """
        self.damage, self.seen, self.complete = "", Counter(), True
        self.lost = {topic: Counter() for topic in topics}
        stored = self._scanned(topics) if self._kind == "mcap" else self._read(topics)
        messages = self._unpacked(stored)
        damage, more = "", True
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
            self.seen.update(map(itemgetter(0), batch))
            if batch:
                yield batch
        for topic, reasons in self.lost.items():
            self.seen[topic] += reasons.total()
        if damage:
            damage = f"damaged after {self.seen.total()} messages ({damage})"
        if damage := damage or (self._last_scan.damage if self._last_scan else ""):
            self._count_lost(damage)
        if self._rows and self._rows.damage:
            self._share_lost(self._rows)

    def _count_lost(self, damage: str) -> None:
        """Count what a damage cost of the topics that were read, by what they had before it."""
        expected = self._scan.expected if self._scan else Counter[str]()
        if self._scan:
            self.complete = self._scan.complete
        else:
            for topic in self.topics:
                expected[topic.name] += topic.messages
        losses = []
        for name in sorted(self.lost):
            if (missing := expected[name] - self.seen[name]) > 0:
                self.lost[name][DAMAGE] = missing
                losses.append(f"{missing:,} of {expected[name]:,} messages of {name}")
        lost = f": {', '.join(losses)} lost" if losses else ""
        if lost or not self._scan:  # of that damage `_salvage` has reported
            self.damage = f"{self._path.name}: {damage}{lost}"

    def _share_lost(self, rows: SqliteSalvage) -> None:
        """Count the rows that a damage cost; their topic is unknown, so by its share."""
        self.complete = False
        there = sum(topic.messages for topic in rows.topics)
        for topic in rows.topics:
            if topic.name in self.lost and topic.messages:
                share = -(-rows.lost * topic.messages // there)
                self.lost[topic.name][DAMAGE] += share
        self.damage = (
            f"{self._path.name}: {rows.damage}: {rows.lost:,} of {there + rows.lost:,} messages "
            "lost, counted for each topic by metadata.yaml or else by its share of the others"
        )

    def _open(self) -> None:
        ros1 = self._kind == "ros1"
        kinds = {"mcap": _IndexedMcap, "sqlite3": Sqlite3Reader}
        try:
            kind: Any = kinds.get(self._kind, Ros1Bag)
            reader = kind(self._path)
            if self._kind == "sqlite3":
                sqlite_limits.check(self._path)
            with sqlite_limits.limited(self._path):
                reader.open()
            self.topics, self.span_ns = _described(reader, ros1)
        except Exception as error:  # the library lets everything through that damage can cause
            if self._kind == "mcap":
                self._salvage(error)
            elif not self._open_rows():
                raise BagError(f"bag {self._path} is damaged: {_one_line(error)}") from error
            elif self._rows and not self._rows.damage:
                self.warnings.append(f"{self._path.name} was read row by row: {_one_line(error)}")
            return
        self._reader = reader

    def _open_rows(self) -> bool:
        """Read a database that the library refuses by its rows; return whether that can be."""
        try:
            self._rows = SqliteSalvage(self._path) if self._kind == "sqlite3" else None
        except sqlite3.Error:
            return False
        if self._rows:
            self.topics, self.span_ns = self._rows.topics, self._rows.span_ns
        return self._rows is not None

    def _salvage(self, error: Exception | None = None) -> None:
        """Read an MCAP file from its front: the library refuses it, or leaves something out."""
        self._scan = scan = McapScan(self._path)
        if scan.damage:
            size = self._path.stat().st_size
            self.warnings.append(
                f"{self._path.name} is damaged ({scan.damage}): recovered "
                f"{scan.counts.total()} messages, {scan.whole_bytes} of {size} bytes"
            )
        elif error:
            self.warnings.append(
                f"{self._path.name} was read record by record: {_one_line(error)}"
            )
        self.topics, self.span_ns = scan.topics, scan.span_ns

    def _read(self, topics: Collection[str]) -> Iterator[Message]:
        if self._rows:
            yield from self._rows.messages(topics, -(2**63))
            return
        last_ns = -(2**63)
        try:
            for message in self._indexed(topics):
                last_ns = message[1]
                yield message
        except Exception:
            if not self._open_rows():
                raise
        if self._rows:
            yield from self._rows.messages(topics, last_ns)

    def _indexed(self, topics: Collection[str]) -> Iterator[Message]:
        connections = [each for each in self._reader.connections if each.topic in topics]
        if not connections:
            return  # to the library, none would be all
        # To ROS 2's types, without what only ROS 1 headers have.
        convert = _types(Stores.LATEST).ros1_to_cdr if self._kind == "ros1" else None
        read = self._reader.by_chunk if convert else self._reader.messages
        for connection, time_ns, data in read(connections):
            if convert:
                data = bytes(convert(data, connection.msgtype))  # noqa: PLW2901
            yield connection.topic, time_ns, time_ns, data

    def _unpacked(self, messages: Iterator[Message]) -> Iterator[Message]:
        """Yield messages, those that were compressed one by one unpacked."""
        for message in messages:
            topic, received_ns, sent_ns, packed = message
            if type(packed) is not bytes or type(received_ns) is not int:  # sqlite3 takes anything
                self.lost[topic]["no bytes, or no time"] += 1
                continue
            if packed[:4] != zstd.MAGIC:
                yield message
                continue
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
            names = {each.id: each.topic for each in self._reader.connections}
            chunks = [each.chunk_start_offset for each in self._reader.chunks]
            known = [*chunks, self._reader.data_end] if chunks else []
            scan = McapScan(self._path, names, known)
        self._last_scan = scan
        yield from scan.messages(topics)


def _described(reader: Any, ros1: bool) -> tuple[tuple[StoredTopic, ...], tuple[int, int] | None]:
    """Return the topics of a reader of the library, and its span.

    Raises:
        ValueError: a database has something else in their place.
    """
    topics = tuple(
        StoredTopic(c.topic, c.msgtype, c.msgcount, "cdr" if ros1 else c.ext.serialization_format)
        for c in reader.connections
    )
    about = reader if ros1 else reader.metadata
    span = (about.start_time, about.end_time - 1) if about.message_count else None
    texts = [text for topic in topics for text in (topic.name, topic.type, topic.encoding)]
    if not all(isinstance(text, str) for text in texts) or (span and type(span[0]) is not int):
        raise ValueError("its topics have no names, or its messages no times")
    return topics, span


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
