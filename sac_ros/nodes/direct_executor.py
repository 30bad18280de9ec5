# SPDX-License-Identifier: Apache-2.0
"""An executor that goes from the wait set straight to the callback; see docs/timing.md."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

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


class DirectExecutor(Executor):
    """Runs all callbacks in the thread that spins it, messages first.

    For every callback rclpy's own executors make a wait set, a task and two coroutines, which is
    more work than most callbacks do. This one keeps its wait set until something is created or
    destroyed, and calls the plain callbacks of subscriptions and timers itself. Everything else
    (services, clients, waitables, coroutines, callbacks that want more than the message) is rare
    in a control loop, and runs as rclpy runs it.

    Plain callbacks cannot overlap in one thread, so their callback groups are not asked.
    """

    def __init__(self, *, context: Context | None = None) -> None:
        super().__init__(context=context)
        self._alarm: GuardCondition | None = GuardCondition(None, None, context=self.context)
        self._waiting = KeptWaitSet((), self._alarm, self.context)
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
        self._waiting.close()
        if self._alarm is not None:
            self._alarm.destroy()
            self._alarm = None
        return bool(super().shutdown(timeout_sec))

    # ---- spinning ----------------------------------------------------------------------------

    def spin_once(self, timeout_sec: float | None = None) -> None:
        """Wait until something is ready, and run all that is.

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
            # Before the look: what changes during it must make it stale again.
            self._stale = False
            self._waiting.close()
            self._waiting = KeptWaitSet(self.get_nodes(), self._alarm, self.context)
            # What became ready for rclpy alone (tasks) woke us with what else changed.
            self._serve_by_rclpy()
            if self._must_look_again():
                return
        waiting = self._waiting
        waiting.wait(timeout_ns)
        if not self.context.ok():
            raise ExternalShutdownException
        for take in waiting.ready_messages():
            take()
            if self._must_look_again():
                return  # what else is ready may be gone; the next wait will tell
        for call in waiting.ready_timers():
            call()
            if self._must_look_again():
                return
        if waiting.rest_is_ready():
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
