# SPDX-License-Identifier: Apache-2.0
"""The networks of SAC: squashed Gaussian actor, twin critic, value function."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from sac_ros.sac.config import MOST_LEARNED, NEAR_AIM
from sac_ros.sac.losses import squashed_gaussian_log_prob


class SquashedGaussianActor(nn.Module):
    """π(a|s): a = tanh(μ(s) + σ(s)·ε), ε standard normal; actions in −1..1.

    With an aim p, n of the observation's columns, what is learned, f, is added to it:

        μ(s) = p + m² / (m² + 0.5⁴) 0.8 tanh(f(s) / 0.8),   m = mean p²

    so that a policy which has learned nothing acts by p, and one that has adds less than |p| to
    it: it never turns back or stops before its goal, and there, where p vanishes, it rests.
    """

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        hidden_sizes: Sequence[int],
        log_std_bounds: tuple[float, float],
        output_scale: float = 1.0,
        aim: tuple[int, int] | None = None,
    ) -> None:
        """Makes the network.

        Args:
            observation_size: length of the observation.
            action_size: number of joints, n.
            hidden_sizes: widths of the hidden layers, each followed by ReLU.
            log_std_bounds: lowest and highest log σ.
            output_scale: factor on the initial output weights; a small one starts near μ = 0.
            aim: first column and the one after the last of the aim; None: there is none.
        """
        super().__init__()
        self.log_std_min, self.log_std_max = log_std_bounds
        self.aim = aim
        self.body = _mlp([observation_size, *hidden_sizes, 2 * action_size])
        with torch.no_grad():
            for parameter in self.body[-1].parameters():
                parameter.mul_(output_scale)

    def forward(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        """Mean before tanh and log σ, both [B, n], of observations [B, size]."""
        # Back from bfloat16, where the matrix products may be: log π needs more digits.
        mean, log_std = self.body(observation).to(observation.dtype).chunk(2, dim=-1)
        # As clamp, whose derivative is four operations instead of one.
        bounded = nn.functional.hardtanh(log_std, self.log_std_min, self.log_std_max)
        return self._aimed(observation, mean), bounded

    def sample(self, observation: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """A reparameterised action [B, n] and its log-probability [B]; `noise` is [B, n]."""
        mean, log_std = self(observation)
        epsilon = torch.randn_like(mean) if noise is None else noise
        pre_tanh = mean + log_std.exp() * epsilon
        log_prob = squashed_gaussian_log_prob(epsilon, log_std, pre_tanh)
        return torch.tanh(pre_tanh), log_prob

    def deterministic(self, observation: Tensor) -> Tensor:
        """tanh μ(s), [B, n]: the action of the exported policy."""
        return torch.tanh(self._aimed(observation, self.body(observation).chunk(2, dim=-1)[0]))

    def _aimed(self, observation: Tensor, mean: Tensor) -> Tensor:
        if self.aim is None:
            return mean
        aim = observation[..., slice(*self.aim)]
        fourth = aim.square().mean(dim=-1, keepdim=True).square()
        learned = MOST_LEARNED * torch.tanh(mean / MOST_LEARNED)
        return aim + fourth / (fourth + NEAR_AIM**4) * learned


class TwinCritic(nn.Module):
    """Two independent Q networks as one batched matrix product per layer."""

    def __init__(
        self, observation_size: int, action_size: int, hidden_sizes: Sequence[int]
    ) -> None:
        """Makes both networks; arguments as for the actor."""
        super().__init__()
        sizes = [observation_size + action_size, *hidden_sizes, 1]
        layers = [TwinLinear(*pair) for pair in pairwise(sizes)]
        self.layers = nn.ModuleList(layers)
        self.head = layers[-1]

    def forward(self, observation: Tensor, action: Tensor) -> Tensor:
        """Q1(s, a) and Q2(s, a), [2, B]."""
        hidden = torch.cat([observation, action], dim=-1).expand(2, -1, -1)
        for layer in self.layers[:-1]:
            hidden = torch.relu_(layer(hidden))
        # As a matrix product, one with a single column runs at a fiftieth of the others' rate.
        weight, bias = self.head.weight.mT, self.head.bias.squeeze(-1)
        return (hidden * weight).sum(dim=-1) + bias


class TwinLinear(nn.Module):
    """Two linear layers side by side: [2, B, inputs] → [2, B, outputs]."""

    def __init__(self, inputs: int, outputs: int) -> None:
        """Initialises both as `torch.nn.Linear` does."""
        super().__init__()
        bound = 1.0 / math.sqrt(inputs)
        self.weight = nn.Parameter(torch.empty(2, inputs, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(2, 1, outputs).uniform_(-bound, bound))

    def forward(self, inputs: Tensor) -> Tensor:
        """x W + b for each of the two."""
        return torch.baddbmm(self.bias, inputs, self.weight)


class ValueFunction(nn.Module):
    """V(s), the soft state value of Haarnoja et al. 2018a."""

    def __init__(self, observation_size: int, hidden_sizes: Sequence[int]) -> None:
        """Makes the network; arguments as for the actor."""
        super().__init__()
        self.body = _mlp([observation_size, *hidden_sizes, 1])

    def forward(self, observation: Tensor) -> Tensor:
        """V(s), [B]."""
        value: Tensor = self.body(observation).to(observation.dtype)
        return value.squeeze(-1)


def _mlp(sizes: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for pair in pairwise(sizes):
        layers += [nn.Linear(*pair), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers[:-1])
