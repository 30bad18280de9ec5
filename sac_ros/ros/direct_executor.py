# SPDX-License-Identifier: Apache-2.0
"""An executor that goes from the wait set straight to the callback; see docs/timing.md."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from typing import Any, Literal

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

# In the order in which they are served, and in which rclpy's `NumberOfEntities` counts them.
_Kind = Literal["subscription", "timer", "client", "service"]
_KINDS: tuple[_Kind, ...] = ("subscription", "timer", "client", "service")


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
        """Gathers all entities of the nodes, or those in a callback group of the kind ``only``.

        ``alarm`` ends a wait from another thread.
        """
        nodes = list(nodes)
        self._held = ExitStack()

        def chosen(kind: str) -> list[Any]:
            found = (entity for node in nodes for entity in getattr(node, kind))
            return self._hold(e for e in found if only is None or _is_in(e, only))

        entities = {kind: chosen(f"{kind}s") for kind in _KINDS}
        self._guards = [alarm, *chosen("guards")]
        self._waitables = chosen("waitables")
        self._plain: list[tuple[_Kind, int, Callable[[], None]]] = []
        self._rest: list[tuple[_Kind, int]] = []
        for kind, those in entities.items():
            for index, entity in enumerate(those):
                run = _DIRECTLY[kind](entity) if kind in _DIRECTLY else None
                if run is None:
                    self._rest.append((kind, index))
                else:
                    self._plain.append((kind, index, run))
        subscriptions, timers, clients, services = map(len, entities.values())
        count = NumberOfEntities(subscriptions, len(self._guards), timers, clients, services)
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
        self._members = [
            (getattr(self._set, f"add_{kind}"), entity.handle)
            for kind, those in (*entities.items(), ("guard_condition", self._guards))
            for entity in those
        ]

    @property
    def empty(self) -> bool:
        """Whether there is nothing to wait for but the alarm."""
        return len(self._members) == 1 and not self._waitables

    def close(self) -> None:
        """Let what is held be destroyed."""
        self._held.close()

    def wait(self, timeout_ns: int) -> None:
        """Wait until something is ready, at most ``timeout_ns``; negative: for ever."""
        self._set.clear_entities()  # rcl strikes out what was not ready
        for add, handle in self._members:
            add(handle)
        for waitable in self._waitables:
            waitable.add_to_wait_set(self._set)
        self._set.wait(timeout_ns)

    def ready(self) -> Iterator[Callable[[], None]]:
        """Yield what serves each plain subscription and then each plain timer that is ready."""
        for kind, index, run in self._plain:
            if self._set.is_ready(kind, index):
                yield run

    def rest_is_ready(self) -> bool:
        """Return whether anything else is ready, except the alarm."""
        ready = self._set.is_ready
        fired = [g for i, g in enumerate(self._guards) if i > 0 and ready("guard_condition", i)]
        for guard in fired:
            guard.trigger()  # the wait took the trigger away, and rclpy waits again
        return (
            bool(fired)
            or any(ready(kind, index) for kind, index in self._rest)
            or any(waitable.is_ready(self._set) for waitable in self._waitables)
        )

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


def _take(subscription: Subscription[Any]) -> Callable[[], None] | None:
    """Return what takes one message to the callback; None where that is not plain."""
    handle, callback = subscription.handle, subscription.callback
    kind, raw = subscription.msg_type, subscription.raw

    def take() -> None:
        taken = handle.take_message(kind, raw)
        if taken is not None:
            callback(taken[0])

    return take if _is_plain(callback, arguments=1) else None


def _call(timer: Timer) -> Callable[[], None] | None:
    """Return what calls the callback and has rcl note the call; None where that is not plain."""
    handle, callback = timer.handle, timer.callback

    def call() -> None:
        if handle.is_timer_ready():  # not cancelled since the wait
            handle.call_timer()
            callback()

    return call if _is_plain(callback, arguments=0) else None


_DIRECTLY: dict[_Kind, Callable[[Any], Callable[[], None] | None]] = {
    "subscription": _take,
    "timer": _call,
}
_FOREVER_NS = -1
_PAUSE_NS = 4_000_000
_LONGEST_PAUSE_NS = 10_000_000


class UrgentCallbackGroup(MutuallyExclusiveCallbackGroup):
    """What `DirectExecutor` waits for alone; for other executors it is its base class."""


class DirectExecutor(Executor):
    """Runs all callbacks in the thread that spins it, messages first.

    rclpy's own executors make a wait set, a task and two coroutines for every callback. This one
    keeps its wait set until something is created or destroyed, and calls the plain callbacks of
    subscriptions and timers itself. Everything else (services, clients, waitables, coroutines,
    callbacks that want more than the message) is rare in a control loop, and left to rclpy.
    Plain callbacks cannot overlap in one thread, so their callback groups are not asked.

    Where a node has entities in an `UrgentCallbackGroup`, the executor waits for these alone: to
    be woken by one of three is quicker than by one of thirty. It looks at all others right after
    it has served something urgent, if that is 4 ms ago, and after 10 ms at the latest.
    """

    def __init__(self, *, context: Context | None = None) -> None:
        super().__init__(context=context)
        self._alarm: GuardCondition | None = GuardCondition(None, None, context=self.context)
        self._all = KeptWaitSet((), self._alarm, self.context)
        self._urgent: KeptWaitSet | None = None
        self._all_seen_ns = 0  # of time.monotonic_ns
        self._stale = True

    # ---- from any thread ---------------------------------------------------------------------

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
        """Let go of everything. Not to be called while another thread spins."""
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
        if self._alarm is None:
            return
        if self._stale:
            self._look_again()
            # What became ready for rclpy alone (tasks) woke us with what else changed.
            self._serve_by_rclpy()
            if self._stale:
                return
        timeout_ns = _FOREVER_NS
        if timeout_sec is not None and timeout_sec >= 0:
            timeout_ns = round(timeout_sec * 1e9)
        if self._urgent is None:
            self._all.wait(timeout_ns)
            self._serve(self._all)
            return
        left = max(self._all_seen_ns + _LONGEST_PAUSE_NS - time.monotonic_ns(), 0)
        self._urgent.wait(left if timeout_ns < 0 else min(left, timeout_ns))
        self._serve(self._urgent)
        if not self._stale and time.monotonic_ns() - self._all_seen_ns >= _PAUSE_NS:
            self._all.wait(0)
            self._serve(self._all)
            self._all_seen_ns = time.monotonic_ns()

    def spin_until_future_complete(
        self, future: Future[Any], timeout_sec: float | None = None
    ) -> None:
        """Spin until a future is done, or for ``timeout_sec`` seconds; None: without an end."""
        future.add_done_callback(lambda _: self.wake())
        deadline = None
        if timeout_sec is not None and timeout_sec >= 0:
            deadline = time.monotonic() + timeout_sec
        while self.context.ok() and self._alarm is not None and not future.done():
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return
            self.spin_once(left)

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
        for run in waited.ready():
            run()
            if self._stale:
                return  # what else is ready may be gone; the next wait finds out
        if waited.rest_is_ready():
            self._serve_by_rclpy()

    def _serve_by_rclpy(self) -> None:
        """Run all that is ready as rclpy's own executors do."""

        def never() -> bool:  # another one each time: rclpy then looks anew, and does not go on
            return False  # with a look that an exception cut short

        with suppress(TimeoutException, ShutdownException, ConditionReachedException):
            while True:
                handler, _, _ = self.wait_for_ready_callbacks(0, None, never)
                handler()
                handler.result()  # raises what the callback raised
