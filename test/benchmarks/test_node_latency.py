# SPDX-License-Identifier: Apache-2.0
"""The node benchmark plays a robot to real processes; how fast they answer, no test says."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: `make setup` brings it")

from benchmarks.node_driver import Answers, forwarding_times
from benchmarks.node_latency import ECHO, GUARD, GUARDED, OURS, NodeLatency


@pytest.mark.long
def test_the_policy_node_and_an_echo_answer_states() -> None:
    result = NodeLatency(
        rates_hz=(100.0,), seconds=1.0, turns=1, warm_up=0.2, contestants=(OURS, GUARDED, ECHO)
    ).measure()
    assert json.loads(json.dumps(result)) == result
    figures = {figure["name"]: figure["median"] for figure in result["figures"]}
    for name in (OURS, ECHO):
        assert figures[f"100 Hz: {name}, missed"] < 50.0
        assert 0.0 < figures[f"100 Hz: {name}, p50"] <= figures[f"100 Hz: {name}, p99"]
        assert figures[f"100 Hz: {name}, memory"] > 10.0
        assert figures[f"100 Hz: {name}, start to first command"] > 0.0
    assert figures[f"100 Hz: p50, {OURS} / {ECHO}"] > 0.0
    assert 0.0 < figures[f"100 Hz: {GUARD}, adds p50"] <= figures[f"100 Hz: {GUARD}, adds p99"]
    assert figures[f"100 Hz: {GUARD}, memory"] > 10.0


def test_an_answer_is_that_of_the_longest_outstanding_state() -> None:
    answers = Answers()
    for at in (0, 1000, 2000):
        answers.sent(at)
    for at in (500, 2400):  # the second is late
        answers.note(at)
    answers.pause()
    answers.sent(9000)
    answers.note(9100)
    assert answers.nanoseconds == [500, 1400, 100]
    assert (answers.missed, answers.unasked) == (1, 0)


def test_an_answer_that_nobody_asked_for_is_counted() -> None:
    answers = Answers()
    answers.sent(0)
    for at in (1, 2):
        answers.note(at)
    assert answers.unasked == 1


def test_a_forwarded_command_is_that_of_the_last_one_given() -> None:
    given = [0, 1000, 2000, 3000]
    assert forwarding_times(given, [100, 1150, 3300]) == [100, 150, 300]  # one was left out
    assert forwarding_times(given, [-5, 100, 150, 2050]) == [100, 50]  # two answer none
    assert forwarding_times([], [1]) == []
