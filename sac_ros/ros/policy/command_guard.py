# SPDX-License-Identifier: Apache-2.0
"""The independent last line between policy_node and the robot; see `policy.command_guard`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import Trigger

from sac_ros.cdr import NUMBERS, CdrError, Layout, read_layout
from sac_ros.policy.command_guard import CommandGuard, CommandGuardConfig
from sac_ros.policy.joint_state_reader import JointStateReader
from sac_ros.policy.safety_config import Array
from sac_ros.policy.safety_events import Command, Mode
from sac_ros.policy.spec import GRAVITY_COMPENSATION
from sac_ros.robots.arm import load_arm
from sac_ros.ros.control_thread import SWITCH_INTERVAL_S, ControlThread
from sac_ros.ros.parameters import declare, on_change
from sac_ros.ros.policy.diagnostics import FaultReports, counts
from sac_ros.ros.policy.publishers import OTHERS_PERIOD_S, CommandPublisher
from sac_ros.ros.robot_description import arm_reference
from sac_ros.ros.spin import run_node, wait_until
from sac_ros.utils.errors import ConfigurationError, JointStateError
from sac_ros.utils.settings import setting

_LONGEST_WAIT_S = 4.0  # for the end of the commands, before the guard stops the arm itself
_LONGEST_STOP_S = 6.0  # of `ControlledStop`, on a busy machine
_ACKNOWLEDGE_S = 1.0
_LONGEST_COMMAND = 4096  # bytes of a message: 500 joints


@dataclass(frozen=True)
class CommandGuardNodeConfig(CommandGuardConfig):
    """Parameters of `command_guard`; those of the guard itself are among them."""

    arm: str = setting("iiwa", "name in config/arms, a path, or robot_description")
    base_link: str = setting("", "where the arm starts; empty: as in its YAML or URDF")
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
        self._faults = FaultReports(self)
        self._unforwarded = False  # whether a command came without a state to check it by
        self._layout: Layout | None = None  # of the last command
        self._beginning = b""
        self._forwarded = 0
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._ticked = 0.0
        self._control = ControlThread(
            self,
            next_tick=lambda: self._guard.next_tick(self._ticked),
            tick=self._on_tick,
        )
        self._control.subscribe(Float64MultiArray, "policy_commands", self._on_command, 1)
        self._control.subscribe(
            JointState, "joint_states", self._on_joint_state, qos_profile_sensor_data
        )
        changes = {
            name: partial(self._change, getattr(self._guard.safety, f"set_{name}"))
            for name in ("torque_scale", "max_end_effector_speed")
        }
        on_change(self, changes)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(config.diagnostics_period_s, self._diagnose, clock=steady)
        self.create_timer(OTHERS_PERIOD_S, self._look_round, clock=steady)
        self.create_service(Trigger, "~/clear_fault", self._on_clear_fault)
        self.get_logger().info(
            f"guarding {arm.name}: {arm.joints} joints, commands time out after "
            f"{config.command_timeout_s:g} s"
        )

    def stop(self) -> None:
        """Forward until the commands have ended; then brake where they left the arm moving."""
        if self.context.ok():
            guard, safety = self._guard, self._guard.safety
            wait_until(lambda: not safety.active or bool(safety.faults), _LONGEST_WAIT_S)
            self._control.call(lambda: guard.begin_stop(time.monotonic()))
            wait_until(lambda: not safety.active, _LONGEST_STOP_S)
            self._output.wait_until_acknowledged(_ACKNOWLEDGE_S)
        self._control.close()

    def _change(self, change: Callable[[float, float], None], value: float) -> None:
        self._control.call(lambda: change(value, time.monotonic()))

    def _on_command(self, raw: bytes) -> None:
        now, guard = time.monotonic(), self._guard
        try:
            torque = self._read(raw)
        except CdrError as error:
            self._publish(guard.refuse_command(now, f"a command cannot be read: {error}"))
            return
        command = guard.command(now, torque[self._to_arm])
        self._publish(command)
        self._forwarded += command is not None and command.mode is Mode.TRACKING
        self._unforwarded |= command is None

    def _read(self, raw: bytes) -> Array:
        """Return the values of a command; all of one shape begin with the same bytes."""
        layout = self._layout
        if layout is None or len(raw) != layout.size or not raw.startswith(self._beginning):
            if len(raw) > _LONGEST_COMMAND:
                raise CdrError(f"it has {len(raw)} bytes, more than {_LONGEST_COMMAND}")
            layout = read_layout(raw, NUMBERS)
            if layout.arrays["data"][1] != len(self._to_arm):
                raise CdrError(
                    f"it must have {len(self._to_arm)} values; got {layout.arrays['data'][1]}"
                )
            self._layout, self._beginning = layout, raw[: layout.arrays["data"][0]]
        start, count = layout.arrays["data"]
        return np.frombuffer(raw, f"{layout.order}f8", count, start).astype(np.float64)

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
        self._ticked = time.monotonic()
        self._publish(self._guard.tick(self._ticked))

    def _publish(self, command: Command | None) -> None:
        if command is not None:
            self._output.publish(command)
        self._faults.notice(self._guard.safety)

    def _look_round(self) -> None:
        safety = self._guard.safety
        self._output.tell_others(
            lambda others: self._control.post(partial(safety.other_publishers, others))
        )

    def _on_clear_fault(
        self, _request: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        now = time.monotonic()
        response.message = self._control.call(lambda: self._guard.clear_fault(now))
        response.success = not response.message
        return response

    def _diagnose(self) -> None:
        safety = self._guard.safety
        if self._unforwarded:
            self._unforwarded = False
            reason = f" ({safety.problem})" if safety.problem else ""
            self.get_logger().warning(
                f"commands are not forwarded: no joint state has the position of the arm{reason}"
            )
        level, sentence = DiagnosticStatus.OK, "forwarding" if safety.active else "no commands"
        if safety.faults:
            level = DiagnosticStatus.ERROR
            sentence = f"{safety.mode.value}: {'; '.join(dict(safety.faults).values())}"
        values = {
            "mode": safety.mode.value,
            "state_rate_hz": f"{safety.rate.hz:.1f}",
            "forwarded": str(self._forwarded),
            "last_fault": self._faults.last_fault,
            **counts(safety),
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


def main(args: list[str] | None = None) -> int:
    """Console script `command_guard`; returns the exit code."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    return run_node(CommandGuardNode, args, about=__doc__, parameters=CommandGuardNodeConfig)


if __name__ == "__main__":
    sys.exit(main())
