# SPDX-License-Identifier: Apache-2.0
"""The messages of one topic on their way into columns, thousands at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sac_ros.bags.columns import Array, Column, Spool, take_rows
from sac_ros.bags.reader.messages import Message, StoredTopic
from sac_ros.bags.result import StreamFacts
from sac_ros.cdr import CdrError, Layout, read_layout
from sac_ros.utils.errors import ConfigurationError

_WHOLE = ("received_ns", "sent_ns", "stamp_ns", "number")
_FIELDS = ("position", "velocity", "effort")
_LAYOUTS = 16  # shapes tried on a batch; what has more is no publisher but damage


class Stream(ABC):
    """Base of the streams: messages of one topic, in any order.

    Attributes:
        topic, kind: its name and type.
        joints: [n] the bag's names of what it reads.
        columns: of all usable messages, by time of recording, once it is finished:
            ``received_ns``, ``sent_ns`` and ``stamp_ns`` [m], ``number`` [m], its place among all
            messages of the topic, and the values of its messages.
        read: messages that came, or were lost on the way.
        dropped: the reason to how many.
        example: the first thing that was wrong, for an error.
        trailing: messages with bytes behind their end.
    """

    def __init__(self, topic: StoredTopic, spool: Spool, widths: Mapping[str, int]) -> None:
        self.topic = topic.name
        self.kind = topic.type
        self.joints: tuple[str, ...] = ()
        self.columns: dict[str, NDArray[Any]] = {}
        self.read = 0
        self.dropped: Counter[str] = Counter()
        self.example = ""
        self.trailing = 0
        self._spool = spool
        self._widths = dict(widths)
        self._columns = {
            **{name: Column(spool, kind=np.int64) for name in _WHOLE},
            **{name: Column(spool, width) for name, width in widths.items()},
        }
        self._layouts: dict[int, list[Layout]] = {}
        self._first = self._number = 0

    def add(self, messages: list[Message], first: int = 0) -> None:
        """Take messages of this topic; ``first`` is the number of the first in their bag."""
        if not messages:
            return
        _, received, sent, raws = zip(*messages, strict=True)
        count = len(raws)
        if first != self._first:
            self._first, self._number = first, first
        numbers = np.arange(self._number, self._number + count)
        self._number += count
        self.read += count
        keep = np.zeros(count, dtype=bool)
        stamps = np.zeros(count, dtype=np.int64)
        values = {name: np.empty((count, width)) for name, width in self._widths.items()}
        sizes = np.fromiter(map(len, raws), np.int64, count)
        for size in np.unique(sizes).tolist():
            rows = np.flatnonzero(sizes == size)
            same = raws if len(rows) == count else [raws[row] for row in rows.tolist()]
            block = np.frombuffer(b"".join(same), dtype=np.uint8).reshape(len(rows), size)
            for layout, part in self._by_shape(size, block):
                if reason := self._refusal(layout):
                    self._drop(reason, len(part))
                    continue
                self.trailing += len(part) if layout.trailing else 0
                chosen = block if len(part) == len(block) else block[part]
                keep[rows[part]] = True
                stamps[rows[part]] = layout.stamps_ns(chosen)
                for name, column in self._values(layout, chosen).items():
                    values[name][rows[part]] = column
        times = {"received_ns": _as_ns(received), "sent_ns": _as_ns(sent), "stamp_ns": stamps}
        times["number"] = numbers
        columns: dict[str, NDArray[Any]] = {**times, **values}
        for name, column in columns.items():
            self._columns[name].append(column[keep])

    def lose(self, lost: Counter[str]) -> None:
        """Count messages that could not be handed over: the reason to how many."""
        self.read += lost.total()
        self.dropped += lost

    def finish(self) -> None:
        """Fill `columns`."""
        self.columns = {name: column.array() for name, column in self._columns.items()}
        self._columns.clear()
        times = self.columns["received_ns"]
        if np.any(times[1:] < times[:-1]):  # bags that overlap
            order = np.argsort(times, kind="stable")
            self.columns = {n: take_rows(self._spool, c, order) for n, c in self.columns.items()}

    def facts(
        self, used: int, dropped: Counter[str], period_s: float, gaps: int = 0, gap_s: float = 0.0
    ) -> StreamFacts:
        """Return the facts of the stream; a period of 0 s is unknown."""
        why, rate = dict(sorted((+dropped).items())), 1.0 / period_s if period_s > 0.0 else None
        about = self.topic, self.kind, self.joints, self.read
        return StreamFacts(*about, used, why, rate, gaps, gap_s)

    @abstractmethod
    def _refusal(self, layout: Layout) -> str:
        """Return why messages of this shape cannot be used; empty when they can."""

    @abstractmethod
    def _values(self, layout: Layout, block: NDArray[np.uint8]) -> dict[str, Array]:
        """Return the columns of messages of one shape."""

    def _by_shape(
        self, size: int, block: NDArray[np.uint8]
    ) -> list[tuple[Layout, NDArray[np.intp]]]:
        """Return every shape among messages of one size, with the rows that have it."""
        rest = np.arange(len(block))
        found = []
        layouts = self._layouts.setdefault(size, [])
        for layout in layouts:
            same = layout.matches(block[rest] if len(rest) < len(block) else block)
            found.append((layout, rest[same]))
            rest = rest[~same]
            if not len(rest):
                break
        while len(rest):
            try:
                layout = read_layout(block[rest[0]].tobytes(), self.kind)
            except CdrError as error:
                self._drop("cannot be decoded", 1, str(error))
                rest = rest[1:]
                continue
            if len(layouts) < _LAYOUTS:
                layouts.append(layout)
                same = layout.matches(block[rest])
            else:
                same = np.arange(len(rest)) == 0
            found.append((layout, rest[same]))
            rest = rest[~same]
        return [(layout, rows) for layout, rows in found if len(rows)]

    def _drop(self, reason: str, count: int, example: str = "") -> None:
        self.dropped[reason] += count
        self.example = self.example or example or reason


class JointStream(Stream):
    """Joint states in the policy's joint order: position, velocity, effort, each [m, n].

    Trajectories of one point, too; with several it is open which torque answers a state.
    """

    def __init__(
        self,
        topic: StoredTopic,
        spool: Spool,
        joints: Sequence[str],
        needed: Sequence[str],
        fields: Sequence[str] = _FIELDS,
    ) -> None:
        """Reads some joints [n] by their names in the bag, and only some fields.

        Of position, velocity and effort, those ``needed`` must be filled; others may be empty and
        are then NaN.
        """
        super().__init__(topic, spool, dict.fromkeys(fields, len(joints)))
        self.joints = tuple(joints)
        self._needed = tuple(needed)

    def _refusal(self, layout: Layout) -> str:
        if layout.points != 1:
            return f"trajectory of {'several' if layout.points else 'no'} points"
        missing = [joint for joint in self.joints if layout.names.count(joint) != 1]
        if len(missing) == len(self.joints):
            return "has none of the policy's joints"
        if missing:
            twice = missing[0] in layout.names
            return f"joint {missing[0]} {'stands twice' if twice else 'is missing'}"
        for field in _FIELDS:
            count = layout.arrays[field][1]
            if count != len(layout.names) and (count or field in self._needed):
                return f"{field} has {count} values for {len(layout.names)} joints"
        return ""

    def _values(self, layout: Layout, block: NDArray[np.uint8]) -> dict[str, Array]:
        index = [layout.names.index(joint) for joint in self.joints]
        return {
            field: layout.doubles(block, field)[:, index]
            if layout.arrays[field][1]
            else np.full((len(block), len(index)), np.nan)
            for field in self._widths
        }


class NumberStream(Stream):
    """Arrays of numbers without names, [m, n]; `order` are the names of the joints in them."""

    def __init__(
        self, topic: StoredTopic, spool: Spool, joints: Sequence[str], order: Sequence[str]
    ) -> None:
        """Reads ``data``, in the order of the bag's names of the joints [n] or in another.

        ``order`` may have values of no interest: other joints, or ``_``.

        Raises:
            ConfigurationError: ``order`` has not each of the joints once.
        """
        super().__init__(topic, spool, {"effort": len(joints)})
        self.joints, self.order = tuple(joints), tuple(order) or tuple(joints)
        if any(self.order.count(name) != 1 for name in joints):
            raise ConfigurationError(
                f"--command-joints must name each of {', '.join(joints)} once, in the order of a "
                f"command (_: of no interest); got {', '.join(order)}"
            )
        self._index = [self.order.index(name) for name in joints]

    def _refusal(self, layout: Layout) -> str:
        count = layout.arrays["data"][1]
        return "" if count == len(self.order) else f"{count} values, not {len(self.order)}"

    def _values(self, layout: Layout, block: NDArray[np.uint8]) -> dict[str, Array]:
        return {"effort": layout.doubles(block, "data")[:, self._index]}


class PoseStream(Stream):
    """Goal poses, of which only the times are kept: the control loop gets the goals itself."""

    def __init__(self, topic: StoredTopic, spool: Spool) -> None:
        super().__init__(topic, spool, {})

    def _refusal(self, layout: Layout) -> str:  # noqa: ARG002 - any pose will do
        return ""

    def _values(self, layout: Layout, block: NDArray[np.uint8]) -> dict[str, Array]:  # noqa: ARG002
        return {}


def _as_ns(values: Sequence[int]) -> NDArray[np.int64]:
    """Return times as an array; beyond 2^63 ns, the year 2262, they are damage and wrap."""
    try:
        return np.array(values, dtype=np.int64)
    except OverflowError:
        wrapped = np.array([value % 2**64 for value in values], dtype=np.uint64)
        return wrapped.astype(np.int64)
