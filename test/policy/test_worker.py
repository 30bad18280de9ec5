# SPDX-License-Identifier: Apache-2.0
"""Inferences that are late: what the worker returns, and what the control loop then commands."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
from tiny_policy import write_tiny_policy

from sac_ros.policy.control_loop import ControlLoop
from sac_ros.policy.runtime import Policy
from sac_ros.policy.safety_config import SafetyConfig
from sac_ros.policy.safety_events import Fault, Mode
from sac_ros.policy.worker import Inline, Worker

T = TypeVar("T")
GOAL = np.array([0.9, 0.0, 0.0])
LONG = 30.0


def test_work_in_time_is_returned_and_what_it_raises_is_raised() -> None:
    worker = Worker()
    assert worker.run(lambda: 7, LONG) == 7
    with pytest.raises(ZeroDivisionError):
        worker.run(lambda: 1 / 0, LONG)
    assert worker.run(lambda: 8, LONG) == 8
    worker.close()


def test_late_work_is_abandoned_and_no_other_begins_before_it_has_ended() -> None:
    worker, go = Worker(), threading.Event()
    assert worker.run(go.wait, 0.01) is None
    assert worker.busy
    begun: list[int] = []
    assert worker.run(lambda: begun.append(1), 0.0) is None
    assert not begun
    go.set()
    while worker.busy:
        pass
    assert worker.run(lambda: "its own, not the late one's", LONG) == "its own, not the late one's"
    worker.close()


def test_work_that_nobody_waits_for_gives_its_result_to_nobody() -> None:
    worker = Worker()
    worker.prepare(lambda: "warm")
    assert worker.run(lambda: "asked", LONG) == "asked"
    worker.close()


class Late(Inline):
    """A worker whose work is late while `late` is true."""

    late = False

    def run(self, work: Callable[[], T], within_s: float) -> T | None:
        return None if self.late else super().run(work, within_s)

    @property
    def busy(self) -> bool:  # type: ignore[override]
        return self.late


@pytest.fixture
def worker() -> Late:
    return Late()


@pytest.fixture
def loop(tmp_path: Path, worker: Late) -> ControlLoop:
    policy = Policy.load(write_tiny_policy(tmp_path / "policy.onnx"))
    loop = ControlLoop(policy, SafetyConfig(soft_start_s=0.0, slew_limit=1e5), worker=worker)
    loop.state(0.0, np.zeros(3), np.zeros(3))
    loop.activate(0.0)
    loop.set_goal(0.0, "base", GOAL)
    return loop


def torque_at(loop: ControlLoop, milliseconds: int, velocity: float) -> np.ndarray:
    position = np.full(3, 1e-3 * milliseconds * velocity)
    command = loop.state(1e-3 * milliseconds, position, np.full(3, velocity))
    assert command is not None
    return command.torque


def test_while_the_policy_is_late_the_arm_is_braked_and_not_driven_by_an_old_torque(
    loop: ControlLoop, worker: Late
) -> None:
    velocity = 0.1
    assert torque_at(loop, 2, velocity)[0] > 0.0
    worker.late = True
    for milliseconds in range(20, 60, 2):
        assert (torque_at(loop, milliseconds, velocity) < 0.0).all()
    assert loop.safety.mode is Mode.TRACKING  # a busy machine is late now and then
    worker.late = False
    assert torque_at(loop, 60, velocity)[0] > 0.0
    assert loop.late > 0


def test_a_policy_that_stays_late_is_a_fault_which_stands_until_it_has_answered(
    loop: ControlLoop, worker: Late
) -> None:
    torque_at(loop, 2, 0.1)
    worker.late = True
    for milliseconds in range(20, 80, 2):
        torque_at(loop, milliseconds, 0.1)
    assert set(loop.safety.faults) == {Fault.LATE_POLICY}
    assert loop.clear_fault(0.08) == "the policy has not answered yet"
    assert loop.safety.faults
    worker.late = False
    assert loop.clear_fault(0.08) == ""
    assert torque_at(loop, 82, 0.1)[0] > 0.0
