# SPDX-License-Identifier: Apache-2.0
"""A simulated arm that behaves like a robot driver: torque commands in, joint states out."""

from __future__ import annotations

import math
import sys
import time

from builtin_interfaces.msg import Time as TimeMessage
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import qos_profile_sensor_data
from rclpy.serialization import deserialize_message
from rclpy.time import Time
from rosgraph_msgs.msg import Clock as ClockMessage
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, String
from std_srvs.srv import Trigger

from sac_ros.robots.arm import load_arm
from sac_ros.ros.control_thread import ControlThread
from sac_ros.ros.parameters import declare
from sac_ros.ros.robot_description import LATCHED, arm_reference
from sac_ros.ros.sim_config import SimNodeConfig
from sac_ros.ros.spin import run_node
from sac_ros.sim.command_inbox import CommandRefusedError
from sac_ros.sim.description import ros_description
from sac_ros.sim.robot_driver import Measurement, SimDriver

_WARN_EVERY = 2.0  # s
_BEHIND = 0.1  # s lost since the last report that are worth a warning


class SimNode(Node):
    """Subscribes `commands`, publishes `joint_states` and `robot_description`, offers `~/reset`.

    It runs in real time, as a robot does.
    """

    def __init__(self) -> None:
        """Starts the simulation, or raises a `ConfigurationError` about a parameter."""
        super().__init__("sim_node")
        self._config = config = declare(self, SimNodeConfig)
        reference = arm_reference(self, config.arm, config.robot_description)
        arm = load_arm(reference, config.base_link, config.tip_link)
        self._driver = SimDriver(arm, config)
        self._line = self._driver.state_line()
        self._refused = 0
        self._reported_lost = 0.0

        self._joint_states = self.create_publisher(JointState, "joint_states", 10)
        self._description = self.create_publisher(String, "robot_description", LATCHED)
        self._description.publish(String(data=ros_description(arm)))
        self._clock_publisher: Publisher | None = None
        if config.publish_clock:
            self._clock_publisher = self.create_publisher(
                ClockMessage, "/clock", qos_profile_sensor_data
            )
        self.create_service(Trigger, "~/reset", self._on_reset)
        # By the steady clock: with use_sim_time the node's own clock may be the one made here.
        self._due = time.monotonic()
        self._control = ControlThread(self, next_tick=lambda: self._due, tick=self._advance)
        self._control.subscribe(Float64MultiArray, "commands", self._on_command, 1)
        self.get_logger().info(
            f"simulating {arm.name} in {config.backend} at {config.rate:g} Hz, gravity "
            f"compensation by the {config.gravity_compensation}, commands time out after "
            f"{config.command_timeout:g} s"
        )

    def stop(self) -> None:
        """Ends the simulation; called by `run_node` before the node is destroyed."""
        self._control.close()
        self._driver.close()

    def _on_command(self, raw: bytes) -> None:
        now = time.monotonic()
        try:
            self._driver.command(deserialize_message(raw, Float64MultiArray).data, now)
        except CommandRefusedError as refusal:
            self._refused += 1
            self.get_logger().warning(
                f"refused ({self._refused} so far): {refusal}", throttle_duration_sec=_WARN_EVERY
            )

    def _advance(self) -> None:
        now = time.monotonic()
        period = 1.0 / self._config.rate
        self._due += period * math.ceil((now - self._due) / period + 1e-9)  # on its grid
        if self._driver.advance(now):
            measured = self._driver.measure()
            self._line.send((self._stamp_of(measured), measured), now)
            self._report_lost_time()
        for _, (stamp, measured) in self._line.receive(now):
            message = JointState(
                name=list(measured.joint_names),
                position=measured.position.tolist(),
                velocity=measured.velocity.tolist(),
                effort=measured.effort.tolist(),
            )
            message.header.stamp = stamp
            self._joint_states.publish(message)

    def _stamp_of(self, measured: Measurement) -> TimeMessage:
        """The time of a measurement; /clock shows it at once, whatever becomes of the state."""
        if self._clock_publisher is None:
            return self.get_clock().now().to_msg()
        stamp = Time(nanoseconds=round(measured.time * 1e9)).to_msg()
        self._clock_publisher.publish(ClockMessage(clock=stamp))
        return stamp

    def _report_lost_time(self) -> None:
        if self._driver.lost - self._reported_lost > _BEHIND:
            self._reported_lost = self._driver.lost
            self.get_logger().warning(
                f"this machine is too slow for {self._config.rate:g} Hz: the simulation is "
                f"{self._driver.lost:.1f} s behind real time",
                throttle_duration_sec=_WARN_EVERY,
            )

    def _on_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._control.call(self._driver.reset)
        response.success = True
        response.message = "the arm is at its home, at rest"
        return response


def main(args: list[str] | None = None) -> int:
    """Console script `sim_node`; returns the exit code."""
    return run_node(SimNode, args, about=__doc__, parameters=SimNodeConfig)


if __name__ == "__main__":
    sys.exit(main())
