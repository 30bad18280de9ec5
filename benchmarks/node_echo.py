# SPDX-License-Identifier: Apache-2.0
"""What policy_node is measured against: a node that answers a joint state with its velocities.

`python -m benchmarks.node_echo EXECUTOR`, by one of `EXECUTORS`. With `bare_wait_set` it is
rclpy's floor: one subscription on one wait set, nothing else served, messages converted as usual.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation as _rclpy
from rclpy.node import Node
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray


class Echo(Node):
    """Answers at once with the velocities."""

    def __init__(self) -> None:
        super().__init__("echo")
        self._publisher = self.create_publisher(Float64MultiArray, "commands", QoSProfile(depth=1))
        self.states = self.create_subscription(
            JointState, "joint_states", self.answer, qos_profile_sensor_data
        )

    def answer(self, message: JointState) -> None:
        """Publish the velocities as they are."""
        self._publisher.publish(Float64MultiArray(data=message.velocity))


def _single_threaded(node: Echo) -> None:
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    executor.spin()


def _bare_wait_set(node: Echo) -> None:
    wait_set = _rclpy.WaitSet(1, 0, 0, 0, 0, 0, node.context.handle)
    handle = node.states.handle
    while node.context.ok():
        wait_set.clear_entities()
        wait_set.add_subscription(handle)
        wait_set.wait(100_000_000)
        while (taken := handle.take_message(JointState, False)) is not None:
            node.answer(taken[0])


EXECUTORS: dict[str, Callable[[Echo], None]] = {
    "single_threaded": _single_threaded,
    "bare_wait_set": _bare_wait_set,
}


def main() -> None:
    """Answer until the process is asked to end."""
    # A server without a last message: let the kernel end it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    rclpy.init(signal_handler_options=rclpy.signals.SignalHandlerOptions.NO)
    EXECUTORS[sys.argv[1]](Echo())


if __name__ == "__main__":
    main()
