# SPDX-License-Identifier: Apache-2.0
"""Subscriptions that are looked at when it suits, and cost nothing in between."""

from __future__ import annotations

from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message

from sac_ros.ros.control_thread import Apart


class PolledTopic:
    """A subscription that no executor waits for: 500 messages a second wake nobody.

    A callback for every one of them costs Python a fifth of a core.
    """

    def __init__(self, node: Node, kind: Any, topic: str, qos: QoSProfile) -> None:
        """Subscribes; of what comes, DDS keeps as many as ``qos`` sets."""
        self._node, self._kind = node, kind
        self._subscription = node.create_subscription(
            kind, topic, lambda _: None, qos, callback_group=Apart(), raw=True
        )

    @property
    def topic_name(self) -> str:
        """The topic's full name."""
        return str(self._subscription.topic_name)

    def take_all(self) -> list[bytes]:
        """Return what has come since the last call, serialised (CDR), the newest last."""
        taken = []
        handle = self._subscription.handle
        with handle:
            while (message := handle.take_message(self._kind, True)) is not None:
                taken.append(message[0])
        return taken

    def take_newest(self) -> Any:
        """Return the newest message since the last call; None where there is none."""
        taken = self.take_all()
        return deserialize_message(taken[-1], self._kind) if taken else None

    def destroy(self) -> None:
        """Unsubscribe."""
        self._node.destroy_subscription(self._subscription)
