# SPDX-License-Identifier: Apache-2.0
"""Updates of the agent are those of stable-baselines3's SAC, to 1e-6 in float64.

What is left is theirs: they add 1e-6 inside the logarithm of the tanh correction, which the stable
form does not need, and Adam scales the difference by the step size.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sac_ros.sac.agent import Batch, SacAgent
from sac_ros.sac.config import SacConfig

stable_baselines3 = pytest.importorskip(
    "stable_baselines3", reason="stable-baselines3 is not installed: `make setup` brings it"
)

SIZE, N, ROWS = 5, 2, 64
HIDDEN = (16, 16)
UPDATES = 3


class Boxes(gymnasium.Env[Any, Any]):
    """Spaces, and nothing that is ever stepped."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (SIZE,))
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (N,))


@pytest.fixture
def float64() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def their_sac(agent: SacAgent) -> Any:
    """stable-baselines3's SAC with the agent's weights and hyperparameters."""
    config = agent.config
    model = stable_baselines3.SAC(
        "MlpPolicy",
        Boxes(),
        learning_rate=config.learning_rate,
        tau=config.tau,
        gamma=config.gamma,
        ent_coef=f"auto_{config.initial_temperature}",
        target_entropy=agent.target_entropy,
        policy_kwargs={"net_arch": list(HIDDEN)},
        device="cpu",
    )
    model.set_logger(stable_baselines3.common.logger.Logger(None, []))
    # It casts observations to float32; the comparison is in float64.
    for module in (model.actor, model.critic, model.critic_target):
        module.extract_features = lambda observation, *_: observation
    model.policy.double()
    mean, log_std = agent.actor.body[-1].weight.chunk(2), agent.actor.body[-1].bias.chunk(2)
    with torch.no_grad():
        for theirs, ours in zip(
            linears(model.actor.latent_pi), linears(agent.actor.body)[:-1], strict=True
        ):
            theirs.load_state_dict(ours.state_dict())
        for head, index in ((model.actor.mu, 0), (model.actor.log_std, 1)):
            head.weight.copy_(mean[index])
            head.bias.copy_(log_std[index])
        for critic in (model.critic, model.critic_target):
            for twin, network in enumerate(critic.q_networks):
                for theirs, ours in zip(linears(network), agent.critic.layers, strict=True):
                    theirs.weight.copy_(ours.weight[twin].T)
                    theirs.bias.copy_(ours.bias[twin, 0])
    model.log_ent_coef = agent.log_alpha.detach().reshape(1).clone().requires_grad_(True)
    model.ent_coef_optimizer = torch.optim.Adam([model.log_ent_coef], lr=config.learning_rate)
    return model


def linears(module: nn.Module) -> list[nn.Linear]:
    return [layer for layer in module.modules() if isinstance(layer, nn.Linear)]


def draw_batch() -> Batch:
    return Batch(
        torch.randn(ROWS, SIZE),
        torch.rand(ROWS, N) * 2 - 1,
        torch.randn(ROWS),
        torch.randn(ROWS, SIZE),
        (torch.rand(ROWS) < 0.2).double(),
    )


def test_updates_equal_those_of_stable_baselines3(
    float64: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    config = SacConfig(
        hidden_sizes=HIDDEN,
        log_std_min=-20.0,
        log_std_max=2.0,
        learning_rate=3e-4,
        actor_output_scale=0.1,
        capture_updates=False,  # the noise is handed in from here
    )
    agent = SacAgent(SIZE, N, config)
    model = their_sac(agent)
    for _ in range(UPDATES):
        batch = draw_batch()
        next_noise, noise = torch.randn(ROWS, N), torch.randn(ROWS, N)

        ours = iter((next_noise, noise))  # the critic's target samples first
        monkeypatch.setattr(torch, "randn_like", lambda _, ours=ours: next(ours))
        agent.update(batch)
        monkeypatch.undo()

        theirs = iter((noise, next_noise))  # the actor samples first
        monkeypatch.setattr(
            torch.distributions.Normal,
            "rsample",
            lambda normal, theirs=theirs: normal.loc + normal.scale * next(theirs),
        )
        samples = stable_baselines3.common.type_aliases.ReplayBufferSamples(
            batch.observation,
            batch.action,
            batch.next_observation,
            batch.terminated[:, None],
            batch.reward[:, None],
        )
        monkeypatch.setattr(model.replay_buffer, "sample", lambda *_, s=samples, **__: s)
        model.train(gradient_steps=1, batch_size=ROWS)
        monkeypatch.undo()
        assert_same(agent, model)


def assert_same(agent: SacAgent, model: Any) -> None:
    head = agent.actor.body[-1]
    pairs: list[tuple[Tensor, Tensor]] = [(agent.log_alpha.reshape(1), model.log_ent_coef)]
    for ours, theirs in zip(
        linears(agent.actor.body)[:-1], linears(model.actor.latent_pi), strict=True
    ):
        pairs += [(ours.weight, theirs.weight), (ours.bias, theirs.bias)]
    pairs.append((head.weight, torch.cat([model.actor.mu.weight, model.actor.log_std.weight])))
    pairs.append((head.bias, torch.cat([model.actor.mu.bias, model.actor.log_std.bias])))
    for critic, networks in (
        (agent.critic, model.critic.q_networks),
        (agent.target, model.critic_target.q_networks),
    ):
        for twin, network in enumerate(networks):
            for ours, theirs in zip(critic.layers, linears(network), strict=True):
                pairs += [(ours.weight[twin].T, theirs.weight), (ours.bias[twin, 0], theirs.bias)]
    for ours, theirs in pairs:
        torch.testing.assert_close(ours, theirs, rtol=0.0, atol=1e-6)
