# SPDX-License-Identifier: Apache-2.0
"""Matrix products in bfloat16 change an update by their rounding and by nothing else."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sac_ros.sac.agent import Batch, Metrics, SacAgent
from sac_ros.sac.config import SacConfig

SIZE, N, B = 20, 5, 256
VARIANTS = pytest.mark.parametrize("value_function", [True, False], ids=["V", "twin Q"])


def updated(
    *, mixed_precision: bool, value_function: bool, times: int
) -> tuple[SacAgent, Metrics]:
    torch.manual_seed(0)
    config = SacConfig(
        hidden_sizes=(64, 64), mixed_precision=mixed_precision, value_function=value_function
    )
    agent = SacAgent(SIZE, N, config)
    batch = Batch(
        torch.randn(B, SIZE),
        torch.randn(B, N).tanh(),
        torch.randn(B),
        torch.randn(B, SIZE),
        torch.zeros(B),
    )
    for _ in range(times):
        # bfloat16 rounds twice as many bits of a normal draw away as it leaves: draw in float32.
        torch.manual_seed(1)
        metrics = agent.update(batch)
    assert metrics is not None
    return agent, metrics


def cosine(one: Tensor, other: Tensor) -> float:
    return torch.nn.functional.cosine_similarity(one, other, dim=0).item()


@VARIANTS
def test_gradients_and_losses_agree_with_float32(value_function: bool) -> None:
    (exact, expected), (mixed, found) = (
        updated(mixed_precision=mixed, value_function=value_function, times=1)
        for mixed in (False, True)
    )
    assert cosine(mixed.critic_parameters.gradients, exact.critic_parameters.gradients) > 0.999
    assert cosine(mixed.actor_parameters.gradients, exact.actor_parameters.gradients) > 0.995
    assert not torch.equal(mixed.critic_parameters.gradients, exact.critic_parameters.gradients)
    for name, one, other in zip(Metrics._fields, found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0.02, atol=0.005, msg=name)


@VARIANTS
def test_what_is_kept_stays_float32_over_replayed_updates(value_function: bool) -> None:
    agent, metrics = updated(mixed_precision=True, value_function=value_function, times=6)
    assert agent._recorded.recorded
    assert {each.dtype for each in metrics} == {torch.float32}
    kept = (agent.actor_parameters, agent.critic_parameters, agent.target_parameters)
    assert {each.values.dtype for each in kept} == {torch.float32}
    assert all(torch.isfinite(each.values).all() for each in kept)


def test_the_log_probability_is_computed_in_float32() -> None:
    agent, _ = updated(mixed_precision=True, value_function=False, times=1)
    with agent._precision():
        action, log_prob = agent.actor.sample(torch.randn(B, SIZE))
    assert action.dtype == log_prob.dtype == torch.float32
