# SPDX-License-Identifier: Apache-2.0
"""The losses of Soft Actor-Critic as pure functions of tensors.

No networks inside: what is trained is what is tested against closed forms. Every batch argument
has shape [B]; another shape raises, because [B] against [B, 1] would silently broadcast to
[B, B], the oldest bug of SAC implementations.

Sources: Haarnoja et al. 2018a, "Soft Actor-Critic: Off-Policy Maximum Entropy Deep Reinforcement
Learning with a Stochastic Actor" (value function); Haarnoja et al. 2018b, "Soft Actor-Critic
Algorithms and Applications" (temperature).
"""

from __future__ import annotations

import torch
from torch import Tensor


def soft_bellman_target(
    reward: Tensor, terminated: Tensor, next_value: Tensor, gamma: float | Tensor
) -> Tensor:
    """y = r + γ (1 − terminated) · V_next, without gradient (2018a, eq. 8).

    A time limit is not a termination: there V_next counts.

    Args:
        reward: [B].
        terminated: [B], 1 where the episode ended in the world, 0 elsewhere.
        next_value: [B] soft value of the next state, its entropy term included.
        gamma: discount in 0..1; [B] where the number of steps differs.
    """
    others = {"gamma": gamma} if isinstance(gamma, Tensor) else {}
    _check_shapes(reward=reward, terminated=terminated, next_value=next_value, **others)
    return (reward + gamma * (1.0 - terminated) * next_value).detach()


def q_loss(q1: Tensor, q2: Tensor, target: Tensor) -> Tensor:
    """½ mean (q1 − y)² + ½ mean (q2 − y)² (2018a, eq. 7); all [B], no gradient into `target`."""
    _check_shapes(q1=q1, q2=q2, target=target)
    # Of both at once: the mean of twice as many is the sum of their halved means.
    return (torch.stack((q1, q2)) - target.detach()).square().mean()


def policy_loss(log_prob: Tensor, q: Tensor, alpha: float | Tensor) -> Tensor:
    """mean (α · log π(ã|s) − q) (2018b, eq. 7).

    Args:
        log_prob: [B] of a reparameterised ã, in the action space −1..1.
        q: [B] min(q1, q2)(s, ã); its gradient reaches the actor through ã.
        alpha: temperature; no gradient goes into it.
    """
    _check_shapes(log_prob=log_prob, q=q)
    return (_constant(alpha) * log_prob - q).mean()


def value_loss(value: Tensor, q: Tensor, log_prob: Tensor, alpha: float | Tensor) -> Tensor:
    """½ mean (V(s) − sg[q − α · log π(ã|s)])² (2018a, eq. 5); all [B].

    The gradient reaches V alone.
    """
    _check_shapes(value=value, q=q, log_prob=log_prob)
    target = (q - _constant(alpha) * log_prob).detach()
    return 0.5 * (value - target).square().mean()


def temperature_loss(
    log_alpha: Tensor, log_prob: Tensor, target_entropy: Tensor | float
) -> Tensor:
    """−mean (log α · sg[log π + H̄]) (2018b, eq. 18, with log α in place of α).

    Args:
        log_alpha: scalar.
        log_prob: [B].
        target_entropy: H̄ in nats, of actions in −1..1.
    """
    _check_shapes(log_prob=log_prob)
    return -(log_alpha * (log_prob + target_entropy).detach()).mean()


def _constant(alpha: float | Tensor) -> float | Tensor:
    return alpha.detach() if isinstance(alpha, Tensor) else alpha


def _check_shapes(**batches: Tensor) -> None:
    shapes = {name: tuple(batch.shape) for name, batch in batches.items()}
    if any(len(shape) != 1 for shape in shapes.values()) or len(set(shapes.values())) != 1:
        raise ValueError(f"every batch must have one and the same shape [B]; got {shapes}")


def squashed_gaussian_log_prob(noise: Tensor, log_std: Tensor, pre_tanh: Tensor) -> Tensor:
    """log π(a|s) [B] of a = tanh(u), u = μ + σ·noise, in the action space −1..1.

    log N(u; μ, σ) − Σ log(1 − tanh² u), the correction in its stable form
    2 (log 2 − u − softplus(−2u)) (2018b, appendix C), summed over the action's dimensions.

    Args:
        noise: [B, n] standard normal.
        log_std: [B, n] log σ.
        pre_tanh: [B, n] u.
    """
    # Constants apart: fewer operations.
    gaussian = -0.5 * noise.square() - log_std
    half = pre_tanh + torch.nn.functional.softplus(-2.0 * pre_tanh)
    constant = noise.shape[-1] * (_HALF_LOG_TWO_PI + 2.0 * _LOG_TWO)
    return torch.add(gaussian, half, alpha=2.0).sum(dim=-1) - constant


_LOG_TWO = 0.6931471805599453
_HALF_LOG_TWO_PI = 0.9189385332046727
