# SPDX-License-Identifier: Apache-2.0
"""/diagnostics says in one level and one sentence how policy_node is, and counts the rest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: `make setup` brings it")

from diagnostic_msgs.msg import DiagnosticStatus
from tiny_policy import write_tiny_policy

from sac_ros.policy.control_loop import ControlLoop
from sac_ros.policy.runtime import Policy
from sac_ros.policy.safety_config import SafetyConfig
from sac_ros.ros.policy.diagnostics import PolicyDiagnostics


def status(path: Path, rate_hz: float, active: bool = True) -> DiagnosticStatus:
    """What is said after 60 states at a rate, for a policy of 100 Hz."""
    loop = ControlLoop(Policy.load(write_tiny_policy(path)), SafetyConfig())
    loop.state(0.0, np.zeros(3), np.zeros(3))
    loop.activate(0.0)
    for i in range(1, 61):
        loop.state(i / rate_hz, np.zeros(3), np.zeros(3))
    if not active:
        loop.begin_stop(1.0, at_once=True)
    (only,) = PolicyDiagnostics("policy_node").message(loop, 60, "").status
    return only


@pytest.mark.parametrize(
    ("rate_hz", "level", "sentence"),
    [
        (500.0, DiagnosticStatus.OK, "waiting for a goal"),
        (81.0, DiagnosticStatus.OK, "waiting for a goal"),
        (79.0, DiagnosticStatus.WARN, "joint states arrive at 79.0 Hz, the policy needs 100 Hz"),
        (51.0, DiagnosticStatus.WARN, "joint states arrive at 51.0 Hz, the policy needs 100 Hz"),
        (49.0, DiagnosticStatus.ERROR, "stopped: joint states arrive at 49.0 Hz, below half"),
    ],
)
def test_slow_states_are_first_a_warning_and_below_half_the_rate_a_fault(
    tmp_path: Path, rate_hz: float, level: bytes, sentence: str
) -> None:
    found = status(tmp_path / "policy.onnx", rate_hz)
    assert found.level == level
    assert found.message.startswith(sentence)


def test_an_inactive_node_is_well_whatever_arrives(tmp_path: Path) -> None:
    found = status(tmp_path / "policy.onnx", 10.0, active=False)
    assert (found.level, found.message) == (DiagnosticStatus.OK, "inactive")
