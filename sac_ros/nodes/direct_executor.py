# SPDX-License-Identifier: Apache-2.0
"""An executor that goes from the wait set straight to the callback; see docs/timing.md."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.context import Context
from rclpy.exceptions import InvalidHandle
from rclpy.executors import (
    ConditionReachedException,
    Executor,
    ExternalShutdownException,
    ShutdownException,
    TimeoutException,
)
from rclpy.guard_condition import GuardCondition
from rclpy.node import Node
from rclpy.task import Future

from sac_ros.nodes.wait_set import KeptWaitSet

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
