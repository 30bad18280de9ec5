# SPDX-License-Identifier: Apache-2.0
"""A bag of one or more storage files as one stream of messages."""

from __future__ import annotations

import hashlib
import tempfile
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from sac_ros.bags.reader import zstd
from sac_ros.bags.reader.bag_files import find_bag_files, storage_kind
from sac_ros.bags.reader.messages import Message, StoredTopic
from sac_ros.bags.reader.storage import DAMAGE, StorageFile
from sac_ros.bags.result import BagFacts, TopicFacts
from sac_ros.utils.errors import BagError


class Bag:
    """An opened bag; close it, or use it in a ``with``.

    Attributes:
        path: as it was given.
        topics: what is in it, by name; counts summed over its files.
        span_ns: times of the first and last message by recording.
    """

    def __init__(self, path: Path, sent: bool = False) -> None:
        """Opens every file of a folder, or one storage file.

        ``sent``: whether `Message` must carry the time of sending.

        Raises:
            BagError: there is no bag, it has no messages, or they are not serialised as CDR.
        """
        self.path = path
        self._found = find_bag_files(path)
        self._unpacked = tempfile.TemporaryDirectory(prefix="sac_ros_bag_")
        self._files: list[StorageFile] = []
        self._kinds: list[str] = []
        try:
            for file in self._found.files:
                self._add(file, sent)
            self._check()
        except BaseException:
            self.close()
            raise
        self._files.sort(key=lambda file: file.span_ns or (0, 0))

    def __enter__(self) -> Bag:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files and remove what was unpacked."""
        for file in self._files:
            file.close()
        self._unpacked.cleanup()

    @property
    def topics(self) -> dict[str, StoredTopic]:
        """Every topic by name; one that has messages of two types is refused when it is used."""
        topics = merged(topic for file in self._files for topic in file.topics)
        encodings = self._found.encodings
        return {
            name: replace(topic, encoding=encodings.get(name, topic.encoding))
            for name, topic in sorted(topics.items())
        }

    @property
    def span_ns(self) -> tuple[int, int]:
        """Times of the first and last message."""
        spans = [file.span_ns for file in self._files if file.span_ns]
        return min(first for first, _ in spans), max(last for _, last in spans)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is odd about it; complete once it was read."""
        odd = list(self._found.warnings)
        for file in self._files:
            odd += [*file.warnings, *filter(None, [file.damage])]
        count = sum(topic.messages for topic in self.topics.values())
        expected = self._found.expected
        if expected is not None and count != expected:
            odd.append(f"metadata.yaml promises {expected} messages, {count} are there")
        logs = [file.with_name(file.name + "-wal") for file in self._found.files]
        for log in (log for log in logs if log.is_file() and log.stat().st_size):
            odd.append(f"{log.name} holds messages that sqlite3 never merged; they are missing")
        return tuple(odd)

    def batches(self, topics: Collection[str]) -> Iterator[list[Message]]:
        """Yield the messages of some topics, file after file in the order of their beginning."""
        for file in self._files:
            yield from file.batches(topics)

    def lost(self, topic: str) -> Counter[str]:
        """Return why how many messages of a topic were not in `batches`, when it is at its end.

        Where a damaged file does not list what it had, metadata.yaml may.
        """
        lost = sum((file.lost.get(topic, Counter()) for file in self._files), Counter[str]())
        if not all(file.complete for file in self._files) and topic in self._found.promised:
            seen = sum(file.seen[topic] for file in self._files)
            lost[DAMAGE] = max(0, self._found.promised[topic] - seen)
        return lost

    @property
    def damage(self) -> str:
        """What was left out when it was last read to its end; empty where nothing."""
        return "; ".join(file.damage for file in self._files if file.damage)

    def facts(self, roles: dict[str, str]) -> BagFacts:
        """Describe the bag; ``roles`` has what its topics are used for."""
        first, last = self.span_ns
        return BagFacts(
            path=str(self.path),
            sha256=_sha256(self._found.files),
            storage=self._kinds[0],
            bytes=sum(file.stat().st_size for file in self._found.files),
            duration_s=(last - first) * 1e-9,
            topics=tuple(
                TopicFacts(topic.name, topic.type, topic.messages, roles.get(topic.name, ""))
                for topic in self.topics.values()
            ),
            warnings=self.warnings,
        )

    def _add(self, file: Path, sent: bool) -> None:
        kind = storage_kind(file)
        if kind == "zstd":
            file = zstd.decompress_file(file, Path(self._unpacked.name))
            kind = storage_kind(file)
        self._files.append(StorageFile(file, kind, sent))
        self._kinds.append(kind)

    def _check(self) -> None:
        if all(file.span_ns is None for file in self._files):
            odd = "".join(f"; {warning}" for warning in self.warnings)
            raise BagError(f"bag {self.path} has no messages{odd}")
        found = sorted({topic.encoding for topic in self.topics.values() if topic.messages})
        if found and "cdr" not in found:
            raise BagError(
                f"bag {self.path}: messages must be serialised as cdr; got {', '.join(found)}"
            )


def merged(topics: Iterable[StoredTopic]) -> dict[str, StoredTopic]:
    """Return topics by name, their messages counted together, as the largest of each is."""
    found: dict[str, StoredTopic] = {}
    for topic in topics:
        known = found.get(topic.name, topic)
        count = topic.messages + (known.messages if topic.name in found else 0)
        found[topic.name] = replace(max(known, topic, key=lambda t: t.messages), messages=count)
    return found


def _sha256(files: tuple[Path, ...]) -> str:
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as data:
            while block := data.read(2**20):
                digest.update(block)
    return digest.hexdigest()
