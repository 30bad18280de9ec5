# SPDX-License-Identifier: Apache-2.0
"""policy_node's entry in ``/diagnostics``: mode, rates, latency, interventions, faults."""

from __future__ import annotations

from collections import deque

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from sac_ros.policy.controller import PolicyController
from sac_ros.policy.safety import SLOW_WARNING
from sac_ros.policy.safety_events import Mode


class LatencyWindow:
    """The last latencies, in seconds."""

    def __init__(self, size: int = 2048) -> None:
        self._values: deque[float] = deque(maxlen=size)

    def add(self, seconds: float) -> None:
        """Note one latency."""
        self._values.append(seconds)

    def take(self) -> dict[str, float]:
        """Return p50, p99 and max in milliseconds, and empty the window; empty: no entries."""
        if not self._values:
            return {}
        values = 1e3 * np.array(self._values)
        self._values.clear()
        p50, p99 = np.percentile(values, (50, 99))
        return {"p50": float(p50), "p99": float(p99), "max": float(values.max())}


class PolicyDiagnostics:
    """Collects what a period saw and says it in one message.

    Attributes:
        latency: from the arrival of a state in the node to its command published.
        last_fault: the newest fault since start, cleared or not.
        refused_goals: how many goals were refused since start.
        last_refused_goal: why the newest of them was.
    """

    def __init__(self, node_name: str) -> None:
        self._node_name = node_name
        self.latency = LatencyWindow()
        self.last_fault = ""
        self.refused_goals = 0
        self.last_refused_goal = ""

    def message(self, controller: PolicyController, commands: int) -> DiagnosticArray:
        """Return the message of one period, without a stamp; percentiles start anew after it."""
        safety = controller.safety
        values = {
            "state": "active" if safety.active else "inactive",
            "mode": safety.mode.value,
            "policy": controller.policy.spec.name,
            "policy_sha256": controller.policy.sha256,
            "goal": str(None if controller.goal is None else controller.goal.tolist()),
            "state_rate_hz": f"{safety.rate.hz:.1f}",
            "control_rate_hz": f"{controller.policy.spec.control_rate_hz:g}",
            "inferences": str(controller.inferences),
            "commands": str(commands),
            "last_fault": self.last_fault,
            "refused_goals": str(self.refused_goals),
            "last_refused_goal": self.last_refused_goal,
        }
        for name in ("torque", "velocity", "brake"):
            values[f"{name}_limit"] = str(np.round(getattr(safety.limits, name), 3).tolist())
        for name, milliseconds in self.latency.take().items():
            values[f"latency_{name}_ms"] = f"{milliseconds:.3f}"
        for kind, count in safety.interventions.items():
            values[f"interventions.{kind.value}"] = str(count)
        for fault, count in safety.refusals.items():
            values[f"refused_messages.{fault.value}"] = str(count)
        level, sentence = _summary(controller)
        status = DiagnosticStatus(
            level=level,
            name=f"{self._node_name}: policy",
            message=sentence,
            hardware_id=controller.policy.spec.arm,
            values=[KeyValue(key=key, value=value) for key, value in values.items()],
        )
        return DiagnosticArray(status=[status])


def _summary(controller: PolicyController) -> tuple[bytes, str]:
    """Return the level and one sentence."""
    safety = controller.safety
    if not safety.active:
        return DiagnosticStatus.OK, "inactive"
    if safety.mode is not Mode.TRACKING:
        return DiagnosticStatus.ERROR, f"{safety.mode.value}: {'; '.join(safety.faults.values())}"
    rate = controller.policy.spec.control_rate_hz
    if safety.rate.settled and safety.rate.hz < SLOW_WARNING * rate:
        slow = f"joint states arrive at {safety.rate.hz:.1f} Hz, the policy wants {rate:g} Hz"
        return DiagnosticStatus.WARN, slow
    return DiagnosticStatus.OK, "tracking" if controller.goal is not None else "waiting for a goal"
