# SPDX-License-Identifier: Apache-2.0
"""What a control loop writes into its log, field by field."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from late_worker import LateWorker
from tiny_policy import write_tiny_policy

from sac_ros.policy.control_loop import ControlLoop
from sac_ros.policy.event_log import EventLog
from sac_ros.policy.runtime import Policy
from sac_ros.policy.safety_config import SafetyConfig
from sac_ros.utils.errors import GoalError

CONFIG = SafetyConfig(soft_start_s=0.0, slew_limit=1e5)
GOAL = np.array([0.5, 0.25, 0.125])
STILL = np.zeros(3), np.zeros(3)


@pytest.fixture
def policy(tmp_path: Path) -> Policy:
    return Policy.load(write_tiny_policy(tmp_path / "policy.onnx"))


class Logged:
    """A loop, and all that it has logged."""

    def __init__(self, policy: Policy) -> None:
        self.told: list[str] = []
        self.worker = LateWorker()
        self.loop = ControlLoop(policy, CONFIG, log=EventLog(self.told.append), worker=self.worker)

    @property
    def last(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.told[-1])
        return found


def test_a_state_and_an_activation_are_logged_with_what_came_of_them(policy: Policy) -> None:
    logged = Logged(policy)
    loop = logged.loop
    state = {"event": "state", "has_policy_torque": False, "inferences": 0, "faults": []}
    loop.state(1.49, *STILL, 10)
    assert logged.last == state | {
        "n": 1, "time": 1.49, "stamp": 10, "active": False, "applied": False
    }  # fmt: skip
    loop.activate(1.5)
    assert logged.last == {
        "n": 2,
        "event": "activate",
        "time": 1.5,
        "sha256": policy.sha256,
        "parameters": json.loads(json.dumps(asdict(CONFIG))) | {"model_path": str(policy.path)},
    }
    loop.state(1.502, *STILL, 20)
    assert logged.last == state | {
        "n": 3, "time": 1.502, "stamp": 20, "active": True, "applied": True,
        "mode": "tracking", "interventions": {"no_goal": []},
    }  # fmt: skip


def test_goals_and_refused_ones_are_logged_with_their_numbers(policy: Policy) -> None:
    logged = Logged(policy)
    logged.loop.set_goal(2.0, "base", GOAL)
    goal = {"event": "goal", "time": 2.0, "goal": GOAL.tolist(), "frame": "base"}
    assert logged.last == goal | {"n": 1, "refused": ""}
    with suppress(GoalError):
        logged.loop.set_goal(2.0, "camera", GOAL)
    assert (logged.last["n"], logged.last["time"]) == (2, 2.0)
    assert logged.last["goal"] == GOAL.tolist()
    assert logged.last["frame"] == "camera"
    assert "must be in frame 'base'" in logged.last["refused"]
    logged.loop.refuse_goal(3.0, "map", "nobody knows this frame")
    assert logged.last == {
        "n": 3, "event": "goal", "time": 3.0, "goal": None, "frame": "map",
        "refused": "nobody knows this frame",
    }  # fmt: skip


def test_an_emergency_stop_its_ticks_and_its_end_are_logged(
    policy: Policy, tmp_path: Path
) -> None:
    logged = Logged(policy)
    loop = logged.loop
    loop.state(0.999, *STILL, 5)
    loop.activate(1.0)
    loop.emergency_stop(1.01, True)
    assert logged.last == {"n": 3, "event": "emergency_stop", "time": 1.01, "engaged": True}
    loop.tick(1.011)
    assert logged.last == {
        "n": 4, "event": "tick", "time": 1.011, "has_policy_torque": False, "applied": True,
        "mode": "damping", "interventions": {"damping": []}, "faults": ["emergency_stop"],
    }  # fmt: skip
    loop.clear_fault(1.02)
    cleared = {"event": "clear_fault", "time": 1.02}
    assert logged.last == cleared | {"n": 5, "refused": "the emergency stop is engaged"}
    loop.emergency_stop(1.02, False)
    loop.clear_fault(1.02)
    assert logged.last == cleared | {"n": 7, "refused": ""}
    other = Policy.load(write_tiny_policy(tmp_path / "other.onnx", gain=0.5))
    loop.swap(1.03, other)
    assert logged.last == {
        "n": 8, "event": "swap", "time": 1.03, "model_path": str(other.path),
        "sha256": other.sha256,
    }  # fmt: skip
    loop.begin_stop(1.04)
    deactivated = json.loads(logged.told[8])
    assert deactivated == {"n": 9, "event": "deactivate", "time": 1.04, "at_once": False}


def test_a_late_answer_is_logged_with_the_stamp_of_the_state_that_was_asked_for(
    policy: Policy,
) -> None:
    logged = Logged(policy)
    loop = logged.loop
    loop.state(0.999, *STILL, 5)
    loop.activate(1.0)
    loop.set_goal(1.0, "base", GOAL)
    logged.worker.busy = True
    loop.state(1.002, *STILL, 10)
    assert (logged.last["late"], logged.last["inferences"]) == (True, 0)
    assert not logged.last["has_policy_torque"]
    logged.worker.busy = False
    loop.state(1.004, *STILL, 20)
    assert (logged.last["ran_on"], logged.last["inferences"]) == (10, 1)
    assert logged.last["has_policy_torque"]
    loop.state(1.006, *STILL, 30)
    assert not {"late", "ran_on"} & set(logged.last)
    logged.worker.busy = True
    for milliseconds in (14, 30):  # asked for, and then given up
        loop.state(1.0 + 1e-3 * milliseconds, *STILL, 10 * milliseconds)
        assert logged.last["late"] is True
    assert not logged.last["has_policy_torque"]


def test_states_are_handed_out_only_while_someone_wants_them_and_counted_always(
    policy: Policy,
) -> None:
    told: list[str] = []
    wanted = False
    loop = ControlLoop(policy, CONFIG, log=EventLog(told.append, lambda: wanted))
    for number in range(5):
        loop.state(1.0 + number, *STILL)
    assert not told
    wanted = True
    loop.state(6.0, *STILL)
    assert json.loads(told[0])["n"] == 6
