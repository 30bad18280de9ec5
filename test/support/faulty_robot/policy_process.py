# SPDX-License-Identifier: Apache-2.0
"""A policy_node in a process of its own, and what its user can ask of it."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from geometry_msgs.msg import PoseStamped
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import SetParameters
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from std_srvs.srv import SetBool, Trigger

CONFIGURE, ACTIVATE, DEACTIVATE, SHUTDOWN = (
    Transition.TRANSITION_CONFIGURE,
    Transition.TRANSITION_ACTIVATE,
    Transition.TRANSITION_DEACTIVATE,
    Transition.TRANSITION_ACTIVE_SHUTDOWN,
)
_END_S = 30.0
_AGAIN = 500  # looks for an answer, some five seconds, after which is asked again

Wait = Callable[[Callable[[], object], str], None]
"""(condition, what it is) → returns once the condition is true, or raises."""


def wait_until(condition: Callable[[], object], what: str, timeout_s: float = 20.0) -> None:
    """Return once ``condition()`` is true; raise `TimeoutError` after ``timeout_s``."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"did not happen within {timeout_s:g} s: {what}")
        time.sleep(0.01)


def start_guard(parameters: Sequence[str] = (), log: Any = None) -> subprocess.Popen[bytes]:
    """Start a command_guard with ``name:=value`` parameters; its stderr goes to ``log``."""
    arguments = [part for each in parameters for part in ("-p", each)]
    command = [sys.executable, "-m", "sac_ros.ros.policy.command_guard", "--ros-args", *arguments]
    return subprocess.Popen(command, stderr=log)


class PolicyProcess:
    """One policy_node at a time. Calls block until the node has answered.

    Attributes:
        node: whose executor another thread spins.
        log: everything that policy_node wrote to stderr.
    """

    def __init__(self, node: Node, wait: Wait = wait_until) -> None:
        self.node = node
        self.log = ""
        self._wait = wait
        self._process: subprocess.Popen[str] | None = None
        self._goals = node.create_publisher(PoseStamped, "goal_pose", QoSProfile(depth=1))

    @property
    def process(self) -> subprocess.Popen[str]:
        """The policy_node started last."""
        assert self._process is not None, "start comes first"
        return self._process

    @property
    def alive(self) -> bool:
        """Whether a policy_node runs."""
        return self._process is not None and self._process.poll() is None

    def start(
        self,
        model: Path | None,
        parameters: Sequence[str],
        program: str = "",
        commands: str = "commands",
    ) -> None:
        """Start a policy_node with ``name:=value`` parameters.

        Args:
            model: the policy file; None leaves the parameter out.
            parameters: such as ``watchdog_s:=0.1``.
            program: Python code to run in place of the plain node.
            commands: the topic of its commands.
        """
        node = ("-c", program) if program else ("-m", "sac_ros.ros.policy.node")
        given = [*parameters, *([] if model is None else [f"model_path:={model}"])]
        arguments = [part for each in given for part in ("-p", each)]
        arguments += ["-r", f"commands:={commands}"]
        self._process = subprocess.Popen(
            [sys.executable, *node, "--ros-args", *arguments], stderr=subprocess.PIPE, text=True
        )
        self._reader = threading.Thread(target=self._read_log, args=(self._process,), daemon=True)
        self._reader.start()

    def signal(self, how: signal.Signals = signal.SIGINT) -> None:
        """Send the node a signal."""
        self.process.send_signal(how)

    def wait(self) -> int:
        """Wait until the node ends by itself; return its exit code."""
        code = self.process.wait(timeout=_END_S)
        self._reader.join(_END_S)
        return code

    def kill(self) -> None:
        """End the node in no order at all, if it still runs."""
        if self.alive:
            self.process.kill()
            self.wait()

    def send_goal(self, x: float, y: float = 0.0, z: float = 0.0, frame: str = "base") -> None:
        """Publish a goal."""
        self._wait(self._goals.get_subscription_count, "goal_pose has a subscriber")
        message = PoseStamped()
        message.header.frame_id = frame
        position = message.pose.position
        position.x, position.y, position.z = x, y, z
        self._goals.publish(message)

    def change_state(self, transition: int) -> bool:
        """Ask for a transition of the lifecycle; tell whether it was made."""
        request = ChangeState.Request(transition=Transition(id=transition))
        return bool(self.call(ChangeState, "policy_node/change_state", request).success)

    def state(self) -> str:
        """The state of the lifecycle, such as ``active``."""
        request = GetState.Request()
        return str(self.call(GetState, "policy_node/get_state", request).current_state.label)

    def set_model(self, path: Path) -> tuple[bool, str]:
        """Set ``model_path``; return whether it was taken, and why not."""
        reason = self.set_parameter("model_path", str(path))
        return not reason, reason

    def set_parameter(self, name: str, value: Any) -> str:
        """Set a parameter; return why it was refused, empty when it was not."""
        parameter = Parameter(name, value=value).to_parameter_msg()
        request = SetParameters.Request(parameters=[parameter])
        (result,) = self.call(SetParameters, "policy_node/set_parameters", request).results
        assert result.successful == (not result.reason)
        return str(result.reason)

    def emergency_stop(self, engaged: bool) -> None:
        """Engage or release the emergency stop."""
        self.call(SetBool, "policy_node/emergency_stop", SetBool.Request(data=engaged))

    def clear_fault(self) -> str:
        """Ask to clear the fault; return why it was refused, empty when it was not."""
        response = self.call(Trigger, "policy_node/clear_fault", Trigger.Request())
        assert response.success == (not response.message)
        return str(response.message)

    def call(self, kind: Any, name: str, request: Any) -> Any:
        """Call a service and return its answer."""
        client = self.node.create_client(kind, name)
        self._wait(client.service_is_ready, f"service {name}")
        # An answer is lost where the node has not discovered yet who asked.
        futures = [client.call_async(request)]
        looked = itertools.count(1)

        def answered() -> bool:
            if next(looked) % _AGAIN == 0:
                futures.append(client.call_async(request))
            return any(future.done() for future in futures)

        self._wait(answered, f"an answer of {name}")
        self.node.destroy_client(client)
        return next(future for future in futures if future.done()).result()

    def _read_log(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        for line in process.stderr:
            self.log += line
        process.stderr.close()
