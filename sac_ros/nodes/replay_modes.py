# SPDX-License-Identifier: Apache-2.0
"""Replays events one by one: the next only when the policy_node has answered the one before."""

from __future__ import annotations

import copy
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from builtin_interfaces.msg import Time as TimeMessage
from geometry_msgs.msg import PoseStamped
from rclpy.publisher import Publisher
from rclpy.serialization import deserialize_message, serialize_message
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState

from sac_ros.nodes.remote_node import RemoteNodeError, RemoteTimeoutError
from sac_ros.nodes.replay_events import ReplayEvent, stamp_ns
from sac_ros.nodes.replayed_policy_node import TICKED, replay_frame
from sac_ros.nodes.shadow_policy import SAYS, ShadowPolicy
from sac_ros.utils.errors import BagError

_RESEND_S = 0.5  # the first states may come before the connection stands
_PRIMINGS = 40

Write = Callable[[str, int, bytes], None]
"""(topic as in `RECORDED`, ns of receipt, CDR) → it is in the replay's own bag."""


@dataclass
class Tally:
    """What a replay came to.

    Attributes:
        states: joint states that were replayed.
        torques: torques that answer them.
        compared: those whose recorded torque is known.
        equal: how many of them are equal to the last bit.
        worst: N·m, the largest difference of the others.
    """

    states: int = 0
    torques: int = 0
    compared: int = 0
    equal: int = 0
    worst: float = 0.0


class LockStep:
    """Drives a `ShadowPolicy` through events, and writes what it says in the order of the events.

    Times in the replay's bag are those of the bag that is replayed, so that both can be laid over
    one another, and so that two replays give the same bag.
    """

    def __init__(self, write: Write) -> None:
        """``write`` takes everything that is told and said."""
        self.tally = Tally()
        self._write = write
        self._heard: dict[str, deque[bytes]] = {name: deque() for name in SAYS}
        self._active = False

    def hear(self, name: str, message: bytes) -> None:
        """Keep what the policy_node says; in the executor's thread."""
        self._heard[name].append(message)

    def run(self, policy: ShadowPolicy, events: Iterable[ReplayEvent]) -> None:
        """Replay all events.

        Raises:
            RemoteNodeError: the policy_node does not answer.
        """
        for event in events:
            self._step(policy, event)
        if self._active:
            policy.deactivate()

    def _step(self, policy: ShadowPolicy, event: ReplayEvent) -> None:
        kind = event.kind
        if event.state is not None and kind == "state":
            self._state(policy, event, event.state)
        elif kind == "tick":
            policy.joint_states.publish(_at(event.time, JointState()))
            policy.decision(TICKED)
        elif event.goal is not None:
            policy.goals.publish(event.goal)
            policy.decision("goal")
            self._write("goal_pose", event.bag_ns, serialize_message(event.goal))
        elif kind == "activate":
            self._activate(policy, event)
        elif kind == "deactivate" and self._active:
            policy.deactivate()
            self._active = False
        elif kind == "emergency_stop":
            policy.emergency_stop(event.engaged)
        elif kind == "clear_fault":
            policy.clear_fault()
        self._flush(event.bag_ns)

    def _activate(self, policy: ShadowPolicy, event: ReplayEvent) -> None:
        """Activate at the recorded time; a robot must have been heard, so let it be heard."""
        if self._active:
            return
        if event.state is None:
            raise BagError("the bag has no joint state from about the time of the activation")
        first = copy.deepcopy(event.state)
        first.header.stamp = TimeMessage()  # it must not make the next one look repeated
        for _ in range(_PRIMINGS):
            policy.joint_states.publish(_at(event.time, first))
            with suppress(RemoteTimeoutError):
                policy.decision("state", _RESEND_S, active=False)
                break
        else:
            raise RemoteNodeError(
                f"{policy.target} does not hear {policy.joint_states.topic_name}"
            )
        policy.activate()
        self._active = True

    def _state(self, policy: ShadowPolicy, event: ReplayEvent, state: JointState) -> None:
        policy.joint_states.publish(_at(event.time, state))
        answer = policy.decision("state", stamp=stamp_ns(state))
        self._write("joint_states", event.bag_ns, serialize_message(state))
        self.tally.states += 1
        expected = {
            "policy_torque": answer.get("asked", False),
            "applied_torque": answer.get("applied", False),
        }
        for name, comes in expected.items():
            if comes:
                policy.wait_until(
                    partial(bool, self._heard[name]), f"{policy.target} says nothing on {name}"
                )
        if expected["applied_torque"]:
            self.tally.torques += 1
            self._compare(event, self._heard["applied_torque"][-1])

    def _compare(self, event: ReplayEvent, cdr: bytes) -> None:
        if event.applied is None:
            return
        torque = tuple(deserialize_message(cdr, JointState).effort)
        self.tally.compared += 1
        if torque == event.applied:
            self.tally.equal += 1
        elif len(torque) == len(event.applied):
            pairs = zip(torque, event.applied, strict=True)
            self.tally.worst = max(self.tally.worst, *(abs(a - b) for a, b in pairs))

    def _flush(self, bag_ns: int) -> None:
        """Write what was said since the last event; always in the same order of the topics."""
        for name, messages in self._heard.items():
            while messages:
                self._write(f"policy_node/{name}", bag_ns, messages.popleft())


def _at(time: float, message: JointState) -> JointState:
    """Return the message with a time for `ReplayedPolicyNode` in the frame's place."""
    told = copy.copy(message)
    told.header = copy.deepcopy(message.header)
    told.header.frame_id = replay_frame(time)
    return told


_FIRST_STATES_S = 0.02  # from one to the next, until the policy_node is active


class PacedReplay:
    """Drives a `ShadowPolicy` without waiting for its answers, as a robot does.

    The policy_node decides by its own clock: no two such replays are equal.
    """

    def __init__(
        self, write: Write, rate: float, clock: Publisher | None, stopped: threading.Event
    ) -> None:
        """Prepares.

        Args:
            write: takes everything that is told and said.
            rate: 2 is twice as fast as recorded.
            clock: publishes the recording's time, that of the joint states' stamps.
            stopped: ends the replay when set.
        """
        self.tally = Tally()
        self._write = write
        self._rate = rate
        self._clock = clock
        self._stopped = stopped

    def hear(self, name: str, message: bytes) -> None:
        """Write what the policy_node says, with the time at which it was heard."""
        self.tally.torques += name == "applied_torque"
        self._write(f"policy_node/{name}", time.time_ns(), message)

    def run(self, policy: ShadowPolicy, events: Iterable[ReplayEvent]) -> None:
        """Replay the states and goals of all events.

        Raises:
            RemoteNodeError: the policy_node refuses to be activated.
        """
        begun: tuple[float, int] | None = None
        for event in events:
            if event.state is None and event.goal is None:
                continue
            if begun is None:
                if event.state is None:
                    continue  # no robot yet: a goal is taken once there is one
                self._activate(policy, event.state)
                begun = time.monotonic(), event.bag_ns
            due = begun[0] + (event.bag_ns - begun[1]) * 1e-9 / self._rate
            if self._stopped.wait(max(0.0, due - time.monotonic())):
                break
            if event.kind != "activate":
                self._publish(policy, event)
        policy.deactivate()

    def _activate(self, policy: ShadowPolicy, posture: JointState) -> None:
        """Show the first posture until the policy_node is active, which wants to hear a robot."""
        active = threading.Event()

        def show() -> None:
            first = copy.deepcopy(posture)
            first.header.stamp = TimeMessage()  # it must not make the next one look repeated
            while not active.wait(_FIRST_STATES_S):
                policy.joint_states.publish(first)

        thread = threading.Thread(target=show, name="first posture", daemon=True)
        thread.start()
        try:
            policy.activate()
        finally:
            active.set()
            thread.join()

    def _publish(self, policy: ShadowPolicy, event: ReplayEvent) -> None:
        now_ns = time.time_ns()
        if event.goal is not None:
            goal: PoseStamped = event.goal
            policy.goals.publish(goal)
            self._write("goal_pose", now_ns, serialize_message(goal))
        elif event.state is not None:
            if self._clock is not None:
                message = Clock()
                ns = stamp_ns(event.state) or event.bag_ns
                message.clock.sec, message.clock.nanosec = divmod(ns, 1_000_000_000)
                self._clock.publish(message)
            policy.joint_states.publish(event.state)
            self._write("joint_states", now_ns, serialize_message(event.state))
            self.tally.states += 1
