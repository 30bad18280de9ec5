# SPDX-License-Identifier: Apache-2.0
"""Faults over real DDS, alone and together, at any moment: every published command is judged.

One policy_node lives through all of it, and comes back to tracking after each.
`SAC_ROS_THOROUGH=1` tries every pair; otherwise each fault meets two others.
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: `make setup` brings it")

from fault_matrix import FAULTS, MatrixRobot, meanwhile, ring_of_pairs, worst
from faulty_robot.policy_process import ACTIVATE, DEACTIVATE

PAIRS = (
    list(itertools.combinations(FAULTS, 2))
    if os.environ.get("SAC_ROS_THOROUGH")
    else ring_of_pairs(seed=1)
)
# One of each kind: no state at all, a wrong one, one that is no fault, a call, a graph event.
SOME = (
    "silence",
    "nan position",
    "joint missing",
    "velocity of 100 rad/s",
    "emergency stop",
    "model swap",
)


@pytest.fixture(scope="module")
def living_robot(
    module_ros: Any, eventually: Callable[..., None], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MatrixRobot]:
    robot = MatrixRobot(module_ros, eventually, tmp_path_factory.mktemp("models"))
    yield robot
    robot.close()


@pytest.fixture
def robot(living_robot: MatrixRobot) -> Iterator[MatrixRobot]:
    """The robot, tracking before and after a test; its whole record is judged with each."""
    living_robot.track()
    yield living_robot
    living_robot.track()
    living_robot.assert_always_true()


def moment(*names: str, longest_s: float) -> float:
    """A moment drawn once and for all for these faults."""
    return random.Random(" ".join(names)).uniform(0.0, longest_s)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_leads_where_the_table_says(robot: MatrixRobot, fault: str) -> None:
    FAULTS[fault].begin(robot)
    robot.settles_in(FAULTS[fault].mode)
    FAULTS[fault].end(robot)


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_two_faults_lead_where_the_worse_one_does(
    robot: MatrixRobot, first: str, second: str
) -> None:
    FAULTS[first].begin(robot)
    threading.Event().wait(moment(first, second, longest_s=0.2))
    FAULTS[second].begin(robot)
    robot.settles_in(worst(first, second))
    FAULTS[first].end(robot)
    FAULTS[second].end(robot)


@pytest.mark.parametrize("fault", SOME)
def test_a_fault_during_activation(robot: MatrixRobot, fault: str) -> None:
    assert robot.change_state(DEACTIVATE)
    count = len(robot.commands)
    activated = meanwhile(
        lambda: robot.change_state(ACTIVATE),
        lambda: FAULTS[fault].begin(robot),
        moment(fault, longest_s=0.02),
    )
    if activated:
        robot.send_goal(0.9)
        robot.settles_in(FAULTS[fault].mode)
    else:
        assert robot.state() == "inactive"
        assert len(robot.commands) == count
    FAULTS[fault].end(robot)


@pytest.mark.parametrize("fault", SOME)
def test_a_fault_during_a_model_swap(robot: MatrixRobot, fault: str) -> None:
    meanwhile(
        lambda: FAULTS["model swap"].begin(robot),
        lambda: FAULTS[fault].begin(robot),
        moment(fault, "swap", longest_s=0.03),
    )
    robot.settles_in(FAULTS[fault].mode)
    FAULTS[fault].end(robot)


@pytest.mark.parametrize("fault", SOME)
def test_a_fault_during_deactivation(robot: MatrixRobot, fault: str) -> None:
    delay = moment(fault, "deactivation", longest_s=0.3)  # the ramp takes about as long
    assert meanwhile(
        lambda: robot.change_state(DEACTIVATE), lambda: FAULTS[fault].begin(robot), delay
    )
    robot.eventually(lambda: not robot.commands[-1].torque.any(), "the last command")
    count = len(robot.commands)
    assert robot.state() == "inactive"  # a round trip through the executor
    assert len(robot.commands) == count
    robot.assert_always_true(ended=True)
    FAULTS[fault].end(robot)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("fault", ["silence", "nan position", "velocity of 100 rad/s"])
def test_a_fault_during_shutdown(robot: MatrixRobot, fault: str, how: signal.Signals) -> None:
    delay = moment(fault, how.name, longest_s=0.3)
    code = meanwhile(lambda: robot.end(how), lambda: FAULTS[fault].begin(robot), delay)
    FAULTS[fault].end(robot)
    assert code == 0
    robot.assert_always_true(ended=True)
