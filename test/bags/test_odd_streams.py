# SPDX-License-Identifier: Apache-2.0
"""Odd clocks, odd fields, odd messages: each is used, counted, or refused with one sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bag_maker import START_NS, STATES, Entry, Motion, joint_state, write_bag
from evaluate_command import is_exact
from tiny_policy import JOINTS

# ---- clocks ------------------------------------------------------------------------------------


def test_simulated_stamps_are_detected_and_are_the_clock(tmp_path: Path, evaluated: Any) -> None:
    # The simulator runs at half of real time, so a second of stamps takes two of the recorder's.
    motion = Motion(rate_hz=50.0, stamps=lambda i: 5_000_000_000 + i * 10_000_000, factor=0.5)
    bag = write_bag(tmp_path / "bag", motion.entries())
    found = evaluated(bag)
    clock = found["recording"]["clock"]
    assert clock["name"] == "header"
    assert clock["factor"] == pytest.approx(0.5)
    assert "0.50 of the recorder's clock: simulated time" in clock["why"]
    assert found["recording"]["states"]["rate_hz"] == pytest.approx(100.0)
    assert found["recording"]["commands"]["rate_hz"] == pytest.approx(100.0)
    assert is_exact(found)
    wall = evaluated(bag, "--time", "received")
    assert wall["recording"]["clock"]["name"] == "received"
    assert wall["recording"]["states"]["rate_hz"] == pytest.approx(50.0)


def test_states_without_stamps_are_judged_by_the_recorders_clock(
    tmp_path: Path, evaluated: Any, refused: Any
) -> None:
    bag = write_bag(tmp_path / "bag", Motion(stamps=lambda i: 0).entries())
    found = evaluated(bag)
    assert found["recording"]["clock"]["name"] == "received"
    assert "no header stamps" in found["recording"]["clock"]["why"]
    assert is_exact(found)
    assert "--time header needs stamps" in refused(bag, "--time", "header")


def test_times_of_sending_are_read_from_mcap(tmp_path: Path, evaluated: Any) -> None:
    bag = write_bag(tmp_path / "bag", Motion().entries(), "mcap")
    found = evaluated(bag, "--time", "sent")
    assert found["recording"]["clock"]["name"] == "sent"
    assert is_exact(found)


# ---- what is not filled ------------------------------------------------------------------------


def test_effort_of_zero_and_a_still_velocity_count_as_not_filled(
    tmp_path: Path, evaluated: Any
) -> None:
    motion = Motion()
    entries = motion.goals()
    for i in range(motion.count):
        position, velocity = motion.state(i)
        velocity[1] = 0.0
        cdr = joint_state(motion.time_ns(i), JOINTS, position, velocity, np.zeros(3))
        entries.append(Entry(STATES, "states", motion.time_ns(i), cdr))
    found = evaluated(write_bag(tmp_path / "bag", entries))
    assert not found["recording"]["effort_filled"]
    assert found["recording"]["still_joints"] == ["elbow"]
    assert any("effort is not filled" in warning for warning in found["warnings"])
    assert any("the velocity of elbow never changes" in each for each in found["warnings"])


def test_states_without_velocities_are_refused_with_the_field(
    tmp_path: Path, refused: Any
) -> None:
    motion = Motion()
    entries = [
        Entry(STATES, "states", motion.time_ns(i), joint_state(1 + i, JOINTS, motion.state(i)[0]))
        for i in range(20)
    ]
    message = refused(write_bag(tmp_path / "bag", entries))
    assert "velocity has 0 values for 3 joints" in message


def test_commands_that_begin_late_are_evaluated_where_they_overlap(
    tmp_path: Path, evaluated: Any
) -> None:
    motion = Motion()
    late = motion.commands()[120:]
    found = evaluated(write_bag(tmp_path / "bag", [*motion.states(), *motion.goals(), *late]))
    assert is_exact(found, 180)
    assert found["recording"]["first_command_s"] == pytest.approx(1.2)
    assert found["recording"]["start_s"] == 0.0


def test_commands_without_a_state_before_them_are_counted(tmp_path: Path, evaluated: Any) -> None:
    motion = Motion()
    entries = [*motion.states()[100:], *motion.goals(), *motion.commands()]
    found = evaluated(write_bag(tmp_path / "bag", entries))
    assert is_exact(found, 200)
    assert found["recording"]["commands"]["dropped"] == {"no state shortly before it": 100}


def test_commands_after_the_last_state_answer_none(tmp_path: Path, evaluated: Any) -> None:
    motion = Motion()
    entries = [*motion.states()[:200], *motion.goals(), *motion.commands()]
    found = evaluated(write_bag(tmp_path / "bag", entries))
    dropped = found["recording"]["commands"]["dropped"]
    assert dropped["no state shortly before it"] == 98  # two more may be late
    assert found["models"][0]["errors"][0]["samples"] == 200


def test_a_torque_with_a_stamp_belongs_to_that_state_whenever_it_came(
    tmp_path: Path, evaluated: Any
) -> None:
    motion = Motion()
    entries = [each for i, each in enumerate(motion.states()) if i % 3]
    for i in range(motion.count):
        cdr = joint_state(motion.time_ns(i), JOINTS, effort=motion.command(i))
        late = motion.time_ns(i) + 35_000_000  # three states later
        entries.append(Entry("/policy_node/policy_torque", "states", late, cdr))
    found = evaluated(write_bag(tmp_path / "bag", [*entries, *motion.goals()]))
    assert is_exact(found, 200)
    assert found["recording"]["commands"]["dropped"] == {"answers no state in the bag": 100}


def test_bags_that_overlap_are_put_in_order(tmp_path: Path, evaluated: Any) -> None:
    entries = Motion().entries()
    bags = [write_bag(tmp_path / f"{i}", entries[i::2]) for i in range(2)]
    found = evaluated(*bags, "--join")
    assert is_exact(found)
    assert found["recording"]["states"]["dropped"] == {}


# ---- messages ----------------------------------------------------------------------------------


def test_trailing_bytes_are_read_over_counted_and_warned_of(
    tmp_path: Path, evaluated: Any
) -> None:
    entries = [
        Entry(each.topic, each.kind, each.time_ns, each.cdr + b"\xff" * 8)
        if each.topic == STATES
        else each
        for each in Motion().entries()
    ]
    found = evaluated(write_bag(tmp_path / "bag", entries))
    assert is_exact(found)
    assert any("300 messages have bytes behind their end" in each for each in found["warnings"])


def test_single_messages_that_are_damaged_are_counted(tmp_path: Path, evaluated: Any) -> None:
    motion = Motion()
    entries = motion.entries()
    for i in (3, 70, 200):
        entries[i].cdr = entries[i].cdr[:50]
    found = evaluated(write_bag(tmp_path / "bag", entries))
    assert found["recording"]["states"]["dropped"] == {"cannot be decoded": 3}
    assert found["recording"]["states"]["used"] == 297


def test_json_under_a_ros_type_name_is_refused(tmp_path: Path, refused: Any) -> None:
    raw = json.dumps({"name": list(JOINTS), "position": [0, 0, 0]}).encode()
    entries = [Entry(STATES, "states", START_NS + i, raw) for i in range(5)]
    message = refused(write_bag(tmp_path / "bag", entries))
    assert "not plain CDR" in message
    assert '{"name"' in message


def test_a_state_that_is_not_finite_or_absurd_is_dropped(tmp_path: Path, evaluated: Any) -> None:
    motion = Motion()
    entries = motion.entries()
    entries[9].cdr = joint_state(motion.time_ns(9), JOINTS, [np.nan, 0, 0], [0, 0, 0])
    entries[19].cdr = joint_state(motion.time_ns(19), JOINTS, [0, 0, 0], [0, 1e200, 0])
    found = evaluated(write_bag(tmp_path / "bag", entries))
    assert found["recording"]["states"]["dropped"] == {"not finite, or 1e+09 and more": 2}


def test_stamps_that_repeat_or_run_backwards_are_counted(tmp_path: Path, evaluated: Any) -> None:
    motion = Motion()
    stamps = [motion.time_ns(i) for i in range(300)]
    stamps[50], stamps[120] = stamps[49], stamps[110]
    motion.stamps = stamps.__getitem__
    found = evaluated(write_bag(tmp_path / "bag", motion.entries()))
    dropped = found["recording"]["states"]["dropped"]
    assert dropped == {"stamp repeats": 1, "stamp runs backwards": 1}
    assert found["recording"]["states"]["used"] == 298


def test_a_clock_that_was_set_back_is_followed_and_time_goes_on(
    tmp_path: Path, evaluated: Any
) -> None:
    stamps = [10**10 + i * 10**7 if i < 150 else 10**9 + i * 10**7 for i in range(300)]
    motion = Motion(stamps=stamps.__getitem__)
    found = evaluated(write_bag(tmp_path / "bag", motion.entries()))
    assert found["recording"]["states"]["used"] == 298
    assert found["recording"]["end_s"] == pytest.approx(2.99)


def test_nothing_is_interpolated_across_a_gap(tmp_path: Path, evaluated: Any) -> None:
    motion = Motion()
    entries = [
        each
        for each in motion.entries()
        if not motion.time_ns(100) <= each.time_ns < motion.time_ns(200)
    ]
    found = evaluated(write_bag(tmp_path / "bag", entries))
    states = found["recording"]["states"]
    assert (states["gaps"], states["longest_gap_s"]) == (1, pytest.approx(1.01))
    assert any("nothing is interpolated" in warning for warning in found["warnings"])
    assert is_exact(found, 199)  # the state after the gap finds the watchdog's fault
    faults = {each["kind"]: each["count"] for each in found["models"][0]["faults"]}
    assert faults == {"watchdog": 1}
    # A jump over the gap would be a step as no other.
    policy = found["models"][0]["smoothness"][0]
    steps = np.abs(np.diff([motion.command(i) for i in range(100)], axis=0)).max(axis=0)
    assert np.all(np.array(policy["max_step"]) < 2 * steps)
