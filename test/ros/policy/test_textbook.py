# SPDX-License-Identifier: Apache-2.0
"""The textbook controller on the robot's side: through the same loop, safety and gates."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from sac_ros.policy.control_loop import ControlLoop
from sac_ros.policy.runtime import Policy
from sac_ros.policy.safety_config import SafetyConfig
from sac_ros.robots.arm import load_arm
from sac_ros.ros.policy.config import PolicyNodeConfig
from sac_ros.ros.policy.textbook import TextbookPolicy
from sac_ros.sim.bullet import BulletBackend
from sac_ros.utils.errors import ConfigurationError, PolicyFileError

MODELS = Path(__file__).parents[3] / "models"
RATE = 500


def driven(policy: Policy, goals: list[list[float]], seconds: float) -> np.ndarray:
    """Where [goals, 3] m the end effector is, `seconds` after each goal; states at 500 Hz."""
    arm = load_arm("iiwa")
    backend = BulletBackend(arm, gravity=False)
    loop, n, places = ControlLoop(policy, SafetyConfig()), arm.joints, []
    now, row = 0.0, backend.read()
    loop.state(now, np.array(row[:n]), np.array(row[n : 2 * n]), 1)
    loop.activate(now)
    for goal in goals:
        loop.set_goal(now, policy.spec.goal.frame, np.array(goal))
        for _ in range(round(seconds * RATE)):
            now += 1.0 / RATE
            row = backend.read()
            stamp = round(1e9 * now) + 1
            command = loop.state(now, np.array(row[:n]), np.array(row[n : 2 * n]), stamp)
            assert command is not None
            backend.step(command.torque.tolist(), 1)
        places.append(row[2 * n : 2 * n + 3])
    assert not loop.safety.faults
    backend.close()
    return np.array(places)


def test_it_reaches_one_goal_after_the_other_through_the_safety_filter() -> None:
    goals = [[0.5, 0.2, 0.5], [0.6, -0.2, 0.4], [0.4, 0.0, 0.6]]
    policy = TextbookPolicy(Policy.load(MODELS / "iiwa_reach.onnx"))
    np.testing.assert_allclose(driven(policy, goals, 4.0), goals, atol=2e-3)


def test_its_torque_is_within_that_of_the_policy_in_any_state() -> None:
    policy = Policy.load(MODELS / "iiwa_reach.onnx")
    textbook, rng = TextbookPolicy(policy), np.random.default_rng(0)
    position = rng.uniform(-2, 2, (20, 7))
    goal = np.tile([0.5, 0.1, 0.5], (20, 1))
    state = np.zeros((20, textbook.state_size))
    answer = textbook.answer(position, rng.uniform(-3, 3, (20, 7)), goal, state=state)
    assert np.all(np.abs(answer.torque) <= np.array(policy.spec.authority) * (1 + 1e-9))
    assert textbook.gravity(position[0]) is None


def test_the_parameter_chooses_what_answers_in_the_node_and_in_a_replay() -> None:
    policy = Policy.load(MODELS / "iiwa_reach.onnx")
    assert PolicyNodeConfig().answering(policy) is policy
    found = PolicyNodeConfig(controller="computed_torque").answering(policy)
    assert isinstance(found, TextbookPolicy)
    with pytest.raises(ConfigurationError, match="policy_sha256"):
        PolicyNodeConfig(controller="computed_torque", policy_sha256=("0" * 64,)).answering(policy)


def test_a_file_for_an_arm_that_is_not_known_is_refused() -> None:
    policy = Policy.load(MODELS / "iiwa_reach.onnx")
    policy.spec = dataclasses.replace(policy.spec, arm="nonesuch", training={})
    with pytest.raises(PolicyFileError, match="cannot be replaced by computed_torque: "):
        TextbookPolicy(policy)


def test_a_file_for_other_joints_than_its_arms_is_refused() -> None:
    policy = Policy.load(MODELS / "iiwa_reach.onnx")
    policy.spec = dataclasses.replace(policy.spec, arm="panda")
    with pytest.raises(PolicyFileError, match="its joints are lbr_iiwa_joint_1, "):
        TextbookPolicy(policy)
