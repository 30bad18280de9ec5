# SPDX-License-Identifier: Apache-2.0
"""A simulated robot, policy_node and command_guard in processes of their own, and their judge."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from command_audit import CommandAudit, Violation
from faulty_robot.driver import Recorded
from faulty_robot.policy_process import PolicyProcess, start_guard
from faulty_robot.run_delay import RunDelay
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import Trigger

from sac_ros.policy import guards
from sac_ros.policy.command_guard import CommandGuardConfig
from sac_ros.policy.joint_state_reader import JointStateReader
from sac_ros.policy.runtime import Policy
from sac_ros.policy.safety_config import JointLimits
from sac_ros.robots.arm import load_arm
from sac_ros.utils.package_share import share_path

LIMIT_S = 0.06  # from a fault to the controlled stop, and that a torque may stand
WATCHDOG_S = 0.05  # the guard's default, and so its command timeout
JITTER_S = 0.05  # as in the soak: between deciding a torque and publishing it
MODEL = share_path("models", "iiwa_reach.onnx")
GOAL = Policy.load(MODEL).spec.goal
ARM = load_arm("iiwa")
MOVING = 0.15  # m/s of the end effector at the fault
STANDING = 0.02  # of the velocity limit, as in the safety filter
FAST = 0.9  # of it, where a guard may brake a joint harder than the stop does
_POLL_S = 0.004
_ANSWERED_S = 0.07  # a command of a stop answers a state of so long before it

Array = np.ndarray

# The simulated robot of `sim_node`, which tells its states on a topic of their own as well: who
# records them is not to be hit by what else comes on joint_states.
ROBOT = """
import sys
from rclpy.qos import QoSProfile
from rclpy.node import Node
from sensor_msgs.msg import JointState
from sac_ros.ros import sim_node
class Robot(sim_node.SimNode):
    def __init__(self):
        super().__init__()
        both = self._joint_states, self.create_publisher(JointState, "robot_states", 1000)
        self._joint_states = self
        self.publish = lambda message: [each.publish(message) for each in both]
sys.exit(sim_node.run_node(Robot))
"""


@dataclass
class Try:
    """What one fault led to.

    Attributes:
        ms: from the fault to the first torque of the stop; infinite where none came.
        full_ms: until the torque was the controlled stop's, which the slew limit delays.
        gap_ms: the longest that a torque stood.
        waited_ms: for which the guard and policy_node waited for a processor, in ``ms``.
        gap_waited_ms: for which they did in ``gap_ms``.
        early_ms: by which a stop had begun before the fault.
        outcome: `controlled` or `uncontrolled` stop, or `goes on`.
        standing_ms: from the fault until the arm stood.
        end_effector_speed: of the end effector at the fault, m/s.
        states_gap_ms: the longest without a joint state.
    """

    ms: float
    early_ms: float
    full_ms: float
    gap_ms: float
    waited_ms: float
    gap_waited_ms: float
    outcome: str
    standing_ms: float
    end_effector_speed: float
    states_gap_ms: float


class Moment(NamedTuple):
    """How the arm stood, and when, s of the wall clock."""

    time: float
    position: Array
    velocity: Array


class Chain:
    """A simulated robot, and the two that stand between a goal and its motors.

    Attributes:
        policy: the policy_node.
        commands: every command that the robot ever got, in order.
        moments: every state that it sent.
        program: what runs in place of the plain policy_node, where it is not empty.
    """

    def __init__(self, ros: Any, eventually: Callable[..., None], directory: Path) -> None:
        self.eventually = eventually
        self.policy = PolicyProcess(ros.node("operator"), eventually)
        self.commands: list[Recorded] = []
        self.moments: list[Moment] = []
        self.program = ""
        self._recorded = 0.0  # s of the wall clock, up to when
        self._random = random.Random(0)
        self._limits = JointLimits.of(ARM, CommandGuardConfig())
        self._clients: dict[str, Any] = {}
        self._closed = threading.Event()
        self._recorder = threading.Thread(target=self._record, name="recorder", daemon=True)
        self._recorder.start()
        self._guard_log = directory / "guard.log"
        with self._guard_log.open("w") as log:
            self._processes = [start_guard(log=log)]
        self._processes.append(subprocess.Popen([sys.executable, "-c", ROBOT]))
        self._delays = [RunDelay(self._processes[0].pid)]  # and those of every policy_node
        listens = self.policy.node.count_subscribers
        eventually(lambda: listens("policy_commands"), "the guard listens")
        eventually(lambda: self.moments, "the robot is there")

    def close(self) -> None:
        for delay in self._delays:
            delay.close()
        self.policy.kill()
        for process in self._processes:
            process.kill()
            process.wait()
        self._closed.set()
        self._recorder.join()

    def _record(self) -> None:
        """Take what has come every few milliseconds, without an executor: it would lag behind."""
        node = Node("recorder")
        commands, states = (
            node.create_subscription(kind, topic, lambda _: None, 10_000, raw=True)
            for kind, topic in ((Float64MultiArray, "commands"), (JointState, "robot_states"))
        )
        reader = JointStateReader(ARM.joint_names)
        while not self._closed.wait(_POLL_S):
            began = time.time()
            while taken := commands.handle.take_message(commands.msg_type, True):
                torque = np.frombuffer(taken[0][-8 * ARM.joints :])
                self.commands.append(Recorded(taken[1]["source_timestamp"] * 1e-9, torque))
            while taken := states.handle.take_message(states.msg_type, True):
                position, velocity = reader.read(taken[0])
                # Its stamp: on this topic it was published after it could be answered.
                moment = Moment(reader.stamp_ns * 1e-9, position.copy(), velocity.copy())
                self.moments.append(moment)
            self._recorded = began
        node.destroy_node()

    @property
    def speed(self) -> float:
        """Of the fastest joint, as a share of its velocity limit."""
        return float((np.abs(self.moments[-1].velocity) / ARM.velocity_limit).max())

    def tip(self) -> tuple[Array, Array]:
        """Place and velocity of the end effector, m and m/s."""
        assert self._limits.end_effector is not None
        _, position, velocity = self.moments[-1]
        place, jacobian = self._limits.end_effector(position)
        return place, jacobian @ velocity

    def waited(self, start: float, end: float) -> float:
        """How long the guard and policy_node waited for a processor, s."""
        return sum(delay.within(start, end) for delay in self._delays)

    def clear(self, node: str) -> str:
        """Clear the faults of a node; return why they were not.

        Asked over and over: DDS takes a node that was killed for alive, and the one that comes
        after it may not be connected yet.
        """
        if node not in self._clients:
            self._clients[node] = self.policy.node.create_client(Trigger, f"{node}/clear_fault")
        asked: list[Any] = []
        due = time.monotonic()

        def answered() -> bool:
            nonlocal due
            if time.monotonic() >= due:
                due += 0.2
                asked.append(self._clients[node].call_async(Trigger.Request()))
            return any(each.done() for each in asked)

        self.eventually(answered, f"an answer of {node}")
        return str(next(each for each in asked if each.done()).result().message)

    def faults(self) -> str:
        """What both have logged of faults so far."""
        logs = self.policy.log + self._guard_log.read_text()
        return "\n".join(line for line in logs.splitlines() if "ERROR" in line)

    # ---- before the fault --------------------------------------------------------------------

    def move(self) -> None:
        """Return while the arm is on its way to a goal, whatever it takes to get it there."""
        refused: list[str] = []
        for _ in range(20):
            if not self.policy.alive:
                self._start()
            refused.append(self.clear("command_guard"))
            if not self.policy.alive:
                continue
            refused.append(self.clear("policy_node"))
            if refused[-1] or not self._on_its_way():
                continue
            time.sleep(self._random.uniform(0.0, 0.1))
            if np.linalg.norm(self.tip()[1]) > MOVING:
                return
        place = f"at {self.moments[-1].position.tolist()} rad, clear_fault said {refused}"
        pytest.fail(f"the arm does not move, {place}\n{self.faults()[-2000:]}")

    def _start(self) -> None:
        for delay in self._delays[1:]:
            delay.close()  # that of a process which has ended
        logged = len(self.policy.log)
        parameters = ("autostart:=true", "soft_start_s:=0.1", "state_timeout_s:=20.0")
        self.policy.start(MODEL, parameters, self.program, commands="policy_commands")
        self._delays.append(RunDelay(self.policy.process.pid))
        # Commands alone would not tell: those of the guard's own stop come all the while.
        self.eventually(
            lambda: "]: active" in self.policy.log[logged:] or not self.policy.alive, "active"
        )

    def _on_its_way(self) -> bool:
        """Send a far goal; tell whether the end effector gets fast towards it."""
        place, _ = self.tip()
        goal = place
        while np.linalg.norm(goal - place) < 0.4:
            bounds = zip(GOAL.low, GOAL.high, strict=True)
            goal = np.array([self._random.uniform(*each) for each in bounds])
        for tick in range(500):
            if tick % 50 == 0:  # the first one may be lost, as a call may be
                self.policy.send_goal(*goal.tolist(), frame=GOAL.frame)
            place, velocity = self.tip()
            way = goal - place
            if velocity @ way > 2.0 * MOVING * np.linalg.norm(way):
                return True
            time.sleep(0.002)
        return False

    # ---- after it ----------------------------------------------------------------------------

    def stands(self, since: float) -> None:
        """Wait until the arm stands and gets no torque, some time after a fault at ``since``."""
        settled = since + 2.0 * LIMIT_S

        def stands() -> bool:
            known = self._recorded > settled and self.moments[-1].time > settled
            return known and self.speed < STANDING and not self.commands[-1].torque.any()

        self.eventually(stands, "the arm stands without a torque")

    def judge(self, fault: float, end_effector_speed: float) -> Try:
        """Judge what the robot got from a fault until now, s of the wall clock."""
        end = time.time()
        self.eventually(lambda: self._recorded > end + _POLL_S, "all is recorded")
        commands = [c for c in self.commands[-20_000:] if fault - 0.3 < c.time < end]
        moments = [m for m in self.moments[-20_000:] if fault - 0.4 < m.time < end]
        time_s, torque = map(np.array, zip(*commands, strict=True))
        moment_s, position, velocity = map(np.array, zip(*moments, strict=True))
        brake = guards.braking_torque(position, velocity, self._limits)
        moving = (np.abs(velocity) > STANDING * self._limits.velocity).any(axis=1)
        newest = np.searchsorted(moment_s, time_s)  # states before each command
        oldest = np.searchsorted(moment_s, time_s - _ANSWERED_S)
        kinds, changed_s = [""], time_s[0]
        for i in range(1, len(torque)):
            if (torque[i] != torque[i - 1]).any():
                changed_s = time_s[i]
                seen = slice(oldest[i], newest[i])
                kinds.append(self._kind(torque[i - 1], torque[i], brake[seen], velocity[seen]))
            else:  # published again, as happens between two states
                kinds.append(kinds[-1] if time_s[i] - changed_s <= LIMIT_S else "")
            if not torque[i].any():
                kinds[-1] = "safe"
        begun = 1 + max(i for i, kind in enumerate(kinds) if not kind)
        after = int(np.searchsorted(time_s, fault))
        stop = time_s[max(begun, after)] if max(begun, after) < len(kinds) else np.inf
        braking = [i for i in range(begun, len(kinds)) if moving[newest[i] - 1]]
        full = [time_s[i] for i in braking if kinds[i] == "brake" and time_s[i] >= stop]
        outcome = "uncontrolled" if "safe" in [kinds[i] for i in braking] else "controlled"
        after = min(max(after, 1), len(time_s) - 1)
        gaps = np.where(torque[after - 1 : -1].any(axis=1), np.diff(time_s[after - 1 :]), 0.0)
        longest = after - 1 + int(np.argmax(gaps))
        states = moment_s[moment_s > fault - WATCHDOG_S]
        return Try(
            ms=1e3 * (stop - fault),
            early_ms=1e3 * (fault - time_s[begun]) if begun < after else 0.0,
            full_ms=1e3 * ((full[0] if full else np.inf) - fault),
            gap_ms=1e3 * float(gaps.max()),
            waited_ms=1e3 * self.waited(fault, min(stop, end)),
            gap_waited_ms=1e3 * self.waited(time_s[longest], time_s[longest + 1]),
            outcome=outcome if stop < np.inf else "goes on",
            standing_ms=1e3 * (moment_s[moving].max(initial=fault) - fault),
            end_effector_speed=end_effector_speed,
            states_gap_ms=1e3 * float(np.diff(states).max()),
        )

    def _kind(self, before: Array, torque: Array, brakes: Array, velocities: Array) -> str:
        """What a torque is: that of a stop, on its way there, or neither (empty).

        It answers one of the last states, whose braking torques are ``brakes`` [m, n]. Near its
        velocity limit a joint may be braked harder.
        """
        distance, distance_before = np.abs(torque - brakes), np.abs(before - brakes)
        there = distance <= 1e-3 * self._limits.brake
        if there.all(axis=1).any():
            return "brake"
        fast = np.abs(velocities) > FAST * self._limits.velocity
        harder = fast & (torque * velocities < 0.0) & (np.abs(torque) >= np.abs(brakes))
        if (there | harder | (distance < distance_before - 1e-9)).all(axis=1).any():
            return "braking"
        falls = (np.abs(torque) < np.abs(before)) & (torque * before >= 0.0)
        return "safe" if (falls | (torque == 0.0)).all() else ""

    def violations(self) -> tuple[list[Violation], int]:
        """Those of the always-true list, and how many gaps more there were without a processor."""
        limits = self._limits
        audit = CommandAudit(limits.torque, limits.slew, limits.safe_torque, WATCHDOG_S, JITTER_S)
        commands = self.commands[:]  # more come meanwhile
        times = np.array([each.time for each in commands])
        torques = [each.torque for each in commands]
        states = np.array([each.time for each in self.moments])
        return audit.judge(times, torques, states, self.waited)
