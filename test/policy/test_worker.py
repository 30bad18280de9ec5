# SPDX-License-Identifier: Apache-2.0
"""Inferences that are late: what the worker returns, and what the control loop then commands."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from late_worker import LateWorker
from tiny_policy import write_tiny_policy

from sac_ros.policy.control_loop import ControlLoop
from sac_ros.policy.inference import Inference
from sac_ros.policy.runtime import Policy
from sac_ros.policy.safety_config import SafetyConfig
from sac_ros.policy.safety_events import Fault, Mode
from sac_ros.policy.schedule import ArrivalRate
from sac_ros.policy.worker import Inline, Worker

GOAL = np.array([0.9, 0.0, 0.0])
LONG = 30.0


def test_work_in_time_is_returned_once_and_what_it_raises_is_raised() -> None:
    worker = Worker()
    worker.begin(lambda: 7)
    assert worker.result(LONG) == 7
    assert worker.result(0.0) is None
    worker.begin(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        worker.result(LONG)
    worker.begin(lambda: 8)
    assert worker.result(LONG) == 8
    worker.close()


def test_work_that_is_not_done_yet_is_returned_later() -> None:
    worker, go = Worker(), threading.Event()
    worker.begin(lambda: go.wait() and "done")
    assert worker.result(0.01) is None
    assert not worker.busy  # it is waited for
    go.set()
    assert worker.result(LONG) == "done"
    worker.close()


def test_behind_abandoned_work_one_other_waits_and_only_the_last_is_handed_out() -> None:
    worker, go = Worker(), threading.Event()
    worker.begin(go.wait)
    worker.abandon()
    assert worker.busy
    begun: list[int] = []
    for number in range(5):
        worker.begin(lambda number=number: begun.append(number))  # type: ignore[misc]
    assert worker.result(0.0) is None
    assert worker.busy
    assert not begun
    go.set()
    while worker.busy:
        pass
    assert begun == [0]
    worker.begin(lambda: "its own, not the late one's")
    assert worker.result(LONG) == "its own, not the late one's"
    worker.close()


def test_only_what_was_begun_last_is_handed_out() -> None:
    worker, go = Worker(), threading.Event()
    worker.begin(lambda: go.wait() and "first")
    worker.begin(lambda: "second")
    assert worker.result(0.0) is None
    go.set()
    assert worker.result(LONG) == "second"
    worker.close()


def test_a_worker_that_has_answered_again_is_busy_with_nothing_abandoned() -> None:
    worker, go = Worker(), threading.Event()
    worker.begin(lambda: 1)
    worker.abandon()
    worker.begin(lambda: 2)
    assert worker.result(LONG) == 2
    worker.begin(go.wait)
    assert not worker.busy
    go.set()
    worker.close()


def test_inferences_run_in_a_thread_that_holds_up_no_end_of_the_process() -> None:
    worker, ran = Worker(), threading.Event()
    threads: list[threading.Thread] = []
    worker.prepare(lambda: (threads.append(threading.current_thread()), ran.set()))
    assert ran.wait(LONG)
    assert (threads[0].name, threads[0].daemon) == ("inference", True)
    worker.close()


def test_work_that_nobody_waits_for_gives_its_result_to_nobody() -> None:
    worker = Worker()
    worker.prepare(lambda: "warm")
    worker.begin(lambda: "asked")
    assert worker.result(LONG) == "asked"
    worker.close()


def test_a_look_at_work_that_is_not_done_takes_no_time() -> None:
    worker, go = Worker(), threading.Event()
    worker.begin(go.wait)
    threading.Timer(0.5, go.set).start()
    assert worker.result(0.0) is None
    ran: list[str] = []
    worker.prepare(lambda: ran.append("warm"))  # nor does another that has to wait
    assert worker.result(LONG) is True
    worker.prepare(lambda: ran.append("after it"))
    worker.begin(lambda: 1)
    assert worker.result(LONG) == 1
    assert ran == ["after it"]
    worker.close()


def test_in_the_callers_thread_only_what_was_begun_has_a_result() -> None:
    inline = Inline()
    assert inline.result(0.0) is None
    inline.begin(lambda: 1)
    inline.abandon()
    assert inline.result(0.0) is None


def test_before_a_policy_was_asked_nothing_is_known_of_it(tmp_path: Path) -> None:
    inference = Inference(Policy.load(write_tiny_policy(tmp_path / "policy.onnx")), Inline())
    assert (inference.torque, inference.gravity, inference.seen) == (None, None, {})
    assert (inference.count, inference.late, inference.late_s) == (0, 0, 0.0)
    assert inference.next_run(ArrivalRate()) is None
    inference.warm_up(GOAL)  # for no state


def test_a_policy_is_warmed_up_with_what_it_was_asked_last(tmp_path: Path) -> None:
    class Preparing(Inline):
        prepared: Any = None

        def prepare(self, work: Any) -> None:
            self.prepared = work

    worker = Preparing()
    policy = Policy.load(write_tiny_policy(tmp_path / "policy.onnx", state_size=3))
    inference, rate = Inference(policy, worker), ArrivalRate()
    position, velocity = np.array([0.1, 0.2, 0.3]), np.array([0.3, 0.1, 0.2])
    asked = inference.ask(0.0, position, velocity, GOAL, rate, 0)
    inference.warm_up(GOAL)
    assert worker.prepared is not None
    answer = policy.answer(position, velocity, GOAL, state=np.zeros(3))
    np.testing.assert_array_equal(asked, answer.torque)
    again = policy.answer(position, velocity, GOAL, state=answer.next_state)
    np.testing.assert_array_equal(worker.prepared().torque, again.torque)


def test_a_loop_warms_its_policy_up_for_the_goal_that_stands_and_for_none_not_at_all(
    tmp_path: Path,
) -> None:
    class Counting(Inline):
        prepared = 0

        def prepare(self, work: Any) -> None:
            self.prepared += 1

    worker = Counting()
    policy = Policy.load(write_tiny_policy(tmp_path / "policy.onnx"))
    loop = ControlLoop(policy, SafetyConfig(soft_start_s=0.0), worker=worker)
    loop.state(0.0, np.zeros(3), np.zeros(3))
    loop.activate(0.0)
    loop.warm_up()
    loop.set_goal(0.0, "base", GOAL)
    loop.state(0.002, np.zeros(3), np.zeros(3))
    assert worker.prepared == 0
    loop.warm_up()
    assert worker.prepared == 1


def test_an_answer_may_take_one_and_a_half_control_periods_and_each_late_one_counts(
    loop: ControlLoop, worker: LateWorker
) -> None:
    worker.busy = True
    loop.state(0.0078125, np.zeros(3), np.zeros(3))
    last = 0.0078125 + 1.5 / 100.0
    loop.state(last, np.zeros(3), np.zeros(3))
    assert loop.inference.late == 0
    for number in range(1, 3):
        loop.state(last + 0.02 * number, np.zeros(3), np.zeros(3))
        loop.state(last + 0.02 * number + 0.001, np.zeros(3), np.zeros(3))
    assert loop.inference.late == 2


def test_a_policy_that_is_told_to_end_ends_that_run_alone(tmp_path: Path) -> None:
    policy = Policy.load(write_tiny_policy(tmp_path / "policy.onnx"))
    running = policy._options
    running.terminate = True
    with pytest.raises(Exception, match="terminate"):
        policy.answer(np.zeros(3), np.zeros(3), GOAL)
    running.terminate = False
    policy.terminate()
    assert running.terminate
    assert np.isfinite(policy.answer(np.zeros(3), np.zeros(3), GOAL).torque).all()


@pytest.fixture
def worker() -> LateWorker:
    return LateWorker()


@pytest.fixture
def loop(tmp_path: Path, worker: LateWorker) -> ControlLoop:
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
    loop: ControlLoop, worker: LateWorker
) -> None:
    velocity = 0.1
    assert torque_at(loop, 2, velocity)[0] > 0.0
    worker.busy = True
    held = [tuple(torque_at(loop, milliseconds, velocity)) for milliseconds in range(20, 36, 2)]
    assert len(set(held)) == 1  # of the state before, for a period and a half
    for milliseconds in range(36, 60, 2):
        assert (torque_at(loop, milliseconds, velocity) < 0.0).all()
    assert loop.safety.mode is Mode.TRACKING  # a busy machine is late now and then
    worker.busy = False
    assert torque_at(loop, 60, velocity)[0] > 0.0
    assert loop.inference.late > 0


def test_an_answer_that_is_late_is_that_of_the_state_that_it_was_asked_in(
    loop: ControlLoop, worker: LateWorker
) -> None:
    position = np.full(3, 0.1)
    policy = loop.policy
    loop.state(0.002, position, np.zeros(3))
    worker.busy = True
    position += 0.01  # by the reader, which writes its arrays again
    loop.state(0.012, position, np.zeros(3))
    asked = policy.answer(position, np.zeros(3), GOAL).torque
    position += 0.01
    before = loop.state(0.014, position, np.zeros(3))
    worker.busy = False
    position += 0.01
    found = loop.state(0.016, position, np.zeros(3))
    assert before is not None
    assert found is not None
    assert not np.array_equal(before.torque, asked)
    np.testing.assert_array_equal(found.torque, asked)


def test_a_policy_that_stays_late_is_a_fault_which_stands_until_it_has_answered(
    loop: ControlLoop, worker: LateWorker
) -> None:
    torque_at(loop, 2, 0.1)
    worker.busy = True
    for milliseconds in range(20, 80, 2):
        torque_at(loop, milliseconds, 0.1)
    assert set(loop.safety.faults) == {Fault.LATE_POLICY}
    assert loop.clear_fault(0.08) == "the policy has not answered yet"
    assert loop.safety.faults
    worker.busy = False
    assert loop.clear_fault(0.08) == ""
    assert torque_at(loop, 82, 0.1)[0] > 0.0


@pytest.mark.parametrize(
    ("interval", "count", "awaited"),
    [
        (0.002, 40, 0.001),  # half the time to the next state
        (0.016, 40, 0.005),  # but no longer than half a control period
        (0.002, 10, 0.01),  # a control period, where it is not known yet how fast states come
    ],
)
def test_a_state_waits_for_its_answer_no_longer_than_the_next_state_can(
    tmp_path: Path, interval: float, count: int, awaited: float
) -> None:
    class Spy(LateWorker):
        waits: ClassVar[list[float]] = []

        def result(self, within_s: float) -> Any | None:
            self.waits.append(within_s)
            return super().result(within_s)

    spy = Spy()
    policy = Policy.load(write_tiny_policy(tmp_path / "policy.onnx"))
    loop = ControlLoop(policy, SafetyConfig(watchdog_s=0.2), worker=spy)
    loop.state(0.0, np.zeros(3), np.zeros(3))
    loop.activate(0.0)
    for number in range(1, count):
        loop.state(number * interval, np.zeros(3), np.zeros(3))
    loop.set_goal(count * interval, "base", GOAL)
    spy.waits.clear()
    spy.busy = True
    for number in range(2):
        loop.state((count + number) * interval, np.zeros(3), np.zeros(3))
    if interval < 0.015:  # the second state looks once, and goes on
        assert spy.waits == pytest.approx([awaited, 0.0])
    else:  # the first answer is abandoned by then
        assert spy.waits == pytest.approx([awaited])
