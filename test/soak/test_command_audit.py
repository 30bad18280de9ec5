# SPDX-License-Identifier: Apache-2.0
"""The judge of recorded commands finds each broken rule, and nothing in a record without one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from command_audit import CommandAudit, Rule, Violation

AUDIT = CommandAudit(
    torque_limit=np.array([10.0, 5.0]),
    slew_limit=np.array([100.0, 50.0]),
    safe_torque=np.zeros(2),
    watchdog_s=0.1,
    jitter_s=0.01,
)
PERIOD = 0.01


class Record:
    """A second of commands at 100 Hz: up to (5, 2) N·m within the slew limit, there, and back."""

    def __init__(self) -> None:
        self.times = np.arange(100) * PERIOD
        share = np.interp(np.arange(100), [0, 10, 85, 95], [0.0, 1.0, 1.0, 0.0])
        self.torques: list[Any] = list(share[:, np.newaxis] * [5.0, 2.0])
        self.states = self.times - 0.001

    def broken(self, ended: bool = True) -> set[Rule]:
        found = AUDIT.violations(self.times, self.torques, self.states, ended)
        assert all(violation.sentence for violation in found)
        return {violation.rule for violation in found}

    def silence(self, first: int) -> None:
        """No state comes any more from command ``first`` on."""
        self.states = self.states[:first]


def test_a_record_within_the_rules_breaks_none() -> None:
    assert Record().broken() == set()


def test_an_empty_record_breaks_none() -> None:
    assert AUDIT.violations([], [], []) == []


@pytest.mark.parametrize("length", [0, 1, 3])
def test_a_command_of_another_length_is_not_complete(length: int) -> None:
    record = Record()
    record.torques[50] = np.zeros(length)
    assert record.broken() == {Rule.COMPLETE}


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_is_found(wrong: float) -> None:
    record = Record()
    record.torques[50] = np.array([5.0, wrong])
    assert record.broken() == {Rule.FINITE}


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_torque_beyond_the_limit_of_its_own_joint_is_found(sign: float) -> None:
    record = Record()
    share = np.interp(np.arange(100), [0, 20, 70, 95], [0.0, 1.0, 1.0, 0.0])
    record.torques = list(sign * share[:, np.newaxis] * [5.0, 5.1])
    assert record.broken() == {Rule.LIMIT}


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_step_beyond_the_slew_limit_is_found_in_either_direction(sign: float) -> None:
    record = Record()
    record.torques[50] = record.torques[50] + [0.0, sign * 1.1]  # 50 N·m/s · 20 ms is 1.0
    assert record.broken() == {Rule.SLEW}


def test_many_steps_that_each_hide_in_the_jitter_are_found_together() -> None:
    record = Record()
    ramp = np.interp(np.arange(100), [0, 7, 85, 95], [0.0, 1.0, 1.0, 0.0])
    record.torques = list(ramp[:, np.newaxis] * [9.0, 0.0])  # 1.3 N·m a command where 1.0 is due
    steps = np.abs(np.diff(np.array(record.torques)[:, 0]))
    assert steps.max() < 100.0 * (PERIOD + AUDIT.jitter_s)
    assert record.broken() == {Rule.SLEW}


def test_a_first_command_far_from_zero_is_found() -> None:
    record = Record()
    record.times, record.torques = record.times[15:], record.torques[15:]
    assert record.broken() == {Rule.SLEW}


def test_a_pause_counts_as_one_watchdog_at_most() -> None:
    torques = [np.zeros(2), np.array([9.9, 0.0])]
    assert AUDIT.violations([0.0, 5.0], torques, [0.0, 5.0]) == []
    torques = [np.array([-1.0, 0.0]), np.array([10.0, 0.0]), np.array([10.0, 0.0])]
    found = AUDIT.violations([0.0, 0.11, 0.12], torques, [0.0, 0.11])
    assert found == []
    longer = CommandAudit(AUDIT.torque_limit * 2, AUDIT.slew_limit, np.zeros(2), 0.1, 0.01)
    torques = [np.zeros(2), np.array([19.0, 0.0])]
    (found_one,) = longer.violations([0.0, 5.0], torques, [0.0, 5.0])
    assert (found_one.rule, found_one.index) == (Rule.SLEW, 1)


def test_a_torque_that_grows_without_states_is_found() -> None:
    record = Record()
    record.silence(40)
    ramp = np.clip(1.0 - 0.1 * np.arange(48), 0.0, 1.0)
    record.torques[52:] = list(ramp[:, np.newaxis] * record.torques[52])
    assert record.broken() == set()
    record.torques[56] = record.torques[55] + [0.1, 0.0]
    assert record.broken() == {Rule.FRESH}


def test_a_torque_that_stands_without_states_is_found() -> None:
    record = Record()
    record.silence(40)
    assert record.broken() == {Rule.FRESH}


def test_a_gap_after_a_standing_torque_is_found_and_one_at_rest_is_not() -> None:
    record = Record()
    record.times[97:] += 10.0
    assert record.broken() == set()
    record = Record()
    record.times[50:] += 0.15
    record.states[50:] += 0.15
    assert record.broken() == {Rule.NEVER_QUIET}


def test_a_record_that_ends_with_a_standing_torque_is_found_once_the_node_has_ended() -> None:
    record = Record()
    record.times, record.torques = record.times[:50], record.torques[:50]
    assert record.broken(ended=False) == set()
    assert record.broken(ended=True) == {Rule.NEVER_QUIET}


def test_rest_is_at_the_safe_torque_and_not_at_zero() -> None:
    safe = CommandAudit(
        AUDIT.torque_limit, AUDIT.slew_limit, np.array([1.0, 0.0]), AUDIT.watchdog_s, 0.01
    )
    torques = [np.zeros(2), np.array([1.0, 0.0])]
    assert safe.violations([0.0, 0.01], torques, [0.0, 0.01], ended=True) == []
    (found,) = AUDIT.violations([0.0, 0.01], torques, [0.0, 0.01], ended=True)
    assert found.rule is Rule.NEVER_QUIET


@pytest.mark.parametrize(("waited", "excused"), [(0.36, False), (0.4, True)])
def test_a_gap_is_excused_only_as_far_as_the_nodes_had_no_processor(
    waited: float, excused: bool
) -> None:
    times = np.array([0.0, 0.5])  # with a watchdog of 0.1 s and a jitter of 0.01 s: 0.13 s may be

    def found(rule: Rule, index: int, states: list[float]) -> bool:
        violation = Violation(rule, index, "")
        return AUDIT.had_no_processor(violation, times, np.array(states), lambda *_: waited)

    assert found(Rule.NEVER_QUIET, 0, []) == excused
    assert found(Rule.FRESH, 1, [0.0, 0.6]) == excused
    assert not found(Rule.FRESH, 1, [])  # no state at all
    assert not found(Rule.NEVER_QUIET, 1, [])  # stands for ever
    assert not found(Rule.SLEW, 1, [0.0])
