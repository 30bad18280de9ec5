# SPDX-License-Identifier: Apache-2.0
"""The controller in torch is the simulator's own kinematics, encoding and torque."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from export_call import ExportCall, export_call


@pytest.fixture(
    scope="module", params=[("robot", "none"), ("policy", "none"), ("robot", "computed_torque")]
)
def call(request: pytest.FixtureRequest) -> Iterator[ExportCall]:
    gravity_compensation, prior = request.param
    made = export_call(gravity_compensation, prior=prior, observer_rate=2.0)
    yield made
    made.env.close()


def tensors(call: ExportCall) -> list[torch.Tensor]:
    names = ("joint_position", "joint_velocity", "goal", "state")
    return [torch.from_numpy(call.states.inputs[name]) for name in names]


def test_its_action_is_the_actors_on_the_simulators_own_observation(call: ExportCall) -> None:
    with torch.no_grad():
        action = call.graph(*tensors(call))[1]
        expected = call.graph.actor.deterministic(torch.from_numpy(call.states.observation))
    np.testing.assert_allclose(action, expected, atol=2e-5)


def test_its_torque_is_the_environments_of_that_action(call: ExportCall) -> None:
    with torch.no_grad():
        torque, action = call.graph(*tensors(call))[:2]
    names = ("joint_position", "joint_velocity")
    position, velocity = (call.states.inputs[name].astype(np.float64) for name in names)
    memory = call.states.inputs["state"]
    motion = call.env.motion(position, velocity)
    expected, _ = call.env.answer(action.numpy(), position, motion, memory)
    limit = call.env.arm.torque_limit
    np.testing.assert_allclose(torque / limit, expected / limit, atol=1e-5)
    assert np.all(np.abs(torque.numpy()) <= limit * (1 + 1e-6))


def test_the_gate_asks_saturated_fast_and_far_states_too(call: ExportCall) -> None:
    states, arm = call.states, call.env.arm
    assert len(states.observation) >= 1000
    assert (np.abs(states.inputs["joint_velocity"]) > arm.velocity_limit).mean() > 0.2
    goal = states.inputs["goal"]
    assert ((goal < arm.goal_low) | (goal > arm.goal_high)).any(axis=1).mean() > 0.2
    assert (np.abs(states.inputs["state"]) == 1.0).all(axis=1).sum() == 250
    with torch.no_grad():
        action = call.graph.actor.deterministic(torch.from_numpy(states.observation)).abs()
    assert (action > 0.98).any()
    assert (action < 0.5).any()
