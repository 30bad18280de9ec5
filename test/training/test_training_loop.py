# SPDX-License-Identifier: Apache-2.0
"""The loop keeps the ratio of updates to steps, whoever is faster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from sac_ros.sac.agent import Batch, SacAgent
from sac_ros.sac.config import SacConfig
from sac_ros.training.replay_sampler import ReplaySampler
from sac_ros.training.training_loop import UPDATES_PER_BLOCK, LoopState, TrainingLoop

CONFIG = SacConfig(hidden_sizes=(8,), batch_size=4, learning_starts=100, updates_per_step=0.5)


class FakeSource:
    """A replay buffer that grows as far as it is asked to, a few steps more at a time."""

    def __init__(self, overshoot: int = 0) -> None:
        rng = np.random.default_rng(0)
        self.shared = self.replay = self.weights = self
        self.env_steps = 0
        self.asked: list[int] = []
        self.published: list[np.ndarray] = []
        self.overshoot = overshoot
        self.observation = rng.normal(size=(5000, 3)).astype(np.float32)
        self.next_observation = self.observation + 1
        self.action = rng.uniform(-1, 1, (5000, 2)).astype(np.float32)
        self.reward = np.arange(5000, dtype=np.float32)
        self.terminated = np.zeros(5000, dtype=np.float32)

    @property
    def size(self) -> int:
        return self.env_steps

    def advance(self, step: int, interrupted: Callable[[], bool]) -> bool:
        self.asked.append(step)
        if interrupted():
            return False
        self.env_steps = max(self.env_steps, step + self.overshoot)
        return True

    def publish(self, flat: np.ndarray) -> None:
        self.published.append(flat.copy())


def loop_over(source: FakeSource, **arguments: Any) -> TrainingLoop:
    torch.manual_seed(0)
    agent = SacAgent(3, 2, CONFIG)
    replay = ReplaySampler(source, np.random.default_rng(0))
    return TrainingLoop(agent, replay, source, **{"total_steps": 1000, **arguments})


@pytest.mark.parametrize("overshoot", [0, 37])
def test_updates_follow_the_steps_asked_for_by_the_ratio(overshoot: int) -> None:
    source = FakeSource(overshoot)
    loop = loop_over(source)
    for _ in range(4):
        assert loop.run_block(lambda: False)
    assert loop.state.updates == 4 * UPDATES_PER_BLOCK
    # 100 steps before the first update, then two for each.
    assert source.asked == [100 + 2 * UPDATES_PER_BLOCK * block for block in (1, 2, 3, 4)]
    assert loop.state.env_steps == source.env_steps


def test_every_update_of_a_block_gets_a_batch_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, seen = loop_over(FakeSource()), []
    update = loop.agent.update

    def spy(batch: Batch) -> Any:
        seen.append(tuple(batch.reward.tolist()))
        return update(batch)

    monkeypatch.setattr(loop.agent, "update", spy)
    loop.run_block(lambda: False)
    assert len(seen) == len(set(seen)) == UPDATES_PER_BLOCK


def test_an_interrupted_block_updates_nothing() -> None:
    source = FakeSource()
    loop = loop_over(source)
    before = loop.agent.actor_parameters.values.clone()
    assert not loop.run_block(lambda: True)
    assert loop.state.updates == 0
    assert torch.equal(loop.agent.actor_parameters.values, before)
    assert source.published == []


def test_the_collector_gets_the_actor_after_every_block() -> None:
    source = FakeSource()
    loop = loop_over(source)
    loop.publish_actor()
    loop.run_block(lambda: False)
    loop.run_block(lambda: False)
    assert len(source.published) == 3
    np.testing.assert_array_equal(source.published[-1], loop.agent.actor_parameters.values.numpy())
    assert not np.array_equal(source.published[0], source.published[1])


def test_it_goes_on_from_a_given_state() -> None:
    source = FakeSource()
    source.env_steps = 1000
    state = LoopState(env_steps=1000, updates=10 * UPDATES_PER_BLOCK, learning_seconds=5.0)
    loop = loop_over(source, state=state)
    loop.run_block(lambda: False)
    assert source.asked == [100 + 2 * 11 * UPDATES_PER_BLOCK]
    assert loop.state.updates == 11 * UPDATES_PER_BLOCK
    assert loop.state.learning_seconds > 5.0
    assert loop.state.metrics is not None


def test_learning_rate_and_target_entropy_fall_with_the_steps_and_never_below_their_ends() -> None:
    source = FakeSource()
    loop = loop_over(source, total_steps=200)
    rates, entropies = [], []
    for _ in range(6):
        loop.run_block(lambda: False)
        rates.append({float(opt.param_groups[0]["lr"]) for opt in loop.agent.optimisers.values()})
        entropies.append(float(loop.agent.target_entropy) / loop.agent.action_size)
    assert all(len(each) == 1 for each in rates)  # one rate for all networks
    found = [each.pop() for each in rates]
    # Blocks begin at 0, 132, 164, 196, 228, ... environment steps of 200.
    span = CONFIG.learning_rate - CONFIG.learning_rate_end
    left = np.array([1.0, 0.34, 0.18, 0.02, 0.0, 0.0])
    assert found == pytest.approx(CONFIG.learning_rate_end + span * left)
    assert entropies == pytest.approx(-2.5 + 1.5 * np.minimum(1.0, 1.5 * left))
