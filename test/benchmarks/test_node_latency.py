# SPDX-License-Identifier: Apache-2.0
"""The node benchmark plays a robot to real processes; how fast they answer, no test says."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: `make setup` brings it")

from benchmarks.node_driver import MARKS, Answers
from benchmarks.node_latency import CONTESTANTS, ECHO, OURS, NodeLatency, start_job
from sac_ros.policy.runtime import Policy


def test_the_policy_node_and_an_echo_answer_marked_states() -> None:
    result = NodeLatency(
        rates_hz=(100.0,), seconds=1.0, turns=1, warm_up=0.2, contestants=(OURS, ECHO)
    ).measure()
    assert json.loads(json.dumps(result)) == result
    figures = {figure["name"]: figure["median"] for figure in result["figures"]}
    for name in (OURS, ECHO):
        assert figures[f"100 Hz: {name}, missed"] < 50.0
        assert 0.0 < figures[f"100 Hz: {name}, p50"] <= figures[f"100 Hz: {name}, p99"]
        assert figures[f"100 Hz: {name}, memory"] > 10.0
        assert figures[f"100 Hz: {name}, start to first command"] > 0.0
    assert figures[f"100 Hz: p50, {OURS} / {ECHO}"] > 0.0


def test_an_answer_counts_for_the_newest_state_with_its_mark() -> None:
    answers = Answers(count=6)
    for k in range(6):
        answers.sent[k] = 1000 * k
    answers.note(mark=-1, at=500, newest=0)
    answers.note(mark=1, at=2400, newest=2)
    answers.note(mark=0, at=2600, newest=2)  # a state late: that of state 1
    assert answers.nanoseconds == [500, 400, 1600]
    assert (answers.missed, answers.unasked) == (3, 0)


def test_an_answer_that_nobody_asked_for_is_counted() -> None:
    answers = Answers(count=MARKS)
    answers.note(mark=-1, at=1, newest=0)
    answers.note(mark=-1, at=2, newest=0)  # a second one
    answers.note(mark=1, at=3, newest=0)  # of a state that is not sent yet
    assert answers.unasked == 2


@pytest.mark.parametrize("name", CONTESTANTS)
def test_the_mark_tells_a_marked_velocity_from_all_other_torques(name: str) -> None:
    run = NodeLatency()
    spec = Policy.load(run.model).spec
    job = start_job(run, name, spec, rate=500.0)
    assert abs(job["mark"]) > spec.velocity_limit[-1]
    if name == OURS:  # the brake limit, some times what the policy may ask
        assert abs(job["answer"]) > 1.5 * 0.01 * spec.action_scale[-1]
        assert abs(job["answer"]) < spec.brake_limit[-1]
