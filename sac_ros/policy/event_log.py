# SPDX-License-Identifier: Apache-2.0
"""policy_node's ``~/events``: everything that led to a torque, exact enough to repeat it.

One JSON object a message. A torque follows from the order of the events and from when the node
saw each of them, which neither a state's stamp nor the time in a bag has; both stand here, so
that a recording can be replayed to the same bits (see `sac_ros.ros.replay_node`).

- Every event: ``n`` counts from 1 for each process, so that a gap is a lost message; ``event``;
  ``time``, s of the node's steady clock, a float in full precision.
- ``state`` (a joint state arrived): ``stamp``, ns of its header; ``active``, whether it was
  answered at all; ``inferences``, how often the policy has run since its activation: the states
  between two of them got the torque of the one before; ``late`` where the policy had been
  asked, and its answer was not there: the first state without ``late`` has it, and ``ran_on``,
  the stamp of the state that the policy was asked for.
- ``tick`` (the watchdog's timer commanded). It and ``state`` have ``has_policy_torque`` and
  ``applied``, whether there is a torque for ``~/policy_torque`` and for ``~/applied_torque``;
  ``faults`` that stand; and, where there was a command, its ``mode`` and its ``interventions``:
  each kind that acted with the indices of the joints that it acted on.
- ``goal``: its values in the policy's frame (null where they are unknown), the ``frame``,
  and why it was ``refused`` (empty when it was not); for a policy whose goals move also the
  ``stamp`` of its header in ns, from which the goal's velocity follows.
- ``activate``: the policy file's ``sha256`` and all ``parameters``; ``deactivate``: whether it
  ended ``at_once``, as in shadow mode.
- ``swap``: ``model_path`` and ``sha256`` of the other policy; ``set_parameter``: ``name`` and
  ``value``; ``other_publishers``: the ``names`` of the nodes that command the robot too.
- ``emergency_stop``: ``engaged``; ``clear_fault``: why it was ``refused``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from sac_ros.policy.safety import SafetyFilter
from sac_ros.policy.safety_events import Command


class EventLog:
    """Hands out events in the order in which they were taken, as one JSON text each.

    States and ticks, 500 a second, are handed out only while there is a subscriber.
    """

    def __init__(
        self, publish: Callable[[str], object], wanted: Callable[[], object] = lambda: True
    ) -> None:
        self._publish = publish
        self._wanted = wanted
        self._count = 0

    def note(self, event: str, time: float, **fields: Any) -> None:
        """Log a rare event that was taken at ``time``, s of the clock that decides."""
        self._count += 1
        self._publish(json.dumps({"n": self._count, "event": event, "time": time, **fields}))

    def answered(
        self,
        event: str,
        time: float,
        command: Command | None,
        safety: SafetyFilter,
        **fields: Any,
    ) -> None:
        """Log what came of a state or of a tick of the watchdog at ``time``."""
        self._count += 1
        if not self._wanted():
            return
        record = {"n": self._count, "event": event, "time": time, **fields}
        record["applied"] = command is not None
        if command is not None:
            record["mode"] = command.mode.value
            record["interventions"] = {
                kind.value: joints for kind, joints in command.interventions.items()
            }
        record["faults"] = [fault.value for fault in safety.faults]
        self._publish(json.dumps(record))
