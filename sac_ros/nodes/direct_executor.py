# SPDX-License-Identifier: Apache-2.0
"""An executor that goes from the wait set straight to the callback; see docs/timing.md."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

from rclpy.callback_groups import CallbackGroup, MutuallyExclusiveCallbackGroup
from rclpy.context import Context
from rclpy.exceptions import InvalidHandle
from rclpy.executors import (
    ConditionReachedException,
    Executor,
    ExternalShutdownException,
    NumberOfEntities,
    ShutdownException,
    TimeoutException,
)
from rclpy.guard_condition import GuardCondition
from rclpy.impl.implementation_singleton import rclpy_implementation as _rclpy
from rclpy.node import Node
from rclpy.subscription import Subscription
from rclpy.task import Future
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
        self._waitables = self._hold(chosen("waitables"))
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
                # A waitable is its own handle.
                self._held.enter_context(getattr(entity, "handle", entity))
            except InvalidHandle:
                continue
            held.append(entity)
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


_FOREVER_NS = -1
_PAUSE_NS = 4_000_000
_LONGEST_PAUSE_NS = 10_000_000


class UrgentCallbackGroup(MutuallyExclusiveCallbackGroup):
    """What `DirectExecutor` waits for alone; any other executor takes it for its base class."""


class DirectExecutor(Executor):
    """Runs all callbacks in the thread that spins it, messages first.

    For every callback rclpy's own executors make a wait set, a task and two coroutines, which is
    more work than most callbacks do. This one keeps its wait set until something is created or
    destroyed, and calls the plain callbacks of subscriptions and timers itself. Everything else
    (services, clients, waitables, coroutines, callbacks that want more than the message) is rare
    in a control loop, and runs as rclpy runs it.

    Plain callbacks cannot overlap in one thread, so their callback groups are not asked.

    Where a node has entities in an `UrgentCallbackGroup`, the executor waits for these alone: to
    be woken by one of three is quicker than by one of thirty. It looks at all others in between,
    right after it has served something urgent, when the next message is farthest away, but not
    more often than every 4 ms; and after 10 ms at the latest. So what is not urgent waits up to
    10 ms longer, and is never starved.
    """

    def __init__(self, *, context: Context | None = None) -> None:
        super().__init__(context=context)
        self._alarm: GuardCondition | None = GuardCondition(None, None, context=self.context)
        self._all = KeptWaitSet((), self._alarm, self.context)
        self._urgent: KeptWaitSet | None = None
        self._all_seen_ns = 0  # of time.monotonic_ns
        self._stale = True

    # ---- what changes the wait set, from any thread ------------------------------------------

    def wake(self) -> None:
        """End the wait, and look again at what there is to wait for; rclpy's nodes call it."""
        super().wake()
        self._stale = True
        alarm = self._alarm
        if alarm is not None:
            with suppress(InvalidHandle):  # shut down meanwhile
                alarm.trigger()

    def add_node(self, node: Node) -> bool:
        """Serve a node; False when it is served already."""
        added = bool(super().add_node(node))
        self.wake()
        return added

    def remove_node(self, node: Node) -> None:
        """Serve a node no longer."""
        super().remove_node(node)
        self.wake()

    def create_task(self, callback: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Have a callback or coroutine run by the spinning thread."""
        task = super().create_task(callback, *args, **kwargs)
        self.wake()
        return task

    def shutdown(self, timeout_sec: float | None = None) -> bool:
        """Stop spinning and let go of everything. Not to be called while another thread spins."""
        self._close()
        if self._alarm is not None:
            self._alarm.destroy()
            self._alarm = None
        return bool(super().shutdown(timeout_sec))

    # ---- spinning ----------------------------------------------------------------------------

    def spin_once(self, timeout_sec: float | None = None) -> None:
        """Wait until something is ready, and run all that is.

        Where something is urgent, this may return after 10 ms with nothing run.

        Args:
            timeout_sec: longest wait, s; None or negative: for ever.

        Raises:
            ExternalShutdownException: the context is shut down.
        """
        if timeout_sec is None or timeout_sec < 0:
            self._spin_once(_FOREVER_NS)
        else:
            self._spin_once(round(timeout_sec * 1e9))

    def spin_until_future_complete(
        self, future: Future[Any], timeout_sec: float | None = None
    ) -> None:
        """Spin until a future is done, or for ``timeout_sec`` seconds; None: without an end."""
        future.add_done_callback(lambda _: self.wake())
        deadline = None
        if timeout_sec is not None and timeout_sec >= 0:
            deadline = self._now_ns() + round(timeout_sec * 1e9)
        while self.context.ok() and self._alarm is not None and not future.done():
            left = _FOREVER_NS if deadline is None else deadline - self._now_ns()
            if deadline is not None and left <= 0:
                return
            self._spin_once(left)

    def spin_once_until_future_complete(
        self, future: Future[Any], timeout_sec: Any = None
    ) -> None:
        """Like `spin_once`; a future that gets done ends the wait."""
        future.add_done_callback(lambda _: self.wake())
        self.spin_once(getattr(timeout_sec, "timeout", timeout_sec))

    def _now_ns(self) -> int:
        return int(self._clock.now().nanoseconds)

    def _spin_once(self, timeout_ns: int) -> None:
        if self._alarm is None:
            return
        if self._must_look_again():
            self._look_again()
            # What became ready for rclpy alone (tasks) woke us with what else changed.
            self._serve_by_rclpy()
            if self._must_look_again():
                return
        if self._urgent is None:
            self._all.wait(timeout_ns)
            self._serve(self._all)
            return
        left = max(self._all_seen_ns + _LONGEST_PAUSE_NS - time.monotonic_ns(), 0)
        self._urgent.wait(left if timeout_ns < 0 else min(left, timeout_ns))
        self._serve(self._urgent)
        if self._must_look_again():
            return
        if time.monotonic_ns() - self._all_seen_ns >= _PAUSE_NS:
            self._all.wait(0)
            self._serve(self._all)
            self._all_seen_ns = time.monotonic_ns()

    def _look_again(self) -> None:
        """Gather anew what there is to wait for."""
        # Before the look: what changes during it must make it stale again.
        self._stale = False
        self._close()
        nodes = self.get_nodes()
        self._all = KeptWaitSet(nodes, self._alarm, self.context)
        urgent = KeptWaitSet(nodes, self._alarm, self.context, only=UrgentCallbackGroup)
        if urgent.empty:
            urgent.close()
        else:
            self._urgent = urgent

    def _close(self) -> None:
        """Let go of what was waited for."""
        self._all.close()
        if self._urgent is not None:
            self._urgent.close()
            self._urgent = None

    def _serve(self, waited: KeptWaitSet) -> None:
        """Run all that is ready."""
        if not self.context.ok():
            raise ExternalShutdownException
        for take in waited.ready_messages():
            take()
            if self._must_look_again():
                return  # what else is ready may be gone; the next wait will tell
        for call in waited.ready_timers():
            call()
            if self._must_look_again():
                return
        if waited.rest_is_ready():
            self._serve_by_rclpy()

    def _must_look_again(self) -> bool:
        return self._stale

    def _serve_by_rclpy(self) -> None:
        """Run all that is ready as rclpy's own executors do."""

        def never() -> bool:  # another one each time: rclpy then looks anew, and does not go on
            return False  # with a look that an exception cut short

        with suppress(TimeoutException, ShutdownException, ConditionReachedException):
            while True:
                handler, _, _ = self.wait_for_ready_callbacks(0, None, never)
                handler()
                handler.result()  # raises what the callback raised
