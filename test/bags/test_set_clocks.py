# SPDX-License-Identifier: Apache-2.0
"""A stamp that cannot be is dropped, and a clock that was set is named, wherever time is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bag_maker import START_NS, STATES, Motion, write_bag

from sac_ros.bags.clock import state_times
from sac_ros.bags.events import ReplayTopics, timed_events
from sac_ros.bags.reader.bag import Bag


def _found(evaluated: Any, tmp_path: Path, stamps: list[int]) -> tuple[dict[str, Any], str]:
    motion = Motion(stamps=stamps.__getitem__)
    found = evaluated(write_bag(tmp_path / "bag", motion.entries()))
    return found["recording"], "; ".join(found["warnings"])


def _stamps(first: int = START_NS) -> list[int]:
    return [first + i * 10_000_000 for i in range(300)]


@pytest.mark.parametrize("bit", [32, 40, 59])
@pytest.mark.parametrize("row", [1, 150, 299])
def test_a_stamp_with_a_flipped_bit_is_dropped_and_is_no_gap(
    tmp_path: Path, evaluated: Any, bit: int, row: int
) -> None:
    stamps = _stamps()
    stamps[row] = (stamps[row] // 10**9 ^ 1 << bit - 30) * 10**9 + stamps[row] % 10**9
    recording, _ = _found(evaluated, tmp_path, stamps)
    states = recording["states"]
    assert sum(states["dropped"].values()) == 1
    assert (states["used"], states["gaps"]) == (299, 0)
    assert recording["clock"]["factor"] == pytest.approx(1.0)
    assert "simulated" not in recording["clock"]["why"]


@pytest.mark.parametrize("seconds", [1.5, 9.0, 40_000_000.0])
def test_a_clock_set_back_is_named_and_is_no_simulated_time(
    tmp_path: Path, evaluated: Any, seconds: float
) -> None:
    stamps = _stamps()
    stamps[150:] = [stamp - int(seconds * 1e9) for stamp in stamps[150:]]
    recording, warnings = _found(evaluated, tmp_path, stamps)
    assert f"the clock was set back by {seconds:.3f} s at 1.490 s" in warnings
    assert "simulated" not in recording["clock"]["why"]
    assert recording["states"]["used"] == 298
    assert recording["end_s"] == pytest.approx(2.99)


@pytest.mark.parametrize("seconds", [5.0, 3_000_000.0])
def test_a_clock_set_forward_is_named_and_is_no_gap(
    tmp_path: Path, evaluated: Any, seconds: float
) -> None:
    stamps = _stamps()
    stamps[150:] = [stamp + int(seconds * 1e9) for stamp in stamps[150:]]
    recording, warnings = _found(evaluated, tmp_path, stamps)
    assert f"the clock was set forward by {seconds:.3f} s at 1.490 s" in warnings
    assert recording["states"]["longest_gap_s"] < 0.05
    assert recording["end_s"] == pytest.approx(2.99)


def test_a_gap_in_both_clocks_is_a_gap_and_no_step(tmp_path: Path, evaluated: Any) -> None:
    states = Motion(count=1000)
    gone = range(200, 800)
    times = {states.time_ns(i) for i in gone}
    bag = write_bag(tmp_path / "bag", [e for e in states.entries() if e.time_ns not in times])
    found = evaluated(bag)
    assert found["recording"]["states"]["gaps"] == 1
    assert found["recording"]["states"]["longest_gap_s"] == pytest.approx(6.01)
    assert not any("was set" in warning for warning in found["warnings"])


def test_a_replay_and_an_evaluation_tell_the_same_times(tmp_path: Path) -> None:
    stamps = _stamps()
    stamps[40] += 2**58
    stamps[150:] = [stamp - 9 * 10**9 for stamp in stamps[150:]]
    stamps[220:] = [stamp + 30 * 10**9 for stamp in stamps[220:]]
    motion = Motion(stamps=stamps.__getitem__)
    received = [motion.time_ns(i) for i in range(300)]
    line = state_times({"stamp_ns": np.array(stamps), "received_ns": np.array(received)}, "header")
    with Bag(write_bag(tmp_path / "bag", motion.states())) as bag:
        topics = ReplayTopics(STATES)
        replayed = [e.time for e in timed_events([bag], topics) if e.kind == "state"]
    assert [replayed[row] for row in line.kept] == pytest.approx(line.time_s.tolist())
