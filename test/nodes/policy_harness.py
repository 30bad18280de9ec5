# SPDX-License-Identifier: Apache-2.0
"""A robot of three joints over real DDS, and a policy_node in a process of its own.

The robot publishes joint states and records every command that is ever published.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from geometry_msgs.msg import PoseStamped
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import SetBool, Trigger
from tiny_policy import JOINTS, tiny_action, tiny_spec

SPEC = tiny_spec()
SLEW = 100.0  # N·m/s: slow enough that the jitter of a loaded machine is small beside it
WATCHDOG = 0.5  # s: long enough that a loaded machine never trips it by accident
JITTER = 0.03  # s between deciding a torque and publishing it
CONFIGURE, ACTIVATE, DEACTIVATE, SHUTDOWN = (
    Transition.TRANSITION_CONFIGURE,
    Transition.TRANSITION_ACTIVATE,
    Transition.TRANSITION_DEACTIVATE,
    Transition.TRANSITION_ACTIVE_SHUTDOWN,
)


class Recorded(NamedTuple):
    """A command and when it was published, s."""

    time: float
    torque: np.ndarray


class Robot:
    """Publishes joint states at 500 Hz until `silent`, and records commands."""

    def __init__(self, ros: Any, eventually: Callable[..., None]) -> None:
        self.eventually = eventually
        self.node = ros.node("robot")
        self.names = list(JOINTS)
        self.position = [0.1, -0.2, 0.3]
        self.velocity = [0.2, 0.0, -0.1]
        self.commands: list[Recorded] = []
        self.silent = threading.Event()
        self._process: subprocess.Popen[str] | None = None
        self.log = ""
        self._states = self.node.create_publisher(JointState, "joint_states", 10)
        self._goals = self.node.create_publisher(PoseStamped, "goal_pose", QoSProfile(depth=1))
        self.node.create_subscription(Float64MultiArray, "commands", self._record, 1000)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._drive, daemon=True)
        self._thread.start()

    # ---- the policy node ---------------------------------------------------------------------

    @property
    def process(self) -> subprocess.Popen[str]:
        """The policy_node started last."""
        assert self._process is not None, "start_node comes first"
        return self._process

    def start_node(self, model: Path | None, *parameters: str, program: str = "") -> None:
        """Start a policy_node; ``program`` replaces the plain one."""
        node = ("-c", program) if program else ("-m", "sac_ros.nodes.policy_node")
        given = [f"slew_limit:={SLEW}", f"watchdog_s:={WATCHDOG}", "soft_start_s:=0.1"]
        given += [] if model is None else [f"model_path:={model}"]
        arguments = [part for each in (*given, *parameters) for part in ("-p", each)]
        self._process = subprocess.Popen(
            [sys.executable, *node, "--ros-args", *arguments], stderr=subprocess.PIPE, text=True
        )
        self._reader = threading.Thread(target=self._read_log, args=(self.process,), daemon=True)
        self._reader.start()

    def start_active(self, model: Path, *parameters: str, program: str = "") -> None:
        """Start a policy_node and wait for its first command."""
        self.start_node(model, "autostart:=true", *parameters, program=program)
        self.eventually(lambda: self.commands or self.process.poll() is not None, "a command")
        assert self.process.poll() is None, self.log

    def end(self, how: signal.Signals = signal.SIGINT) -> int:
        """Signal the node and return its exit code, once all that it published is recorded."""
        self.process.send_signal(how)
        code = self.process.wait(timeout=30.0)
        self._reader.join(30.0)
        self.eventually(self._states_have_no_reader, "the node is gone")
        return code

    def refused(self) -> str:
        """Wait until the node gives up; return the one line on stderr that says why."""
        assert self.wait() == 2, self.log
        assert "Traceback" not in self.log
        (line,) = [line for line in self.log.splitlines() if ": error: " in line]
        return line

    def wait(self) -> int:
        """Wait until the node ends by itself; return its exit code."""
        code = self.process.wait(timeout=30.0)
        self._reader.join(30.0)
        return code

    # ---- what a user does --------------------------------------------------------------------

    def set_goal(self, x: float, frame: str = "base", y: float = 0.0) -> None:
        self.eventually(self._goals.get_subscription_count, "goal_pose has a subscriber")
        message = PoseStamped()
        message.header.frame_id = frame
        message.pose.position.x, message.pose.position.y = x, y
        self._goals.publish(message)

    def change_state(self, transition: int) -> bool:
        request = ChangeState.Request(transition=Transition(id=transition))
        return self.call(ChangeState, "policy_node/change_state", request).success

    def state(self) -> str:
        request = GetState.Request()
        return self.call(GetState, "policy_node/get_state", request).current_state.label

    def set_model(self, path: Path) -> tuple[bool, str]:
        parameter = Parameter("model_path", value=str(path)).to_parameter_msg()
        request = SetParameters.Request(parameters=[parameter])
        (result,) = self.call(SetParameters, "policy_node/set_parameters", request).results
        return result.successful, result.reason

    def emergency_stop(self, engaged: bool) -> None:
        self.call(SetBool, "policy_node/emergency_stop", SetBool.Request(data=engaged))

    def clear_fault(self) -> str:
        response = self.call(Trigger, "policy_node/clear_fault", Trigger.Request())
        assert response.success == (not response.message)
        return response.message

    def call(self, kind: Any, name: str, request: Any) -> Any:
        client = self.node.create_client(kind, name)
        self.eventually(client.service_is_ready, f"service {name}")
        future = client.call_async(request)
        self.eventually(future.done, f"an answer of {name}")
        self.node.destroy_client(client)
        return future.result()

    # ---- what must be true -------------------------------------------------------------------

    def policy_torque(self, goal: float, gain: float = 1.0) -> np.ndarray:
        """What the tiny policy asks in the robot's present state."""
        goals = np.array([goal, 0.0, 0.0])
        action = tiny_action(np.array(self.position), np.array(self.velocity), goals, gain=gain)
        return action * SPEC.action_scale

    def damping_torque(self) -> np.ndarray:
        return -0.5 * np.array(SPEC.action_scale) / SPEC.velocity_limit * self.velocity

    def commands_become(self, torque: Any, tolerance: float = 1e-5) -> None:
        """Wait for a command of (nearly) this torque that comes after now."""
        seen = len(self.commands)
        self.eventually(
            lambda: any(
                np.allclose(command.torque, torque, rtol=0.0, atol=tolerance)
                for command in self.commands[seen:]
            ),
            f"commands become {torque}, the last is {self.commands and self.commands[-1]}",
        )

    def assert_always_true(self) -> None:
        """Every command ever published: complete, finite, within limits and slew limit."""
        assert self.commands
        limit = np.array(SPEC.torque_limit)
        slew = SLEW * limit / limit.max()
        last = Recorded(self.commands[0].time, np.zeros(len(JOINTS)))
        for command in self.commands:
            assert command.torque.shape == limit.shape
            assert np.isfinite(command.torque).all()
            assert (np.abs(command.torque) <= limit).all()
            step = slew * (command.time - last.time + JITTER)
            assert (np.abs(command.torque - last.torque) <= step).all(), (last, command)
            last = command

    def close(self) -> None:
        self._closed.set()
        self._thread.join()
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self.wait()

    def _read_log(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        for line in process.stderr:
            self.log += line
        process.stderr.close()

    def _drive(self) -> None:
        message = JointState()
        while not self._closed.wait(0.002):
            if self.silent.is_set():
                continue
            now = time.time_ns()
            message.header.stamp.sec, message.header.stamp.nanosec = divmod(now, 10**9)
            message.name, message.position = self.names, self.position
            message.velocity = self.velocity
            self._states.publish(message)

    def _record(self, message: Float64MultiArray, info: Any) -> None:
        time_s = info["source_timestamp"] * 1e-9
        self.commands.append(Recorded(time_s, np.array(message.data)))

    def _states_have_no_reader(self) -> bool:
        return self._states.get_subscription_count() == 0
