# SPDX-License-Identifier: Apache-2.0
"""What a .db3 may cost: a few pages that lead to each other can pose as rows without an end."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw

_STEPS, _STEPS_PER_BYTE = 2**28, 64  # of SQLite's machine; a row takes some twenty
_AT_A_TIME = 2**16
_SMALLEST_ROW = 8  # bytes
_LARGEST_TABLE = 10_000  # rows; there are two or three for each topic
_INDEX = "CREATE INDEX timestamp_idx ON messages (timestamp ASC)"
_ABOUT = ("topics", "schema", "metadata", "message_definitions")


def connect(path: Path) -> sqlite3.Connection:
    """Open a database to read, with an end to every query and of the expected tables only.

    Raises:
        sqlite3.Error: it is damaged, or not what a recorder writes.
    """
    database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
    try:
        size = path.stat().st_size
        _limit(database, size)
        _check_tables(database, size)
    except BaseException:
        database.close()
        raise
    return database


def check(path: Path) -> None:
    """Check that a database is one that the ``rosbags`` library can read in bounded memory.

    It holds tables of topics at once and may sort messages on the disk, which their pages cannot
    be relied upon for: a page may be there many times.

    Raises:
        sqlite3.Error: it is not, or damaged.
    """
    database, size = connect(path), path.stat().st_size
    try:
        query = "SELECT sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'messages'"
        for (sql,) in database.execute(query):
            if " ".join(str(sql).split()) != _INDEX:
                raise sqlite3.DatabaseError("messages has an index that no recorder writes")
        # What is no blob or no number would be loaded to be measured: a thousandth of the file.
        numbers = "typeof(topic_id) = 'integer' AND typeof(timestamp) = 'integer'"
        measured = f"CASE WHEN {numbers} AND typeof(data) = 'blob' THEN length(data) ELSE ? END"
        query = f"SELECT count(*), total({measured}) FROM messages NOT INDEXED"
        rows, held = database.execute(query, (size / 1000,)).fetchone()
        if rows > size / _SMALLEST_ROW or held > size:
            raise sqlite3.DatabaseError(
                f"it claims {rows} messages of {held:.0f} bytes, more than its own {size}"
            )
    finally:
        database.close()


@contextmanager
def limited(path: Path) -> Iterator[None]:
    """Limit every connection to the database that the ``rosbags`` library makes meanwhile."""
    size = path.stat().st_size

    def limit(database: Any) -> None:
        _limit(database, size)

    apsw.connection_hooks.append(limit)
    try:
        yield
    finally:
        apsw.connection_hooks.remove(limit)


def _limit(database: Any, size: int) -> None:
    """Interrupt a connection, of sqlite3 or apsw, after what no sound file of a size takes."""
    steps = iter(range((_STEPS + _STEPS_PER_BYTE * size) // _AT_A_TIME))
    database.set_progress_handler(lambda: next(steps, None) is None, _AT_A_TIME)


def _check_tables(database: sqlite3.Connection, size: int) -> None:
    """Check that tables are tables, without computed columns; and all of them but messages."""
    query = "SELECT type, rootpage FROM sqlite_master WHERE name = ?"
    for table in ("messages", *_ABOUT):
        found = database.execute(query, (table,)).fetchall()
        if not found and table in _ABOUT[1:]:
            continue
        if len(found) != 1 or found[0][0] != "table" or not found[0][1]:
            raise sqlite3.DatabaseError(f"it must have one table named {table}")
        if any(column[-1] for column in database.execute(f"PRAGMA table_xinfo({table})")):
            raise sqlite3.DatabaseError(f"{table} has columns that are computed")
        if table == "messages":
            continue
        held = 0
        for rows, row in enumerate(database.execute(f"SELECT * FROM {table}"), 1):
            held += sum(len(value) for value in row if isinstance(value, (str, bytes)))
            if rows > _LARGEST_TABLE or held > size:
                raise sqlite3.DatabaseError(
                    f"{table} must have at most {_LARGEST_TABLE} rows, of {size} bytes together"
                )
