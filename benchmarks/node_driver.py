# SPDX-License-Identifier: Apache-2.0
"""The robot of the node benchmark: joint states out, commands in, and how long each took.

A process of its own, and as thin as rclpy lets it be: a state is a template in CDR of which the
stamp is overwritten, a command is taken as bytes, and it waits for one subscription on one wait
set.

It gets its job in one line of JSON on stdin (`Job`), and answers with one (`Seen`).
"""

from __future__ import annotations

import array
import gc
import json
import os
import struct
import sys
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import rclpy
from geometry_msgs.msg import PoseStamped
from rclpy.impl.implementation_singleton import rclpy_implementation as _rclpy
from rclpy.node import Node
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from rclpy.serialization import serialize_message
from rclpy.signals import SignalHandlerOptions
from rclpy.subscription import Subscription
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

READY = "ready"
_STAMP = struct.Struct("<iI")
_BETWEEN_PAUSES_S = 0.5
_PAUSE_NS = 20_000_000  # after which no answer will come any more
_STAMP_AT = 4  # after the CDR header


@dataclass(frozen=True)
class Job:
    """What to do with one server.

    Attributes:
        pid: of the server.
        started: when it was started, s of the monotonic clock.
        rate_hz: of the joint states.
        seconds: to measure.
        warm_up: s before, after the goal is set.
        names, position: of the joints, rad.
        goal: frame, x, y, z in m; None for a server that takes no goal.
        guarded: whether `commands` are those of `policy_commands`, which a guard forwards.
    """

    pid: int
    started: float
    rate_hz: float
    seconds: float
    warm_up: float
    names: list[str]
    position: list[float]
    goal: tuple[str, float, float, float] | None
    guarded: bool = False


@dataclass
class Seen:
    """What the driver saw.

    Attributes:
        milliseconds: round trip of each state that was answered, in ms.
        states: how many were published.
        late: answered after more than a period.
        missed: never answered.
        unasked: commands that answered no state.
        start_s: from the server's start to its first command, s.
        server_cpu, driver_cpu: CPU seconds per second of the measurement.
        server_rss: resident memory at its end, MiB.
        publish_us: median time of the driver's own publish call, µs.
        forwarded_ms: from policy_node sending a command to the guard sending it, ms.
    """

    milliseconds: list[float] = field(default_factory=list)
    states: int = 0
    late: int = 0
    missed: int = 0
    unasked: int = 0
    start_s: float = 0.0
    server_cpu: float = 0.0
    driver_cpu: float = 0.0
    server_rss: float = 0.0
    publish_us: float = 0.0
    forwarded_ms: list[float] = field(default_factory=list)


class Answers:
    """Which of a row of states were answered, and how long that took.

    Every server answers states in their order, so an answer is that of the longest outstanding
    state. Where a state was dropped that makes all after it look late, until the next `pause`.

    Attributes:
        nanoseconds: round trip of each state that was answered.
        missed: states without an answer.
        unasked: answers of no state.
    """

    def __init__(self) -> None:
        self.nanoseconds: list[int] = []
        self.missed = self.unasked = 0
        self._sent: deque[int] = deque()

    def sent(self, at: int) -> None:
        """Note that a state was published, ns."""
        self._sent.append(at)

    def note(self, at: int) -> None:
        """Note that an answer came, ns."""
        if self._sent:
            self.nanoseconds.append(at - self._sent.popleft())
        else:
            self.unasked += 1

    def pause(self) -> None:
        """Note that no answer will come to what is outstanding."""
        self.missed += len(self._sent)
        self._sent.clear()


def forwarding_times(given: Sequence[int], forwarded: Sequence[int]) -> list[int]:
    """Return how long each forwarded command had been under way.

    Args:
        given: when commands were sent to be forwarded, in this order.
        forwarded: when the guard sent them on; it may leave some out, and may add some.

    Returns:
        For each forwarded one, the time since the last given one before it; none for what is not
        the first after one.
    """
    times, last = [], -1
    for at in forwarded:
        index = bisect_right(given, at) - 1
        if index > last:
            times.append(at - given[index])
            last = index
    return times


class Driver:
    """Publishes states on time and takes the commands that answer them."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._states = node.create_publisher(JointState, "joint_states", qos_profile_sensor_data)
        self._goals = node.create_publisher(PoseStamped, "goal_pose", QoSProfile(depth=1))
        self._commands = node.create_subscription(
            Float64MultiArray, "commands", lambda _: None, QoSProfile(depth=10), raw=True
        )
        assert node.context.handle is not None
        self._wait_set = _rclpy.WaitSet(1, 0, 0, 0, 0, 0, node.context.handle)
        self._first_command = 0.0
        self._given: Subscription[Float64MultiArray] | None = None  # what a guard forwards
        self._sent: tuple[list[int], list[int]] = [], []  # given, forwarded: ns of the wall clock

    def run(self, job: Job) -> Seen:
        """Bring the server up, warm it up, measure."""
        self._template = bytearray(serialize_message(_joint_state(job)))
        self._job = job
        if job.guarded:
            self._given = self._node.create_subscription(
                Float64MultiArray,
                "policy_commands",
                lambda _: None,
                QoSProfile(depth=10),
                raw=True,
            )
        self._first_command = 0.0
        while not self._first_command:
            self._stream(0.2)
        start_s = self._first_command - job.started
        if job.goal is not None:
            self._set_goal(*job.goal)
        self._stream(job.warm_up)
        for times in self._sent:
            times.clear()
        server, driver = _cpu_seconds(job.pid), time.process_time()
        seen = self._stream(job.seconds)
        seen.server_cpu = (_cpu_seconds(job.pid) - server) / job.seconds
        seen.driver_cpu = (time.process_time() - driver) / job.seconds
        seen.server_rss = _resident_mib(job.pid)
        seen.start_s = start_s
        seen.forwarded_ms = [each * 1e-6 for each in forwarding_times(*self._sent)]
        return seen

    def _stream(self, seconds: float) -> Seen:
        """Publish at the job's rate for some seconds."""
        seen, answers = Seen(), Answers()
        period = round(1e9 / self._job.rate_hz)
        seen.states = count = max(round(seconds * self._job.rate_hz), 1)
        between = max(round(_BETWEEN_PAUSES_S * self._job.rate_hz), 1)
        took = [0] * count
        due = time.monotonic_ns()
        for k in range(count):
            sent = time.monotonic_ns()
            answers.sent(sent)
            self._publish()
            took[k] = time.monotonic_ns() - sent
            due += period
            if (k + 1) % between == 0 or k + 1 == count:
                due = time.monotonic_ns() + _PAUSE_NS
            while (left := due - time.monotonic_ns()) > 0:
                for at in self._taken(left):
                    answers.note(at)
            if (k + 1) % between == 0 or k + 1 == count:
                answers.pause()
        seen.milliseconds = [each * 1e-6 for each in answers.nanoseconds]
        seen.missed, seen.unasked = answers.missed, answers.unasked
        seen.late = sum(each > period for each in answers.nanoseconds)
        seen.publish_us = sorted(took)[count // 2] * 1e-3
        return seen

    def _publish(self) -> None:
        seconds, nanoseconds = divmod(time.time_ns(), 10**9)
        _STAMP.pack_into(self._template, _STAMP_AT, seconds, nanoseconds)
        self._states.publish(bytes(self._template))

    def _taken(self, nanoseconds: int) -> list[int]:
        """Wait for commands; when each came, ns of the monotonic clock."""
        handle = self._commands.handle
        self._wait_set.clear_entities()
        self._wait_set.add_subscription(handle)
        self._wait_set.wait(nanoseconds)
        taken = []
        while (message := handle.take_message(Float64MultiArray, True)) is not None:
            taken.append(time.monotonic_ns())
            self._sent[1].append(message[1]["source_timestamp"])
        if self._given is not None:
            given = self._given.handle
            while (message := given.take_message(Float64MultiArray, True)) is not None:
                self._sent[0].append(message[1]["source_timestamp"])
        if taken and not self._first_command:
            self._first_command = taken[0] * 1e-9
        return taken

    def _set_goal(self, frame: str, x: float, y: float, z: float) -> None:
        goal = PoseStamped()
        goal.header.frame_id = frame
        goal.pose.position.x, goal.pose.position.y, goal.pose.position.z = x, y, z
        while not self._goals.get_subscription_count():
            self._stream(0.1)
        self._goals.publish(goal)


def _joint_state(job: Job) -> JointState:
    """The template: every joint at rest."""
    velocity = array.array("d", [0.0] * len(job.names))
    return JointState(name=job.names, position=array.array("d", job.position), velocity=velocity)


def _cpu_seconds(pid: int) -> float:
    """User and system time that a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> None:
    """Serve one job."""
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = Node("driver", start_parameter_services=False, enable_rosout=False)
    driver = Driver(node)
    print(READY, flush=True)
    job: dict[str, Any] = json.loads(sys.stdin.readline())
    gc.disable()
    print(json.dumps(asdict(driver.run(Job(**job)))), flush=True)
    node.destroy_node()
    rclpy.try_shutdown()


if __name__ == "__main__":
    main()
