# SPDX-License-Identifier: Apache-2.0
"""All that some nodes wait for, gathered once and waited for again and again."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.context import Context
from rclpy.exceptions import InvalidHandle
from rclpy.executors import NumberOfEntities
from rclpy.guard_condition import GuardCondition
from rclpy.impl.implementation_singleton import rclpy_implementation as _rclpy
from rclpy.node import Node
from rclpy.subscription import Subscription
from rclpy.timer import Timer


class KeptWaitSet:
    """The wait set of some nodes, for as long as nothing is created or destroyed in them.

    What it holds cannot be destroyed before `close`: rclpy puts that off until then.
    """

    def __init__(
        self,
        nodes: Iterable[Node],
        alarm: GuardCondition,
        context: Context,
        only: type[CallbackGroup] | None = None,
    ) -> None:
        """Gathers what there is to wait for.

        Args:
            nodes: whose subscriptions, timers, services, clients, guards and waitables.
            alarm: ends a wait from another thread.
            context: of them all.
            only: leaves out what is in no callback group of this kind; guards have none.
        """
        nodes = list(nodes)
        self._held = ExitStack()

        def chosen(kind: str) -> list[Any]:
            found = (entity for node in nodes for entity in getattr(node, kind))
            return [e for e in found if only is None or _is_in(e, only)]

        subscriptions = self._hold(chosen("subscriptions"))
        timers = self._hold(chosen("timers"))
        # Plain ones first, so that the index of a callback is that of its entity.
        subscriptions.sort(key=lambda sub: not _is_plain(sub.callback, arguments=1))
        timers.sort(key=lambda timer: not _is_plain(timer.callback, arguments=0))
        self._takes = [_take(s) for s in subscriptions if _is_plain(s.callback, arguments=1)]
        self._calls = [_call(t) for t in timers if _is_plain(t.callback, arguments=0)]
        self._subscriptions = [sub.handle for sub in subscriptions]
        self._timers = [timer.handle for timer in timers]
        self._services = [s.handle for s in self._hold(chosen("services"))]
        self._clients = [c.handle for c in self._hold(chosen("clients"))]
        self._guards = [alarm, *self._hold(chosen("guards"))]
        self._waitables = self._hold_waitables(chosen("waitables"))
        count = NumberOfEntities(
            len(self._subscriptions),
            len(self._guards),
            len(self._timers),
            len(self._clients),
            len(self._services),
        )
        for waitable in self._waitables:
            count += waitable.get_num_entities()
        with context.handle:
            self._set = _rclpy.WaitSet(
                count.num_subscriptions,
                count.num_guard_conditions,
                count.num_timers,
                count.num_clients,
                count.num_services,
                count.num_events,
                context.handle,
            )

    @property
    def empty(self) -> bool:
        """Whether there is nothing to wait for but the alarm."""
        rest = (self._subscriptions, self._timers, self._services, self._clients, self._waitables)
        return len(self._guards) == 1 and not any(rest)

    def close(self) -> None:
        """Let what is held be destroyed."""
        self._held.close()

    def wait(self, timeout_ns: int) -> None:
        """Wait until something is ready, at most ``timeout_ns``; negative: for ever."""
        wait_set = self._set
        wait_set.clear_entities()  # rcl strikes out what was not ready
        for handle in self._subscriptions:
            wait_set.add_subscription(handle)
        for handle in self._timers:
            wait_set.add_timer(handle)
        for guard in self._guards:
            wait_set.add_guard_condition(guard.handle)
        for handle in self._services:
            wait_set.add_service(handle)
        for handle in self._clients:
            wait_set.add_client(handle)
        for waitable in self._waitables:
            waitable.add_to_wait_set(wait_set)
        wait_set.wait(timeout_ns)

    def ready_messages(self) -> Iterator[Callable[[], None]]:
        """Yield, for each plain subscription that is ready, what takes one message to it."""
        for index, take in enumerate(self._takes):
            if self._set.is_ready("subscription", index):
                yield take

    def ready_timers(self) -> Iterator[Callable[[], None]]:
        """Yield, for each plain timer that is ready, what calls it."""
        for index, call in enumerate(self._calls):
            if self._set.is_ready("timer", index):
                yield call

    def rest_is_ready(self) -> bool:
        """Tell whether anything else is ready, except the alarm."""
        ready = self._set.is_ready
        return (
            any(ready("service", index) for index in range(len(self._services)))
            or any(ready("client", index) for index in range(len(self._clients)))
            or self._guard_is_ready()
            or any(ready("timer", i) for i in range(len(self._calls), len(self._timers)))
            or any(
                ready("subscription", index)
                for index in range(len(self._takes), len(self._subscriptions))
            )
            or any(waitable.is_ready(self._set) for waitable in self._waitables)
        )

    def _guard_is_ready(self) -> bool:
        """Tell whether a node's guard is ready, and leave it so: a wait takes the trigger away."""
        ready = [
            guard
            for index, guard in enumerate(self._guards)
            if index > 0 and self._set.is_ready("guard_condition", index)
        ]
        for guard in ready:
            guard.trigger()
        return bool(ready)

    def _hold(self, entities: Iterable[Any]) -> list[Any]:
        """Keep entities from being destroyed, and return those that are not yet."""
        held = []
        for entity in entities:
            try:
                self._held.enter_context(entity.handle)
            except InvalidHandle:
                continue
            held.append(entity)
        return held

    def _hold_waitables(self, waitables: Iterable[Any]) -> list[Any]:
        held = []
        for waitable in waitables:
            try:
                self._held.enter_context(waitable)
            except InvalidHandle:
                continue
            held.append(waitable)
        return held


def _is_in(entity: Any, kind: type[CallbackGroup]) -> bool:
    return isinstance(getattr(entity, "callback_group", None), kind)


def _is_plain(callback: Callable[..., Any], arguments: int) -> bool:
    """Tell whether a callback is no coroutine and takes so many arguments."""
    if inspect.iscoroutinefunction(callback):
        return False
    try:
        return len(inspect.signature(callback).parameters) == arguments
    except (TypeError, ValueError):  # some builtins have no signature
        return False


def _take(subscription: Subscription[Any]) -> Callable[[], None]:
    """What takes one message of a subscription to its callback."""
    handle, callback = subscription.handle, subscription.callback
    kind, raw = subscription.msg_type, subscription.raw

    def take() -> None:
        taken = handle.take_message(kind, raw)
        if taken is not None:
            callback(taken[0])

    return take


def _call(timer: Timer) -> Callable[[], None]:
    """What calls a timer's callback and has rcl note the call."""
    handle, callback = timer.handle, timer.callback

    def call() -> None:
        if handle.is_timer_ready():  # not cancelled since the wait
            handle.call_timer()
            callback()

    return call
