# SPDX-License-Identifier: Apache-2.0
"""The rows of a damaged .db3: those before and behind the pages that cannot be read."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

from sac_ros.bags.reader import sqlite_limits
from sac_ros.bags.reader.messages import Message, StoredTopic

_LAST = 2**62  # a row number that no recorder reaches
_MOST_HOLES = 10_000  # then the rest is lost, too


class SqliteSalvage:
    """One database, read by ranges of row numbers.

    Attributes:
        topics: what was found, with so many messages as can be read.
        span_ns: times of the first and last of them; None without.
        lost: rows that cannot be read, of whatever topic, at least.
    """

    def __init__(self, path: Path) -> None:
        """Reads topics and times once through.

        Raises:
            sqlite3.Error: not even the topics can be read.
        """
        self._size = path.stat().st_size
        self._db = sqlite_limits.connect(path)
        columns = "id, name, type, serialization_format"
        self._about = self._db.execute(f"SELECT {columns} FROM topics").fetchall()
        if not all(isinstance(text, str) for row in self._about for text in row[1:]):
            raise sqlite3.DatabaseError("its topics have no names")
        self._holes: list[tuple[int, int]] = []
        counts: Counter[int] = Counter()
        first, last = 2**63, -(2**63)
        for _, topic, time_ns, _ in self._rows("NULL"):
            counts[topic] += 1
            first, last = min(first, time_ns), max(last, time_ns)
        self.span_ns = (first, last) if counts else None
        self.topics = tuple(
            StoredTopic(name, kind, counts[key], encoding)
            for key, name, kind, encoding in self._about
        )
        self.lost = max(0, self._count() - counts.total()) if self._holes else 0

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    @property
    def damage(self) -> str:
        """Which rows cannot be read; empty where all can."""
        rows = [f"{a} to {b}" if b < _LAST else f"from {a} on" for a, b in self._holes[:3]]
        more = f" and in {len(self._holes) - 3} more places" if self._holes[3:] else ""
        return f"rows {', '.join(rows)}{more} are damaged" if rows else ""

    def messages(self, topics: Collection[str], after_ns: int) -> Iterator[Message]:
        """Yield the messages of some topics, recorded after a time, by their row number."""
        wanted = {key: name for key, name, _, _ in self._about if name in topics}
        for _, topic, time_ns, data in self._rows("data"):
            if topic in wanted and time_ns > after_ns and isinstance(data, bytes):
                yield wanted[topic], time_ns, time_ns, data

    def _count(self) -> int:
        """Return how many rows there were: by the index of their times, or else their numbers."""
        try:  # count(*) would be one step, which nothing interrupts
            (count,) = self._db.execute("SELECT count(id) FROM messages").fetchone()
        except sqlite3.DatabaseError:
            return max((a - 1 for a, b in self._holes if b == _LAST), default=self._end)
        return int(count)

    def _rows(self, data: str) -> Iterator[tuple[int, int, int, bytes | None]]:
        at, held, self._holes = 1, 0, []
        query = f"SELECT id, topic_id, timestamp, {data} FROM messages WHERE id >= ? ORDER BY id"
        while at < _LAST:
            try:
                for row in self._db.execute(query, (at,)):
                    if row[0] < at:
                        raise sqlite3.DatabaseError("rows out of order")
                    held += sum(len(each) for each in row[1:] if isinstance(each, (bytes, str)))
                    at = row[0] + 1 if held <= self._size else _LAST
                    if at == _LAST:
                        self._holes.append((row[0], _LAST))
                        break
                    if isinstance(row[1], int) and isinstance(row[2], int):
                        yield row
            except sqlite3.DatabaseError:
                behind = self._behind(query, at) if len(self._holes) < _MOST_HOLES else _LAST
                self._holes.append((at, behind - 1 if behind < _LAST else _LAST))
                at = behind
            else:
                break
        self._end = at - 1

    def _behind(self, query: str, at: int) -> int:
        """Return the first row number from which can be read on; `_LAST` where there is none."""

        def is_readable(row: int) -> bool:
            try:
                self._db.execute(query + " LIMIT 1", (row,)).fetchone()
            except sqlite3.DatabaseError:
                return False
            return True

        step = 1
        while not is_readable(at + step):
            step *= 2
            if at + step >= _LAST:
                return _LAST
        bad, good = at + step // 2, at + step
        while good - bad > 1:
            middle = (bad + good) // 2
            bad, good = (bad, middle) if is_readable(middle) else (middle, good)
        return good
