# SPDX-License-Identifier: Apache-2.0
"""SAC written a second time, as plainly as the papers: what the agent is held against.

No flat tensors, no frozen critics, no reuse of a sample's log-probability beyond the papers' own.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor
from torch.distributions import Normal

from sac_ros.sac.agent import Batch, SacAgent


class PlainSac:
    """Updates copies of an agent's networks."""

    def __init__(self, agent: SacAgent) -> None:
        self.config = agent.config
        self.target_entropy = agent.target_entropy
        self.actor = copy.deepcopy(agent.actor)
        self.critic = copy.deepcopy(agent.critic)
        self.value = copy.deepcopy(agent.value)
        self.target = copy.deepcopy(agent.value if agent.value is not None else agent.critic)
        self.average = copy.deepcopy(agent.actor)
        self.updates = 0
        self.log_alpha = agent.log_alpha.detach().clone().requires_grad_(True)
        rate = agent.config.learning_rate
        self.critic_adam = torch.optim.Adam(self.critic.parameters(), lr=rate)
        self.actor_adam = torch.optim.Adam(self.actor.parameters(), lr=rate)
        self.alpha_adam = torch.optim.Adam([self.log_alpha], lr=rate)
        if self.value is not None:
            self.value_adam = torch.optim.Adam(self.value.parameters(), lr=rate)

    def update(self, batch: Batch) -> None:
        alpha = self.log_alpha.detach().exp()
        with torch.no_grad():
            if self.value is not None:
                next_value = self.target(batch.next_observation)
            else:
                next_action, next_log_prob = self.sample(batch.next_observation)
                q1, q2 = self.target(batch.next_observation, next_action)
                next_value = torch.minimum(q1, q2) - alpha * next_log_prob
            y = batch.reward + self.config.gamma * (1 - batch.terminated) * next_value
        q1, q2 = self.critic(batch.observation, batch.action)
        self.descend(self.critic_adam, ((q1 - y) ** 2 / 2).mean() + ((q2 - y) ** 2 / 2).mean())

        action, log_prob = self.sample(batch.observation)
        q = torch.minimum(*self.critic(batch.observation, action))
        self.descend(self.actor_adam, (alpha * log_prob - q).mean())

        log_prob, q = log_prob.detach(), q.detach()
        if self.value is not None:
            error = self.value(batch.observation) - (q - alpha * log_prob)
            self.descend(self.value_adam, (error**2 / 2).mean())
        if self.config.learn_temperature:
            loss = -(self.log_alpha * (log_prob + self.target_entropy)).mean()
            self.descend(self.alpha_adam, loss)

        source = self.value if self.value is not None else self.critic
        tau = self.config.tau if self.value is None else self.config.value_tau
        self.follow(self.target, source, tau)
        self.follow(
            self.average,
            self.actor,
            1 / (1 + self.config.averaging_window_fraction * self.updates),
        )
        self.updates += 1

    def sample(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_std = self.actor(observation)
        normal = Normal(mean, log_std.exp())
        u = mean + log_std.exp() * torch.randn_like(mean)
        log_prob = normal.log_prob(u) - torch.log(1.0 - torch.tanh(u) ** 2)
        return torch.tanh(u), log_prob.sum(dim=1)

    @staticmethod
    def descend(optimiser: torch.optim.Adam, loss: Tensor) -> None:
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    @staticmethod
    @torch.no_grad()
    def follow(target: torch.nn.Module, source: torch.nn.Module, share: float) -> None:
        for mine, theirs in zip(target.parameters(), source.parameters(), strict=True):
            mine.copy_((1.0 - share) * mine + share * theirs)
