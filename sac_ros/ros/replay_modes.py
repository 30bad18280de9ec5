# SPDX-License-Identifier: Apache-2.0
"""The two ways to replay: in lock-step with the policy_node's answers, or at the recorded pace."""

from __future__ import annotations

import copy
import threading
import time
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from typing import Any

from builtin_interfaces.msg import Time as TimeMessage
from rclpy.publisher import Publisher
from rclpy.serialization import deserialize_message, serialize_message
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState
from std_srvs.srv import SetBool, Trigger

from sac_ros.ros.remote_node import RemoteNodeError, RemoteTimeoutError
from sac_ros.ros.replay_events import ReplayEvent, stamp_ns
from sac_ros.ros.replayed_policy_node import TICKED, with_time
from sac_ros.ros.shadow_policy import PUBLISHED, ShadowPolicy
from sac_ros.utils.errors import BagError

_RESEND_S = 0.5  # the first states may come before the connection stands
_PRIMINGS = 40
_FIRST_STATES_S = 0.02  # from one to the next at the recorded pace, until the node is active


class LockStep(ShadowPolicy):
    """Sends the next event when the one before is answered, and writes in the order of the events.

    Times in the replay's bag are those of the bag that is replayed: two replays are equal.
    """

    def __init__(self, *connections: Any) -> None:
        """Connects as `ShadowPolicy` does."""
        self._received: dict[str, deque[bytes]] = {name: deque() for name in PUBLISHED}
        self._active = False
        super().__init__(*connections)

    def run(self, events: Iterable[ReplayEvent]) -> None:
        """Replay all events; see `ShadowPolicy.run`."""
        for event in events:
            self._step(event)
            # What came since the last event; always in the same order of the topics.
            for name, messages in self._received.items():
                while messages:
                    self._write(f"policy_node/{name}", event.bag_ns, messages.popleft())
        if self._active:
            self.change_state("deactivate")

    def _receive(self, name: str, cdr: bytes) -> None:
        self._received[name].append(cdr)

    def _step(self, event: ReplayEvent) -> None:
        kind = event.kind
        if event.state is not None and kind == "state":
            self._state(event, event.state)
        elif kind == "tick":
            self._joint_states.publish(with_time(JointState(), event.time))
            self._next_event(TICKED)
        elif event.goal is not None:
            self._goals.publish(event.goal)
            self._next_event("goal")
            self._write("goal_pose", event.bag_ns, serialize_message(event.goal))
        elif kind == "activate" and not self._active:
            self._show(event)
            self.change_state("activate")
            self._active = True
        elif kind == "deactivate" and self._active:
            self.change_state("deactivate")
            self._active = False
        elif kind == "emergency_stop":
            self.call(SetBool, "emergency_stop", SetBool.Request(data=event.engaged))
        elif kind == "clear_fault":
            self.call(Trigger, "clear_fault", Trigger.Request())  # a refusal is an answer too

    def _show(self, event: ReplayEvent) -> None:
        """Publish a joint state of the time of an activation, which is refused without one."""
        if event.state is None:
            raise BagError("the bag has no joint state from about the time of the activation")
        for _ in range(_PRIMINGS):
            self._joint_states.publish(with_time(_without_stamp(event.state), event.time))
            with suppress(RemoteTimeoutError):
                self._next_event("state", _RESEND_S, active=False)
                return
        raise RemoteNodeError(f"{self.target} does not hear {self._joint_states.topic_name}")

    def _state(self, event: ReplayEvent, state: JointState) -> None:
        self._joint_states.publish(with_time(state, event.time, late=event.late))
        answer = self._next_event("state", stamp=stamp_ns(state))
        self._write("joint_states", event.bag_ns, serialize_message(state))
        self.tally.states += 1
        for name, published in (
            ("policy_torque", "has_policy_torque"),
            ("applied_torque", "applied"),
        ):
            if answer.get(published):
                self.wait_until(
                    partial(bool, self._received[name]), f"{self.target} says nothing on {name}"
                )
        if answer.get("applied"):
            self.tally.torques += 1
            if event.applied is not None:
                self._compare(self._received["applied_torque"][-1], event.applied)

    def _compare(self, cdr: bytes, recorded: tuple[float, ...]) -> None:
        torque = tuple(deserialize_message(cdr, JointState).effort)
        self.tally.compared += 1
        if torque == recorded:
            self.tally.equal += 1
        elif len(torque) == len(recorded):
            pairs = zip(torque, recorded, strict=True)
            self.tally.worst = max(self.tally.worst, *(abs(a - b) for a, b in pairs))


class PacedReplay(ShadowPolicy):
    """Sends states and goals without waiting for answers, as a robot does.

    The policy_node decides by its own clock: no two such replays are equal.
    """

    def __init__(
        self, *connections: Any, rate: float, clock: Publisher | None, stopped: threading.Event
    ) -> None:
        """Connects as `ShadowPolicy` does.

        Args:
            connections: see there.
            rate: 2 is twice as fast as recorded.
            clock: publishes the recording's time, that of the joint states' stamps.
            stopped: ends the replay when set.
        """
        self._rate = rate
        self._clock = clock
        self._stopped = stopped
        super().__init__(*connections)

    def run(self, events: Iterable[ReplayEvent]) -> None:
        """Replay the states and goals of all events; see `ShadowPolicy.run`."""
        begun: tuple[float, int] | None = None
        for event in events:
            if event.state is None and event.goal is None:
                continue
            if begun is None:
                if event.state is None:
                    continue  # no robot yet: a goal is taken once there is one
                self._activate_beside(event.state)
                begun = time.monotonic(), event.bag_ns
            due = begun[0] + (event.bag_ns - begun[1]) * 1e-9 / self._rate
            if self._stopped.wait(max(0.0, due - time.monotonic())):
                break
            if event.kind != "activate":
                self._publish(event)
        self.change_state("deactivate")

    def _receive(self, name: str, cdr: bytes) -> None:
        self.tally.torques += name == "applied_torque"
        self._write(f"policy_node/{name}", time.time_ns(), cdr)

    def _activate_beside(self, first: JointState) -> None:
        """Publish the first state until the policy_node is active: it wants a robot."""
        active = threading.Event()

        def show() -> None:
            while not active.wait(_FIRST_STATES_S):
                self._joint_states.publish(_without_stamp(first))

        thread = threading.Thread(target=show, name="first state", daemon=True)
        thread.start()
        try:
            self.change_state("activate")
        finally:
            active.set()
            thread.join()

    def _publish(self, event: ReplayEvent) -> None:
        now_ns = time.time_ns()
        if event.goal is not None:
            self._goals.publish(event.goal)
            self._write("goal_pose", now_ns, serialize_message(event.goal))
        elif event.state is not None:
            if self._clock is not None:
                message = Clock()
                ns = stamp_ns(event.state) or event.bag_ns
                message.clock.sec, message.clock.nanosec = divmod(ns, 1_000_000_000)
                self._clock.publish(message)
            self._joint_states.publish(event.state)
            self._write("joint_states", now_ns, serialize_message(event.state))
            self.tally.states += 1


def _without_stamp(state: JointState) -> JointState:
    """Return a copy that does not make the next state with the same stamp look repeated."""
    first = copy.deepcopy(state)
    first.header.stamp = TimeMessage()
    return first
