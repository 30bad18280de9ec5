# SPDX-License-Identifier: Apache-2.0
"""Commands are checked, delayed and forgotten as a robot driver does it."""

from __future__ import annotations

import math

import pytest

from sac_ros.sim.command_inbox import CommandInbox, CommandRefusedError, LossyChannel

NAMES = ("shoulder", "elbow")


def inbox(latency: float = 0.0, timeout: float = 0.1) -> CommandInbox:
    line = LossyChannel(latency=latency, loss=0.0, seed=(0,))
    return CommandInbox(NAMES, line, timeout=timeout)


def test_the_torque_is_zero_before_the_first_command() -> None:
    assert inbox().torque(0.0).tolist() == [0.0, 0.0]


def test_a_command_holds_until_its_timeout_and_then_is_zero() -> None:
    box = inbox(timeout=0.1)
    box.put([1.0, -2.0], now=5.0)
    assert box.torque(5.0).tolist() == [1.0, -2.0]
    assert box.torque(5.09).tolist() == [1.0, -2.0]
    assert box.torque(5.11).tolist() == [0.0, 0.0]


def test_a_command_takes_effect_after_the_latency_and_the_one_before_it_holds_so_long() -> None:
    box = inbox(latency=0.02)
    box.put([1.0, 1.0], now=0.0)
    box.put([2.0, 2.0], now=0.01)
    assert box.torque(0.019).tolist() == [0.0, 0.0]
    assert box.torque(0.025).tolist() == [1.0, 1.0]
    assert box.torque(0.031).tolist() == [2.0, 2.0]


def test_the_timeout_counts_from_when_a_command_takes_effect() -> None:
    box = inbox(latency=0.5, timeout=0.1)
    box.put([1.0, 1.0], now=0.0)
    assert box.torque(0.59).tolist() == [1.0, 1.0]
    assert box.torque(0.61).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 2.0, 3.0]])
def test_a_command_of_the_wrong_length_is_refused_naming_the_joints(values: list[float]) -> None:
    with pytest.raises(CommandRefusedError, match=f"2 torques.*shoulder, elbow.*{len(values)}"):
        inbox().put(values, now=0.0)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_command_that_is_not_finite_is_refused_naming_the_joint(bad: float) -> None:
    with pytest.raises(CommandRefusedError, match=f"{bad} N·m for elbow"):
        inbox().put([1.0, bad], now=0.0)


def test_a_refused_command_leaves_the_one_before_it_in_force() -> None:
    box = inbox()
    box.put([1.0, 2.0], now=0.0)
    with pytest.raises(CommandRefusedError):
        box.put([math.nan, 0.0], now=0.01)
    assert box.torque(0.02).tolist() == [1.0, 2.0]


def test_clearing_forgets_commands_on_their_way_too() -> None:
    box = inbox(latency=0.02)
    box.put([1.0, 1.0], now=0.0)
    box.torque(0.03)
    box.put([2.0, 2.0], now=0.03)
    box.clear()
    assert box.torque(0.06).tolist() == [0.0, 0.0]
