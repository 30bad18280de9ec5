# SPDX-License-Identifier: Apache-2.0
"""policy_node's entry in ``/diagnostics``: mode, rates, latency, interventions, faults."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node

from sac_ros.policy.detectors.timeouts import SLOW_WARNING
from sac_ros.policy.safety import SafetyFilter
from sac_ros.policy.safety_events import Fault, Mode

if TYPE_CHECKING:  # command_guard needs no onnxruntime
    from sac_ros.policy.control_loop import ControlLoop


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


class FaultReports:
    """Logs the faults of a safety filter, in the executor's thread and not in that of control.

    Attributes:
        last_fault: the newest fault since start, cleared or not.
    """

    def __init__(self, node: Node, hint: str = "") -> None:
        """Logs as ``node``; each sentence ends with ``hint``."""
        self._logger, self._hint = node.get_logger(), hint
        self._safety: SafetyFilter | None = None
        self._noticed: frozenset[Fault] = frozenset()  # by the control thread
        self._reported: frozenset[Fault] = frozenset()  # by the executor
        self._news = node.create_guard_condition(self._report)
        self.last_fault = ""

    def notice(self, safety: SafetyFilter) -> None:
        """Have faults logged that are new; called in the control thread after each event."""
        if safety.faults.keys() != self._noticed:
            self._safety, self._noticed = safety, frozenset(safety.faults)
            self._news.trigger()

    def _report(self) -> None:
        if self._safety is None:
            return
        faults, mode = dict(self._safety.faults), self._safety.mode.value
        for kind in faults.keys() - self._reported:
            self.last_fault = f"{kind.value}: {faults[kind]}"
            self._logger.error(f"{mode}: {faults[kind]}{self._hint}")
        self._reported = frozenset(faults)


def counts(safety: SafetyFilter) -> dict[str, str]:
    """Return how often a filter acted and refused; copies, since the control thread goes on."""
    return {
        **{
            f"interventions.{kind.value}": str(n) for kind, n in dict(safety.interventions).items()
        },
        **{f"refused_messages.{kind.value}": str(n) for kind, n in dict(safety.refusals).items()},
    }


class PolicyDiagnostics:
    """Collects what happened in a period and reports it in one message.

    Attributes:
        latency: from the arrival of a state in the node to its command published.
        refused_goals: how many goals were refused since start.
        last_refused_goal: why the newest of them was.
    """

    def __init__(self, node_name: str) -> None:
        self._node_name = node_name
        self.latency = LatencyWindow()
        self.refused_goals = 0
        self.last_refused_goal = ""

    def message(self, loop: ControlLoop, commands: int, last_fault: str) -> DiagnosticArray:
        """Return the message of one period, without a stamp; percentiles restart after it."""
        safety = loop.safety
        values = {
            "state": "active" if safety.active else "inactive",
            "mode": safety.mode.value,
            "policy": loop.policy.spec.name,
            "policy_sha256": loop.policy.sha256,
            "goal": str(None if loop.goal is None else loop.goal.tolist()),
            "state_rate_hz": f"{safety.rate.hz:.1f}",
            "control_rate_hz": f"{loop.policy.spec.control_rate_hz:g}",
            "inferences": str(loop.inference.count),
            "late_inferences": str(loop.inference.late),
            "commands": str(commands),
            "last_fault": last_fault,
            "refused_goals": str(self.refused_goals),
            "last_refused_goal": self.last_refused_goal,
        }
        for name in ("torque", "velocity", "brake", "stop"):
            values[f"{name}_limit"] = str(np.round(getattr(safety.limits, name), 3).tolist())
        for name, milliseconds in self.latency.take().items():
            values[f"latency_{name}_ms"] = f"{milliseconds:.3f}"
        values |= counts(safety)
        level, sentence = _summary(loop)
        status = DiagnosticStatus(
            level=level,
            name=f"{self._node_name}: policy",
            message=sentence,
            hardware_id=loop.policy.spec.arm,
            values=[KeyValue(key=key, value=value) for key, value in values.items()],
        )
        return DiagnosticArray(status=[status])


def _summary(loop: ControlLoop) -> tuple[bytes, str]:
    """Return the level and one sentence."""
    safety = loop.safety
    if not safety.active:
        return DiagnosticStatus.OK, "inactive"
    if safety.mode is not Mode.TRACKING:
        return (
            DiagnosticStatus.ERROR,
            f"{safety.mode.value}: {'; '.join(dict(safety.faults).values())}",
        )
    rate = loop.policy.spec.control_rate_hz
    if safety.rate.settled and safety.rate.hz < SLOW_WARNING * rate:
        slow = f"joint states arrive at {safety.rate.hz:.1f} Hz, the policy needs {rate:g} Hz"
        return DiagnosticStatus.WARN, slow
    return DiagnosticStatus.OK, "tracking" if loop.goal is not None else "waiting for a goal"
