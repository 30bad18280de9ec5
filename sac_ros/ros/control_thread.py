# SPDX-License-Identifier: Apache-2.0
"""A thread that waits for messages, calls and time alone, and serves them one after the other.

rclpy's executors gather all entities of a node, make a wait set and a task for every callback, and
run parameters, services and logging in the same thread. What commands a robot waits here instead,
on a wait set of its own (docs/timing.md compares the two).
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack
from typing import Any, TypeVar

from rclpy.callback_groups import CallbackGroup
from rclpy.guard_condition import GuardCondition
from rclpy.impl.implementation_singleton import rclpy_implementation as _rclpy
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.service import Service
from rclpy.subscription import Subscription

T = TypeVar("T")

SWITCH_INTERVAL_S = 0.0005
"""For `sys.setswitchinterval`: Python's own 5 ms are longer than the period of a robot's states,
and another thread may hold Python's lock for as long."""

_LONGEST_WAIT_S = 0.1
_ANSWER_S = 10.0


class Apart(CallbackGroup):
    """Keeps entities from the executor.

    Their QoS events too: Fast DDS wakes who waits for an event of a subscription with every
    message.
    """

    def can_execute(self, entity: Any) -> bool:  # noqa: ARG002
        """Never."""
        return False

    def beginning_execution(self, entity: Any) -> bool:  # noqa: ARG002
        """Never."""
        return False

    def ending_execution(self, entity: Any) -> None:
        """There was none."""


class ControlThread:
    """Serves the subscriptions and services that are made through it, and a tick.

    What a callback raises is raised again in the executor's thread, the first time, and the
    thread goes on: it is the one that stops the arm.
    """

    def __init__(
        self,
        node: Node,
        *,
        next_tick: Callable[[], float],
        tick: Callable[[], object],
    ) -> None:
        """Starts the thread.

        Args:
            node: makes the entities; its executor serves all others.
            next_tick: when ``tick`` is due next, s of time.monotonic; asked before each wait.
            tick: called when it is due.
        """
        self._node = node
        self._next_tick, self._tick = next_tick, tick
        self._failure: BaseException | None = None
        self._failed = node.create_guard_condition(self._raise)
        self._group = Apart()
        self._alarm = GuardCondition(None, None, context=node.context)
        self._works: deque[Callable[[], object]] = deque()
        self._subscriptions: list[Subscription[Any]] = []
        self._services: list[Service[Any, Any, Any]] = []
        self._held = ExitStack()
        self._ended = False
        self._gather()
        self._thread = threading.Thread(target=self._run, name="control", daemon=True)
        self._thread.start()

    # ---- from any thread ---------------------------------------------------------------------

    def subscribe(
        self,
        kind: Any,
        topic: str,
        callback: Callable[[bytes], object],
        qos: QoSProfile | int,
    ) -> Subscription[Any]:
        """Give every message of a topic to a callback, serialised as it came (CDR)."""
        made = self._node.create_subscription(
            kind, topic, callback, qos, callback_group=self._group, raw=True
        )
        self.call(lambda: self._add(self._subscriptions, made))
        return made

    def unsubscribe(self, subscription: Subscription[Any]) -> None:
        """Serve a subscription no longer, and destroy it."""
        self.call(lambda: self._remove(subscription))
        self._node.destroy_subscription(subscription)

    def serve(self, kind: Any, name: str, callback: Callable[[Any, Any], Any]) -> None:
        """Offer a service whose callback takes and returns what rclpy's do."""
        made = self._node.create_service(kind, name, callback, callback_group=self._group)
        self.call(lambda: self._add(self._services, made))

    def post(self, work: Callable[[], object]) -> None:
        """Have the thread do something between two messages."""
        self._works.append(work)
        self._alarm.trigger()

    def call(self, work: Callable[[], T]) -> T:
        """Have the thread do something, and return or raise what comes of it."""
        if threading.current_thread() is self._thread or not self._thread.is_alive():
            return work()
        done: Future[T] = Future()

        def act() -> None:
            try:
                done.set_result(work())
            except BaseException as error:  # raised again in the thread that waits for it
                done.set_exception(error)

        self.post(act)
        return done.result(_ANSWER_S)

    def close(self) -> None:
        """End the thread; what it served is served no longer."""
        self._ended = True
        if self._thread.is_alive():
            self._alarm.trigger()
            self._thread.join()
        self._held.close()
        self._alarm.destroy()

    def _raise(self) -> None:
        if self._failure is not None:
            raise self._failure

    # ---- in the thread -----------------------------------------------------------------------

    def _add(self, entities: list[Any], entity: Any) -> None:
        entities.append(entity)
        self._gather()

    def _remove(self, subscription: Subscription[Any]) -> None:
        self._subscriptions.remove(subscription)
        self._gather()

    def _gather(self) -> None:
        """Make a new wait set; what it holds is not destroyed before the next one."""
        self._held.close()
        waited = (self._alarm, *self._subscriptions, *self._services)
        for entity in waited:
            self._held.enter_context(entity.handle)
        context = self._node.context.handle
        with context:
            self._set = _rclpy.WaitSet(
                len(self._subscriptions), 1, 0, 0, len(self._services), 0, context
            )

    def _run(self) -> None:
        while not self._ended and self._node.context.ok():
            try:
                self._wait()
                self._serve()
            except BaseException as error:  # of a callback, whatever it is: the arm comes first
                if self._failure is None and self._node.context.ok():
                    self._failure = error
                    self._failed.trigger()

    def _wait(self) -> None:
        self._set.clear_entities()  # rcl strikes out what was not ready
        self._set.add_guard_condition(self._alarm.handle)
        for subscription in self._subscriptions:
            self._set.add_subscription(subscription.handle)
        for service in self._services:
            self._set.add_service(service.handle)
        left = min(self._next_tick() - time.monotonic(), _LONGEST_WAIT_S)
        self._set.wait(round(max(left, 0.0) * 1e9))

    def _serve(self) -> None:
        ready = self._set.is_ready
        messages = [s for i, s in enumerate(self._subscriptions) if ready("subscription", i)]
        calls = [s for i, s in enumerate(self._services) if ready("service", i)]
        for service in calls:
            _answer(service)
        for subscription in messages:
            taken = subscription.handle.take_message(subscription.msg_type, subscription.raw)
            if taken is not None:
                subscription.callback(taken[0])
        for _ in range(len(self._works)):
            self._works.popleft()()
        if time.monotonic() >= self._next_tick():
            self._tick()


def _answer(service: Service[Any, Any, Any]) -> None:
    """Answer a call that waits, if there is one."""
    request, header = service.handle.service_take_request(service.srv_type.Request)
    if header is not None:
        service.send_response(service.callback(request, service.srv_type.Response()), header)
