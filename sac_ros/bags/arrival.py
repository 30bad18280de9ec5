# SPDX-License-Identifier: Apache-2.0
"""When commands without stamps came, on the clock of the states, and how far that can be off."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sac_ros.bags.columns import Array

_BLOCK = 64  # states over which both clocks are compared: their median is free of jitter
_OFF = 0.95  # quantile of the deviations that counts as the jitter
_FEWEST = 16  # times without which no jitter is known


def arrival_times(
    arrived_ns: NDArray[np.int64], received_ns: NDArray[np.int64], time_s: Array
) -> tuple[Array, float]:
    """Return times of arrival on the clock of the states, s, and their jitter, s.

    The clock of the states is the recorder's, times the ratio of their rates, plus what the median
    of each 64 states is the path: it follows a clock that drifts, and has none of their jitter.
    The jitter is the 95th percentile of how far a state is off by this; where the states' own
    times are those of arrival, how far they are off an even rate.

    Args:
        arrived_ns: [c] when the commands were recorded.
        received_ns: [m] when the states were.
        time_s: [m] s, the states on their clock.
    """
    since = (received_ns - received_ns[0]) * 1e-9
    span = float(since[-1])
    rate = float(time_s[-1] - time_s[0]) / span if span > 0.0 else 1.0
    apart = time_s - rate * since
    rows = max(len(apart) // _BLOCK, 1)
    blocks = np.array_split(np.arange(len(apart)), rows)
    middle = np.array([np.median(since[each]) for each in blocks])
    usual = np.array([np.median(apart[each]) for each in blocks])
    apart -= np.interp(since, middle, usual)
    jitter = float(np.quantile(np.abs(apart, out=apart), _OFF, overwrite_input=True))
    arrived = (arrived_ns - received_ns[0]) * 1e-9
    found = rate * arrived + np.interp(arrived, middle, usual)
    return found, max(jitter, _unevenness(time_s)) if jitter < 1e-6 else jitter


def _unevenness(time_s: Array) -> float:
    """Return the 95th percentile of how far times are off a line through each 64, s."""
    if len(time_s) < _FEWEST:
        return 0.0
    off = []
    for each in np.array_split(time_s, max(len(time_s) // _BLOCK, 1)):
        usual = float(np.median(np.diff(each)))
        # What is lost leaves a hole, and a hole moves what comes after it by whole periods.
        place = (
            np.cumsum(np.concatenate([[0.0], np.maximum(np.rint(np.diff(each) / usual), 1.0)]))
            if usual > 0.0
            else np.arange(float(len(each)))
        )
        line = np.polynomial.Polynomial.fit(place, each, 1)
        off.append(np.abs(each - line(place)))
    return float(np.quantile(np.concatenate(off), _OFF))
