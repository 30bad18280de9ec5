# SPDX-License-Identifier: Apache-2.0
"""Which clock a recording is read by, and the times of its states on that clock.

Header stamps are what the driver measured by, and simulated time where there is a simulator; the
recorder's times carry the jitter of the network, and run at another rate than simulated time.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sac_ros.bags.columns import blocks
from sac_ros.bags.result import ClockFacts
from sac_ros.policy.detectors.messages import IN_A_ROW
from sac_ros.utils.errors import BagError

CLOCKS = ("header", "received", "sent")
"""What ``--time`` takes."""

GAP_PERIODS = 3.0
"""Nothing is joined or interpolated across an interval longer than this many periods."""

_SIMULATED = 0.05  # from this difference of the two clocks' rates on
_A_DAY_NS = 86_400 * 10**9

# A clock that advances by so much more than the recorder's was set; simulated time is slower.
_AHEAD_NS = 10**9
_AHEAD_FACTOR = 10


@dataclass(frozen=True)
class Timeline:
    """The states that have a usable time, in the order of recording.

    Attributes:
        kept: [m] their rows among all states.
        time_s: [m] s since the first of them; advances always.
        segment: [m] counts up after every gap.
        period_s: the median interval; 0 for a single state.
        dropped: the reason to how many.
        gaps: how many; longest_gap_s: the longest, 0 without.
        steps: one sentence for each way in which the clock was set.
    """

    kept: NDArray[np.intp]
    time_s: NDArray[np.float64]
    segment: NDArray[np.int32]
    period_s: float
    dropped: Counter[str]
    gaps: int
    longest_gap_s: float
    steps: tuple[str, ...] = ()


def choose_clock(columns: Mapping[str, NDArray[Any]], asked: str, where: str) -> ClockFacts:
    """Choose the clock of a recording by the columns of its states.

    ``asked`` is one of `CLOCKS`, or empty to detect it; ``where`` names the topic.

    Raises:
        BagError: the header's clock was asked for and there is none.
    """
    stamp, received = columns["stamp_ns"], columns["received_ns"]
    has_stamps = bool(np.any(stamp != stamp[0]) or (len(stamp) == 1 and stamp[0]))
    factor = _rate(stamp, received) if has_stamps else None
    if asked == "header" and not has_stamps:
        raise BagError(f"--time header needs stamps, and {where} has none")
    if asked:
        return ClockFacts(asked, f"asked for by --time {asked}", factor)
    if not has_stamps:
        return ClockFacts("received", f"{where} has no header stamps", None)
    if factor is not None and abs(factor - 1.0) > _SIMULATED:
        why = f"header stamps run at {factor:.2f} of the recorder's clock: simulated time"
    elif np.abs(stamp - received).min() > _A_DAY_NS:
        why = "header stamps are of another clock than the recorder's: simulated time"
    else:
        why = f"{where} has header stamps"
    return ClockFacts("header", why, factor)


def _rate(stamp: NDArray[np.int64], received: NDArray[np.int64]) -> float | None:
    """Return the ns of stamps per ns of the recorder's, but for where their clock was set."""
    passed, arrived = np.diff(stamp), np.diff(received)
    usual = (passed > 0) & ~_is_ahead(passed, arrived)
    wall_ns = float(arrived[usual].sum())
    return float(passed[usual].sum()) / wall_ns if wall_ns > 0.0 else None


def _is_ahead(passed: Any, arrived: Any) -> Any:
    """Return of ns that passed by the stamps, and by the recorder, whether the former were set."""
    return passed > _AHEAD_NS + _AHEAD_FACTOR * np.maximum(arrived, 0)


def state_times(columns: Mapping[str, NDArray[Any]], clock: str) -> Timeline:
    """Return the states whose time advances, on the chosen clock; see `StateClock`."""
    name = {"header": "stamp_ns", "received": "received_ns", "sent": "sent_ns"}[clock]
    times = columns[name].astype(np.int64, copy=False)
    kept, time_ns, clock_of = _advancing(times, columns["received_ns"])
    time_s = (time_ns * 1e-9).astype(np.float64, copy=False)
    intervals = np.diff(time_s)
    period = float(np.median(intervals)) if len(intervals) else 0.0
    longer = intervals > GAP_PERIODS * period
    segment = np.concatenate([[0], np.cumsum(longer)]).astype(np.int32)[: len(time_s)]
    longest = float(intervals[longer].max()) if longer.any() else 0.0
    gaps, dropped, steps = int(longer.sum()), clock_of.dropped, clock_of.steps
    return Timeline(kept, time_s, segment, period, dropped, gaps, longest, steps)


class StateClock:
    """The time of joint states one after the other, which never turns back.

    As in the safety filter, a time that does not advance drops its state, and so does one that is
    far ahead of the recorder's. The third in a row is a clock that was set, which is followed from
    there, after an interval of the recorder's length.

    Attributes:
        time_ns: ns since the first state, of the last one whose time advanced.
        dropped: why, to how many.
    """

    def __init__(self) -> None:
        self.time_ns = 0
        self.dropped: Counter[str] = Counter()
        self._newest = self._last_received = 0
        self._in_a_row = -1  # nothing has come yet
        self._first: dict[str, tuple[int, int]] = {}  # by direction: by how much it was set, when
        self._times: Counter[str] = Counter()

    @property
    def steps(self) -> tuple[str, ...]:
        """One sentence for each way in which the clock was set."""
        return tuple(
            f"the clock was set {way} by {by_ns * 1e-9:.3f} s at {at_ns * 1e-9:.3f} s"
            + (f", the first of {self._times[way]} times" if self._times[way] > 1 else "")
            for way, (by_ns, at_ns) in self._first.items()
        )

    def take(self, ns: int, received_ns: int) -> bool:
        """Take the time of the next state, ns, and its receipt; return whether it advances."""
        if self._in_a_row >= 0:
            passed, arrived = ns - self._newest, received_ns - self._last_received
            if wrong := _wrong(passed, arrived):
                self._in_a_row += 1
                if self._in_a_row < IN_A_ROW:
                    self.dropped[wrong] += 1
                    return False
                if passed and self.time_ns:  # or else the very first stamp is the absurd one
                    way = "forward" if passed > 0 else "back"
                    self._times[way] += 1
                    self._first.setdefault(way, (abs(passed - arrived), self.time_ns))
                passed = max(arrived, 1)
            self.time_ns += passed
        self._in_a_row, self._newest, self._last_received = 0, ns, received_ns
        return True


def _wrong(passed: int, arrived: int) -> str:
    """Return why a state is dropped whose stamp came so many ns after the last, or ""."""
    if passed < -_A_DAY_NS or passed > _AHEAD_NS + _AHEAD_FACTOR * max(arrived, 0):
        return "absurd stamp"
    return "" if passed > 0 else "stamp runs backwards" if passed else "stamp repeats"


def _advancing(
    times: NDArray[np.int64], received: NDArray[np.int64]
) -> tuple[NDArray[np.intp], NDArray[np.int64], StateClock]:
    """Return the rows whose time advances, their times since the first, and why others do not."""
    clock = StateClock()
    passed = np.diff(times)
    if np.all((passed > 0) & ~_is_ahead(passed, np.diff(received))):
        return np.arange(len(times)), times - times[:1].sum(), clock
    kept, since = array("q"), array("q")
    for part in blocks(len(times)):
        pairs = zip(times[part].tolist(), received[part].tolist(), strict=True)
        for row, (time, arrival) in enumerate(pairs, part.start):
            if clock.take(time, arrival):
                kept.append(row)
                since.append(clock.time_ns)
    return np.array(kept, dtype=np.intp), np.array(since, dtype=np.int64), clock
