# SPDX-License-Identifier: Apache-2.0
"""The direct executor serves all that rclpy's own serves, over real DDS."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: `make setup` brings it")

import rclpy
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.duration import Duration
from rclpy.event_handler import PublisherEventCallbacks
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future
from rosgraph_msgs.msg import Clock
from std_msgs.msg import Int32
from std_srvs.srv import Trigger

from sac_ros.ros import direct_executor
from sac_ros.ros.direct_executor import DirectExecutor, UrgentCallbackGroup

LIMIT = 20.0  # s


class Spun:
    """A context with a node, spun by a direct executor in the test's own thread."""

    def __init__(self, *arguments: str) -> None:
        rclpy.init(
            args=["--ros-args", *arguments] if arguments else [],
            signal_handler_options=SignalHandlerOptions.NO,
        )
        self.executor = DirectExecutor()
        self.node = Node("spun")
        self.executor.add_node(self.node)

    def until(self, condition: Callable[[], object]) -> None:
        end: Future[None] = Future()
        watch = self.node.create_timer(0.005, lambda: condition() and end.set_result(None))
        self.executor.spin_until_future_complete(end, timeout_sec=LIMIT)
        self.node.destroy_timer(watch)
        assert end.done(), "did not happen"

    def close(self) -> None:
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.try_shutdown()


@pytest.fixture
def spun() -> Iterator[Spun]:
    spun = Spun()
    yield spun
    spun.close()


def test_messages_come_in_order_to_plain_callbacks(spun: Spun) -> None:
    seen: list[int] = []
    spun.node.create_subscription(Int32, "numbers", lambda m: seen.append(m.data), 100)
    publisher = spun.node.create_publisher(Int32, "numbers", 100)
    spun.until(publisher.get_subscription_count)
    for number in range(50):
        publisher.publish(Int32(data=number))
    spun.until(lambda: len(seen) == 50)
    assert seen == list(range(50))


def test_a_callback_that_wants_the_message_info_gets_it(spun: Spun) -> None:
    seen: list[Any] = []
    spun.node.create_subscription(Int32, "numbers", lambda m, info: seen.append(info), 10)
    publisher = spun.node.create_publisher(Int32, "numbers", 10)
    spun.until(publisher.get_subscription_count)
    publisher.publish(Int32(data=1))
    spun.until(lambda: seen)
    assert seen[0]["source_timestamp"] > 0


def test_a_coroutine_that_awaits_another_service_is_served_to_its_end(spun: Spun) -> None:
    group = ReentrantCallbackGroup()
    inner = spun.node.create_client(Trigger, "inner", callback_group=group)

    async def outer(_request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.message = "outer of " + (await inner.call_async(Trigger.Request())).message
        return response

    def answer(_request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.message = "inner"
        return response

    spun.node.create_service(Trigger, "inner", answer, callback_group=group)
    spun.node.create_service(Trigger, "outer", outer, callback_group=group)
    client = spun.node.create_client(Trigger, "outer", callback_group=group)
    spun.until(lambda: client.service_is_ready() and inner.service_is_ready())
    answered = client.call_async(Trigger.Request())
    spun.until(answered.done)
    assert answered.result().message == "outer of inner"


def test_a_timer_ticks_until_it_is_cancelled_and_again_after_a_reset(spun: Spun) -> None:
    ticks: list[int] = []
    timer = spun.node.create_timer(0.001, lambda: ticks.append(0))
    spun.until(lambda: len(ticks) > 5)
    timer.cancel()
    ticks.clear()
    spun.executor.spin_once(0.05)
    assert not ticks
    timer.reset()
    spun.until(lambda: ticks)


def test_what_a_callback_creates_is_served_and_what_it_destroys_is_not(spun: Spun) -> None:
    ticks: list[str] = []

    def swap() -> None:
        spun.node.destroy_timer(first)
        spun.node.destroy_timer(doomed)  # which is ready too
        spun.node.create_timer(0.001, lambda: ticks.append("second"))

    first = spun.node.create_timer(0.0, swap)
    doomed = spun.node.create_timer(0.0, lambda: ticks.append("doomed"))
    spun.until(lambda: ticks)
    assert set(ticks) == {"second"}


def test_the_wait_set_is_kept_while_nothing_is_created_or_destroyed(
    spun: Spun, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    kind = direct_executor.KeptWaitSet
    monkeypatch.setattr(
        direct_executor,
        "KeptWaitSet",
        lambda *given, **only: made.append(0) or kind(*given, **only),
    )
    ticks: list[int] = []
    spun.node.create_timer(0.001, lambda: ticks.append(0))
    while len(ticks) < 100:
        spun.executor.spin_once(1.0)
    assert len(made) == 2  # of all, and of what is urgent


def test_a_task_of_another_thread_runs_though_nothing_else_happens(spun: Spun) -> None:
    ran: Future[int] = Future()
    spun.executor.spin_once(0.0)
    timer = threading.Timer(
        0.1, lambda: spun.executor.create_task(lambda: ran.set_result(threading.get_ident()))
    )
    timer.start()
    spun.executor.spin_until_future_complete(ran, timeout_sec=LIMIT)
    assert ran.result() == threading.get_ident()


def test_a_guard_condition_calls_its_callback(spun: Spun) -> None:
    called: list[int] = []
    guard = spun.node.create_guard_condition(lambda: called.append(0))
    threading.Timer(0.1, guard.trigger).start()
    spun.until(lambda: called)


def test_what_a_callback_raises_comes_out_of_the_spinning(spun: Spun) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    timer = spun.node.create_timer(0.0, fail)
    with pytest.raises(ZeroDivisionError):
        spun.executor.spin_once(LIMIT)
    spun.node.destroy_timer(timer)
    spun.executor.create_task(fail)
    with pytest.raises(ZeroDivisionError):
        spun.until(lambda: False)


def test_a_context_that_is_shut_down_ends_the_spinning(spun: Spun) -> None:
    threading.Timer(0.1, rclpy.shutdown).start()
    with pytest.raises(ExternalShutdownException):
        spun.executor.spin()


def test_an_incompatible_publisher_is_told_of(spun: Spun) -> None:
    """Events are waitables, which neither subscriptions nor timers are."""
    told: list[Any] = []
    events = PublisherEventCallbacks(incompatible_qos=told.append)
    spun.node.create_publisher(
        Int32,
        "numbers",
        QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT),
        event_callbacks=events,
    )
    spun.node.create_subscription(
        Int32,
        "numbers",
        lambda _: None,
        QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE),
    )
    spun.until(lambda: told)


def test_simulated_time_moves_a_nodes_timer() -> None:
    spun = Spun("-p", "use_sim_time:=true")
    ticks: list[int] = []
    spun.node.create_timer(1.0, lambda: ticks.append(0))
    clock = spun.node.create_publisher(Clock, "/clock", 10)
    message = Clock()

    def advance() -> None:
        message.clock.sec += 1
        clock.publish(message)

    steady = rclpy.clock.Clock(clock_type=rclpy.clock.ClockType.STEADY_TIME)
    spun.node.create_timer(0.01, advance, clock=steady)
    end: Future[None] = Future()
    spun.node.create_timer(
        0.01, lambda: len(ticks) > 3 and not end.done() and end.set_result(None), clock=steady
    )
    spun.executor.spin_until_future_complete(end, timeout_sec=LIMIT)
    spun.close()
    assert len(ticks) > 3


@pytest.mark.parametrize("period", [0.0, 0.001, 1000.0], ids=["always", "often", "never"])
def test_what_is_not_urgent_is_served_however_often_something_urgent_is(
    spun: Spun, period: float
) -> None:
    urgent: list[int] = []
    spun.node.create_timer(period, lambda: urgent.append(0), callback_group=UrgentCallbackGroup())
    seen: list[int] = []
    spun.node.create_subscription(Int32, "numbers", lambda m: seen.append(m.data), 10)
    publisher = spun.node.create_publisher(Int32, "numbers", 10)
    spun.node.create_service(Trigger, "asked", lambda _, response: response)
    client = spun.node.create_client(Trigger, "asked")
    spun.until(lambda: client.service_is_ready() and publisher.get_subscription_count())
    publisher.publish(Int32(data=3))
    answered = client.call_async(Trigger.Request())
    spun.until(lambda: seen and answered.done())
    assert seen == [3]
    assert bool(urgent) == (period < 1.0)


def test_what_is_urgent_wakes_it_and_is_served_before_all_else(spun: Spun) -> None:
    group = UrgentCallbackGroup()
    order: list[str] = []
    spun.node.create_subscription(Int32, "plain", lambda _: order.append("plain"), 10)
    spun.node.create_subscription(
        Int32, "urgent", lambda _: order.append("urgent"), 10, callback_group=group
    )
    publishers = [spun.node.create_publisher(Int32, name, 10) for name in ("plain", "urgent")]
    spun.until(lambda: all(each.get_subscription_count() for each in publishers))
    spun.executor.spin_once(0.0)
    for publisher in publishers:
        publisher.publish(Int32())
        assert publisher.wait_for_all_acked(Duration(seconds=LIMIT))
    while len(order) < 2:
        spun.executor.spin_once(LIMIT)
    assert order == ["urgent", "plain"]


def test_an_urgent_service_is_served(spun: Spun) -> None:
    def answer(_request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.message = "at once"
        return response

    group = UrgentCallbackGroup()
    spun.node.create_service(Trigger, "asked", answer, callback_group=group)
    client = spun.node.create_client(Trigger, "asked")
    spun.until(client.service_is_ready)
    answered = client.call_async(Trigger.Request())
    spun.until(answered.done)
    assert answered.result().message == "at once"
