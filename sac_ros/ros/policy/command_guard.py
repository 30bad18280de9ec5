# SPDX-License-Identifier: Apache-2.0
"""The independent last line between policy_node and the robot; see `policy.command_guard`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import Trigger

from sac_ros.policy.command_guard import CommandGuard, CommandGuardConfig
from sac_ros.policy.safety_events import Command, Mode
from sac_ros.policy.spec import GRAVITY_COMPENSATION
from sac_ros.robots.arm import load_arm
from sac_ros.ros.direct_executor import UrgentCallbackGroup
from sac_ros.ros.parameters import declare
from sac_ros.ros.policy.joint_state_reader import JointStateReader
from sac_ros.ros.policy.publishers import CommandPublisher
from sac_ros.ros.robot_description import arm_reference
from sac_ros.ros.spin import run_node, serve_one
from sac_ros.utils.errors import ConfigurationError, JointStateError
from sac_ros.utils.settings import setting

_TICK_S = 0.005
_POLL_S = 0.0005
_RAMP_PERIOD_S = 0.002
_LONGEST_WAIT_S = 4.0  # for the end of the commands, before the guard stops the arm itself
_LONGEST_STOP_S = 2.0
_LONGEST_RAMP_S = 1.0
_ACKNOWLEDGE_S = 1.0
_LONGEST_COMMAND = 4096  # bytes of a message: 500 joints


@dataclass(frozen=True)
class CommandGuardNodeConfig(CommandGuardConfig):
    """Parameters of `command_guard`; those of the guard itself are among them."""

    arm: str = setting("iiwa", "name in config/arms, a path, or robot_description")
    base_link: str = setting("", "where the arm starts; empty: as its YAML or URDF says")
    tip_link: str = setting("", "the end effector; likewise")
    robot_description: str = setting("", "a URDF's text, for arm:=robot_description")
    command_joints: tuple[str, ...] = setting(
        (), "order of the joints in a command; empty: the arm's own order"
    )
    gravity_compensation: str = setting(
        "robot",
        "robot: the robot adds g(q) to the command; policy: the command holds g(q)",
        choices=GRAVITY_COMPENSATION,
    )
    diagnostics_period_s: float = setting(
        1.0, "time from one /diagnostics message to the next", above=0.0, unit="s"
    )


class CommandGuardNode(Node):
    """Subscribes `policy_commands` and `joint_states`, publishes `commands` to the robot."""

    def __init__(self) -> None:
        """Starts to guard, or raises a `ConfigurationError` about a parameter."""
        super().__init__("command_guard")
        config = self._config = declare(self, CommandGuardNodeConfig)
        reference = arm_reference(self, config.arm, config.robot_description)
        arm = load_arm(reference, config.base_link, config.tip_link)
        names = config.command_joints or arm.joint_names
        if sorted(names) != sorted(arm.joint_names):
            raise ConfigurationError(
                f"parameter command_joints must hold each of the arm's joints once "
                f"({', '.join(arm.joint_names)}); got {', '.join(names)}"
            )
        order = [arm.joint_names.index(name) for name in names]
        self._to_arm = np.argsort(order)
        self._guard = CommandGuard(arm, config, config.gravity_compensation)
        self._reader = JointStateReader(arm.joint_names)
        self._output = CommandPublisher(self, order)
        self._reported: frozenset[Any] = frozenset()
        self._last_fault = ""
        self._forwarded = 0
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        steady, urgent = Clock(clock_type=ClockType.STEADY_TIME), UrgentCallbackGroup()
        self._subscriptions_served = [
            self.create_subscription(
                kind, topic, callback, quality, callback_group=urgent, raw=True
            )
            for kind, topic, callback, quality in (
                (Float64MultiArray, "policy_commands", self._on_command, 1),
                (JointState, "joint_states", self._on_joint_state, qos_profile_sensor_data),
            )
        ]
        self.create_timer(_TICK_S, self._on_tick, clock=steady, callback_group=urgent)
        self.create_timer(config.diagnostics_period_s, self._diagnose, clock=steady)
        self.create_service(Trigger, "~/clear_fault", self._on_clear_fault)
        self.get_logger().info(
            f"guarding {arm.name}: {arm.joints} joints, commands time out after "
            f"{config.command_timeout_s:g} s"
        )

    def stop(self) -> None:
        """Forward until the commands have ended; then brake where they left the arm moving."""
        if not self.context.ok():
            return
        safety = self._guard.safety
        self._serve_until(lambda: not safety.active or bool(safety.faults), _LONGEST_WAIT_S)
        if not safety.active:
            return
        safety.begin_stop()
        self._serve_until(lambda: safety.mode is Mode.STOPPED, _LONGEST_STOP_S)
        deadline = time.monotonic() + _LONGEST_RAMP_S
        while not safety.at_rest and time.monotonic() < deadline:
            self._output.publish(safety.rest(time.monotonic()))
            time.sleep(_RAMP_PERIOD_S)
        self._output.publish(safety.final_command(time.monotonic()))
        self._output.wait_until_acknowledged(_ACKNOWLEDGE_S)

    def _on_command(self, raw: bytes) -> None:
        now, guard = time.monotonic(), self._guard
        joints = len(self._to_arm)
        values: Any = ()
        if len(raw) <= _LONGEST_COMMAND:
            values = deserialize_message(raw, Float64MultiArray).data
        if len(values) != joints:
            self._publish(
                guard.refuse_command(
                    now, f"a command must have {joints} values; got {len(values)}"
                )
            )
            return
        command = guard.command(now, np.array(values)[self._to_arm])
        self._publish(command)
        self._forwarded += command is not None and command.mode is Mode.TRACKING
        if command is None:
            self.get_logger().warning(
                "a command is not forwarded: no joint state tells where the arm is"
                + (f" ({guard.safety.problem})" if guard.safety.problem else ""),
                throttle_duration_sec=1.0,
            )

    def _on_joint_state(self, raw: bytes) -> None:
        now, reader, safety = time.monotonic(), self._reader, self._guard.safety
        try:
            position, velocity = reader.read(raw)
        except JointStateError as error:
            safety.refuse_state(now, str(error))
            self._publish(safety.tick(now) if safety.active else None)
            return
        self._publish(self._guard.state(now, position, velocity, reader.stamp_ns))

    def _on_tick(self) -> None:
        self._publish(self._guard.tick(time.monotonic()))

    def _publish(self, command: Command | None) -> None:
        if command is not None:
            self._output.publish(command)
        safety = self._guard.safety
        if safety.faults.keys() != self._reported:
            for kind, sentence in safety.faults.items():
                if kind not in self._reported:
                    self._last_fault = f"{kind.value}: {sentence}"
                    self.get_logger().error(f"{safety.mode.value}: {sentence}")
            self._reported = frozenset(safety.faults)

    def _on_clear_fault(
        self, _request: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        response.message = self._guard.clear_fault(time.monotonic())
        response.success = not response.message
        return response

    def _diagnose(self) -> None:
        safety = self._guard.safety
        level, sentence = DiagnosticStatus.OK, "forwarding" if safety.active else "no commands"
        if safety.faults:
            level = DiagnosticStatus.ERROR
            sentence = f"{safety.mode.value}: {'; '.join(safety.faults.values())}"
        values = {
            "mode": safety.mode.value,
            "state_rate_hz": f"{safety.rate.hz:.1f}",
            "forwarded": str(self._forwarded),
            "last_fault": self._last_fault,
            **{f"interventions.{kind.value}": str(n) for kind, n in safety.interventions.items()},
            **{f"refused_messages.{kind.value}": str(n) for kind, n in safety.refusals.items()},
        }
        status = DiagnosticStatus(
            level=level,
            name=f"{self.get_name()}: commands",
            message=sentence,
            values=[KeyValue(key=key, value=value) for key, value in values.items()],
        )
        message = DiagnosticArray(status=[status])
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)

    def _serve_until(self, done: Callable[[], bool], timeout_s: float) -> None:
        """Serve messages and ticks after the executor has ended."""
        deadline = time.monotonic() + timeout_s
        while not done() and time.monotonic() < deadline:
            served = [serve_one(each) for each in self._subscriptions_served]
            if not any(served):
                self._on_tick()
                time.sleep(_POLL_S)


def main(args: list[str] | None = None) -> int:
    """Console script `command_guard`; returns the exit code."""
    return run_node(CommandGuardNode, args)


if __name__ == "__main__":
    sys.exit(main())
