# SPDX-License-Identifier: Apache-2.0
"""Records a deployment into a rosbag2 folder, on machines that have no ``ros2 bag``."""

from __future__ import annotations

import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import (
    DurabilityPolicy,
    QoSCompatibility,
    QoSProfile,
    ReliabilityPolicy,
    qos_check_compatible,
)
from rclpy.subscription import Subscription

from sac_ros.ros.bag_writer import (
    RECORDED,
    STORAGES,
    BagWriteError,
    BagWriter,
    RecordedTopic,
    new_bag_name,
)
from sac_ros.ros.control_thread import ControlThread
from sac_ros.ros.parameters import declare
from sac_ros.ros.spin import run_node
from sac_ros.utils.settings import setting

_DEPTH = 5000  # messages that may wait: ten seconds of states at 500 Hz
_CHECK_S = 0.1
_REFUSED = QoSCompatibility.ERROR
_READ_BACK = 200_000  # messages at most, in a second or two: a launch kills after ten
_FLUSH_S = 1.0  # at most so much is lost when the process is killed


@dataclass(frozen=True)
class RecorderConfig:
    """Parameters of `recorder_node`."""

    bag: str = setting(
        "", "folder to write, which must not exist yet; empty: sac_ros_DATE-TIME, here"
    )
    storage: str = setting("mcap", "how the messages are stored in the bag", choices=STORAGES)


class RecorderNode(Node):
    """Subscribes to `RECORDED` and writes every message as it came, with the time of receipt."""

    def __init__(self) -> None:
        """Makes the bag, or raises a `ConfigurationError` where it exists already; subscribes."""
        super().__init__("recorder_node")
        config = declare(self, RecorderConfig)
        topics = [each._replace(name=self.resolve_topic_name(each.name)) for each in RECORDED]
        path = Path(config.bag or new_bag_name()).expanduser()
        # All that is written is written in one thread, as sqlite requires it.
        self._control = ControlThread(self, next_tick=lambda: math.inf, tick=lambda: None)
        try:
            self._bag = self._control.call(lambda: BagWriter(path, topics, config.storage))
        except BaseException:
            self._control.close()
            raise
        self._subscriptions_of: dict[RecordedTopic, Subscription] = {}
        for topic in RECORDED:
            self._subscribe(topic, QoSProfile(depth=_DEPTH, durability=_durability(topic)))
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(_CHECK_S, self._ask_for_less, clock=steady)
        self.create_timer(_FLUSH_S, lambda: self._control.post(self._bag.flush), clock=steady)
        self.get_logger().info(f"recording into {self._bag.path}")

    def stop(self) -> None:
        """Closes the bag and reads it back; called by `run_node` whatever the node ends for.

        Raises:
            BagWriteError: it could not be written, or is not what was recorded.
        """
        try:
            self._control.call(self._close)
        finally:
            self._control.close()
        log, count = self.get_logger(), self._bag.count
        log.info(f"{count} messages in {self._bag.path}")
        if count > _READ_BACK:
            log.info(f"only counts are compared, as in any bag of more than {_READ_BACK} messages")
        if words := self._bag.miscount() if count > _READ_BACK else self._bag.mismatch():
            raise BagWriteError(words)

    def _close(self) -> None:
        try:
            for subscription in self._subscriptions_of.values():
                _drain(subscription)
        finally:
            self._bag.close()

    def _subscribe(self, topic: RecordedTopic, qos: QoSProfile) -> None:
        name = self.resolve_topic_name(topic.name)

        self._subscriptions_of[topic] = self._control.subscribe(
            topic.message,
            topic.name,
            lambda message: self._bag.write(name, time.time_ns(), message),
            qos,
        )

    def _ask_for_less(self) -> None:
        """Subscribe with the little that every publisher offers where one offers less than all."""
        for topic, subscription in list(self._subscriptions_of.items()):
            asked = subscription.qos_profile
            if asked.reliability == ReliabilityPolicy.BEST_EFFORT:
                continue
            offered = [
                info.qos_profile
                for info in self.get_publishers_info_by_topic(subscription.topic_name)
            ]
            if any(qos_check_compatible(each, asked)[0] == _REFUSED for each in offered):
                self._control.unsubscribe(subscription)
                qos = QoSProfile(depth=_DEPTH, reliability=ReliabilityPolicy.BEST_EFFORT)
                self._subscribe(topic, qos)


def _durability(topic: RecordedTopic) -> DurabilityPolicy:
    return DurabilityPolicy.TRANSIENT_LOCAL if topic.latched else DurabilityPolicy.VOLATILE


def _drain(subscription: Subscription) -> None:
    """Write what has arrived and was not yet taken: its publisher counts it as received."""
    with subscription.handle:
        while taken := subscription.handle.take_message(subscription.msg_type, subscription.raw):
            subscription.callback(taken[0])


def main(args: list[str] | None = None) -> int:
    """Console script `recorder_node`; returns the exit code."""
    return run_node(RecorderNode, args, about=__doc__, parameters=RecorderConfig)


if __name__ == "__main__":
    sys.exit(main())
