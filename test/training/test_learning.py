# SPDX-License-Identifier: Apache-2.0
"""The agent learns: tasks so small that their answers are known."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from sac_ros.sac.agent import Batch, SacAgent
from sac_ros.sac.config import SacConfig

VARIANTS = pytest.mark.parametrize("value_function", [True, False], ids=["V", "twin Q"])


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)


def agent(observation: int, action: int, value_function: bool, **settings: Any) -> SacAgent:
    defaults: dict[str, Any] = {
        "hidden_sizes": (32, 32),
        "learning_rate": 3e-3,
        "tau": 0.05,
        "value_tau": 0.05,
    }
    config = SacConfig(value_function=value_function, **{**defaults, **settings})
    return SacAgent(observation, action, config)


def step(state: torch.Tensor, action: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A cart on a line, [x, v] each [B, 1]: force in, reward for being at 0, at rest."""
    x, v = state[:, :1], state[:, 1:]
    v = 0.8 * v + 0.4 * action
    x = (x + 0.4 * v).clamp(-2.0, 2.0)
    reward = -(x**2 + 0.1 * v**2).squeeze(1)
    return torch.cat([x, v], dim=1), reward


@VARIANTS
def test_it_learns_to_park_a_cart_from_random_experience(value_function: bool) -> None:
    sac = agent(
        2, 1, value_function, gamma=0.9, initial_temperature=0.05, averaging_window_fraction=0.02
    )
    for _ in range(500):
        state = torch.rand(128, 2) * 3.0 - 1.5
        action = torch.rand(128, 1) * 2.0 - 1.0
        following, reward = step(state, action)
        sac.update(Batch(state, action, reward, following, torch.zeros(128)))
    start = torch.rand(200, 2) * 2.0 - 1.0
    state = start
    with torch.no_grad():
        for _ in range(25):
            state, _ = step(state, sac.averaged_actor.deterministic(state))
    assert start[:, 0].abs().mean() > 0.4
    assert state[:, 0].abs().mean() < 0.1
    assert state[:, 1].abs().mean() < 0.1


@VARIANTS
@pytest.mark.parametrize(("terminated", "expected"), [(1.0, 1.0), (0.0, 2.0)])
def test_a_reward_of_one_is_worth_one_at_the_end_and_the_whole_series_before_a_time_limit(
    value_function: bool, terminated: float, expected: float
) -> None:
    # One state that leads to itself: Q = r at a termination, r / (1 − γ) when it goes on.
    sac = agent(
        1,
        1,
        value_function,
        gamma=0.5,
        tau=0.2,
        value_tau=0.2,
        learn_temperature=False,
        initial_temperature=1e-6,
    )
    state = torch.zeros(64, 1)
    for _ in range(300):
        action = torch.rand(64, 1) * 2.0 - 1.0
        sac.update(Batch(state, action, torch.ones(64), state, torch.full((64,), terminated)))
    q1, q2 = sac.critic(state, torch.rand(64, 1) * 2.0 - 1.0)
    assert q1.mean().item() == pytest.approx(expected, abs=0.1)
    assert q2.mean().item() == pytest.approx(expected, abs=0.1)


@VARIANTS
def test_the_learned_temperature_brings_the_entropy_to_its_target(value_function: bool) -> None:
    sac = agent(1, 1, value_function, initial_temperature=1.0, learning_rate=1e-2)
    state, entropies = torch.zeros(128, 1), []
    for _ in range(800):
        action = torch.rand(128, 1) * 2.0 - 1.0
        reward = -4.0 * (action - 0.3).square().squeeze(1)
        metrics = sac.update(Batch(state, action, reward, state, torch.ones(128)))
        entropies.append(metrics.entropy)
    assert torch.stack(entropies[-100:]).mean().item() == pytest.approx(-1.0, abs=0.3)
    best = sac.averaged_actor.deterministic(torch.zeros(1, 1)).item()
    assert best == pytest.approx(0.3, abs=0.15)
