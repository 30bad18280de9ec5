# SPDX-License-Identifier: Apache-2.0
"""policy_node's ``~/events``: everything that led to a torque, exact enough to repeat it.

One JSON object a message. A torque follows from the order of the events and from when the node
saw each of them, which neither a state's stamp nor the time in a bag tells; both stand here, so
that a recording can be replayed to the same bits (see `sac_ros.ros.replay_node`).

- Every event: ``n`` counts from 1 for each process, so that a gap is a lost message; ``event``;
  ``time``, s of the node's steady clock, a float in full precision.
- ``state`` (a joint state arrived): ``stamp``, ns of its header; ``active``, whether it was
  answered at all; ``inferences``, how often the policy has run since its activation: the states
  between two of them got the torque of the one before.
- ``tick`` (the watchdog's timer commanded). It and ``state`` have ``has_policy_torque`` and
  ``applied``, whether there is a torque for ``~/policy_torque`` and for ``~/applied_torque``;
  ``faults`` that stand; and, where there was a command, its ``mode`` and its ``interventions``:
  each kind that acted with the indices of the joints that it acted on.
- ``goal``: its values in the policy's frame (null where they could not be told), the ``frame``,
  and why it was ``refused`` (empty when it was not).
- ``activate``: the policy file's ``sha256`` and all ``parameters``; ``swap``: its ``sha256``.
- ``emergency_stop``: ``engaged``; ``clear_fault``: why it was ``refused``; ``deactivate``.
"""

from __future__ import annotations

import json
from typing import Any

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import String

from sac_ros.policy.safety import SafetyFilter
from sac_ros.policy.safety_events import Command

# Kept for who connects late: a recorder that starts beside the node must not miss the activation.
_QOS = QoSProfile(depth=1000, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class EventLog:
    """Publishes events in the order in which the node took them.

    States and ticks, 500 a second, are published only while there is a subscriber.
    """

    def __init__(self, node: Node) -> None:
        """Publishes on the node's ``~/events``."""
        self._publisher = node.create_publisher(String, "~/events", _QOS)
        self._count = 0

    def note(self, event: str, time: float, **fields: Any) -> None:
        """Publish a rare event that the node took at ``time``, s of the clock it decides by."""
        self._count += 1
        self._publish({"event": event, "time": time, **fields})

    def answered(
        self,
        event: str,
        time: float,
        command: Command | None,
        safety: SafetyFilter,
        **fields: Any,
    ) -> None:
        """Publish what came of a state or of a tick of the watchdog at ``time``."""
        self._count += 1
        if self._publisher.get_subscription_count() == 0:
            return
        record = {"event": event, "time": time, **fields, "applied": command is not None}
        if command is not None:
            record["mode"] = command.mode.value
            record["interventions"] = {
                kind.value: joints for kind, joints in command.interventions.items()
            }
        record["faults"] = [fault.value for fault in safety.faults]
        self._publish(record)

    def _publish(self, record: dict[str, Any]) -> None:
        self._publisher.publish(String(data=json.dumps({"n": self._count, **record})))
