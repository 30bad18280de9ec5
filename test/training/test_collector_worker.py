# SPDX-License-Identifier: Apache-2.0
"""A turn of the worker: one step, or standing still, never both."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sac_ros.training.collector_worker import step_if_allowed


class Counters:
    """What a turn reads and writes; `paused` can change between two readings of it."""

    def __init__(self, paused: Iterator[int], env_steps: int = 0, allowed_steps: int = 10) -> None:
        self._paused = paused
        self.env_steps = env_steps
        self.allowed_steps = allowed_steps
        self.standing = 0
        self.control = self.replay = self

    @property
    def paused(self) -> int:
        return next(self._paused)


class Steps:
    """Counts the steps instead of making them."""

    number = 0

    def step(self) -> None:
        self.number += 1


def turn(counters: Counters) -> int:
    steps = Steps()
    stepped = step_if_allowed(steps, counters)  # type: ignore[arg-type]
    assert stepped == bool(steps.number)
    return steps.number


def test_it_steps_when_nothing_is_against_it() -> None:
    counters = Counters(iter([0]))
    assert turn(counters) == 1
    assert counters.standing == 0


def test_it_does_not_step_beyond_what_the_learner_allows() -> None:
    assert turn(Counters(iter([0]), env_steps=9)) == 1
    assert turn(Counters(iter([0]), env_steps=10)) == 0


def test_it_answers_a_pause_with_its_number_and_stands() -> None:
    counters = Counters(iter([7]))
    assert turn(counters) == 0
    assert counters.standing == 7


def test_an_ended_pause_is_no_longer_answered() -> None:
    counters = Counters(iter([0]))
    counters.standing = 7
    assert turn(counters) == 1
    assert counters.standing == 0


@pytest.mark.parametrize("readings", [[0, 7, 7], [7, 0, 0], [0, 0, 7]])
def test_a_pause_that_comes_or_goes_within_a_turn_is_not_both_answered_and_broken(
    readings: list[int],
) -> None:
    counters = Counters(iter(readings))
    stepped = turn(counters)
    assert not (stepped and counters.standing)
