# SPDX-License-Identifier: Apache-2.0
"""The losses and their gradients against closed forms, in float64 and to 1e-10."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Independent, Normal, TransformedDistribution
from torch.distributions.transforms import TanhTransform

from sac_ros.sac.losses import (
    policy_loss,
    q_loss,
    soft_bellman_target,
    squashed_gaussian_log_prob,
    temperature_loss,
    value_loss,
)

B = 17


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def column(requires_grad: bool = False) -> Tensor:
    return torch.randn(B, dtype=torch.float64, requires_grad=requires_grad)


def assert_equal(found: Tensor | None, expected: Tensor) -> None:
    assert found is not None
    torch.testing.assert_close(found, expected, rtol=0.0, atol=1e-10)


# ---- closed forms ------------------------------------------------------------------------------


def test_the_bellman_target_is_reward_plus_discounted_next_value() -> None:
    reward, value = column(), column()
    alive = torch.zeros(B, dtype=torch.float64)
    assert_equal(soft_bellman_target(reward, alive, value, 0.9), reward + 0.9 * value)


def test_a_termination_masks_the_next_value_and_a_time_limit_does_not() -> None:
    reward, value = column(), column()
    terminated = torch.tensor([1.0, 0.0] * (B // 2) + [1.0], dtype=torch.float64)
    target = soft_bellman_target(reward, terminated, value, 0.9)
    over = terminated.bool()
    assert_equal(target[over], reward[over])
    assert_equal(target[~over], (reward + 0.9 * value)[~over])


def test_the_discount_may_differ_by_row() -> None:
    reward, value = column(), column()
    gamma = 0.9 ** torch.arange(B, dtype=torch.float64)
    zero = torch.zeros_like(reward)
    assert_equal(soft_bellman_target(reward, zero, value, gamma), reward + gamma * value)


def test_no_gradient_passes_through_the_bellman_target() -> None:
    reward, value = column(True), column(True)
    gamma = torch.full((B,), 0.9, dtype=torch.float64, requires_grad=True)
    target = soft_bellman_target(reward, torch.zeros_like(reward), value, gamma)
    assert not target.requires_grad


def test_the_q_loss_and_its_gradients_are_half_the_mean_squared_errors() -> None:
    q1, q2, target = column(True), column(True), column(True)
    loss = q_loss(q1, q2, target)
    loss.backward()
    expected = sum(
        0.5 * (a - y) ** 2 + 0.5 * (b - y) ** 2 for a, b, y in zip(q1, q2, target, strict=True)
    )
    assert_equal(loss, expected / B)
    assert_equal(q1.grad, (q1 - target).detach() / B)
    assert_equal(q2.grad, (q2 - target).detach() / B)
    assert target.grad is None


def test_the_policy_loss_and_its_gradients_are_those_of_the_paper() -> None:
    log_prob, q = column(True), column(True)
    alpha = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    loss = policy_loss(log_prob, q, alpha)
    loss.backward()
    assert_equal(loss, sum(0.3 * p - v for p, v in zip(log_prob, q, strict=True)) / B)
    assert_equal(log_prob.grad, torch.full((B,), 0.3 / B, dtype=torch.float64))
    assert_equal(q.grad, torch.full((B,), -1.0 / B, dtype=torch.float64))
    assert alpha.grad is None


def test_the_value_loss_reaches_the_value_alone() -> None:
    value, q, log_prob = column(True), column(True), column(True)
    alpha = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    loss = value_loss(value, q, log_prob, alpha)
    loss.backward()
    error = (value - (q - 0.3 * log_prob)).detach()
    assert_equal(loss, 0.5 * (error**2).sum() / B)
    assert_equal(value.grad, error / B)
    assert q.grad is log_prob.grad is alpha.grad is None


def test_the_temperature_loss_reaches_log_alpha_alone() -> None:
    log_alpha = torch.tensor(-1.2, dtype=torch.float64, requires_grad=True)
    log_prob = column(True)
    loss = temperature_loss(log_alpha, log_prob, -7.0)
    loss.backward()
    mean = (log_prob - 7.0).detach().mean()
    assert_equal(loss, 1.2 * mean)
    assert_equal(log_alpha.grad, -mean)
    assert log_prob.grad is None


def test_the_temperature_rises_when_the_entropy_is_below_its_target() -> None:
    log_alpha = torch.zeros((), dtype=torch.float64, requires_grad=True)
    too_certain = torch.full((B,), 9.0, dtype=torch.float64)  # entropy −9, target −7
    temperature_loss(log_alpha, too_certain, -7.0).backward()
    assert log_alpha.grad is not None
    assert log_alpha.grad < 0.0  # descending the loss raises α


def test_a_plain_number_and_a_tensor_are_the_same_temperature() -> None:
    log_prob, q, value = column(), column(), column()
    alpha = torch.tensor(0.3, dtype=torch.float64)
    assert_equal(policy_loss(log_prob, q, 0.3), policy_loss(log_prob, q, alpha))
    assert_equal(value_loss(value, q, log_prob, 0.3), value_loss(value, q, log_prob, alpha))


# ---- shapes ------------------------------------------------------------------------------------


LOSSES = {
    "soft_bellman_target": lambda x: soft_bellman_target(x[0], x[1], x[2], 0.9),
    "soft_bellman_target gamma": lambda x: soft_bellman_target(x[0], x[0], x[1], x[2]),
    "q_loss": lambda x: q_loss(*x),
    "policy_loss": lambda x: policy_loss(x[0], x[1], 0.3),
    "value_loss": lambda x: value_loss(x[0], x[1], x[2], 0.3),
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("shape", [(B, 1), (1,), (), (1, B)])
def test_a_shape_that_would_broadcast_raises_in_every_argument(
    name: str, shape: tuple[int, ...]
) -> None:
    loss = LOSSES[name]
    count = 2 if name == "policy_loss" else 3
    loss([torch.ones(B)] * count)
    for wrong in range(count):
        batches = [torch.ones(B)] * count
        batches[wrong] = torch.ones(shape)
        if name == "soft_bellman_target gamma" and wrong == 0:
            continue  # given twice there
        with pytest.raises(ValueError, match=r"one and the same shape \[B\]"):
            loss(batches)


def test_a_batch_of_columns_is_refused_even_where_all_agree() -> None:
    columns = [torch.ones(B, 1)] * 3
    with pytest.raises(ValueError, match=r"shape \[B\]"):
        q_loss(*columns)
    with pytest.raises(ValueError, match=r"shape \[B\]"):
        temperature_loss(torch.zeros(()), torch.ones(B, 1), -1.0)


# ---- log-probability ---------------------------------------------------------------------------


def test_the_log_prob_is_that_of_torchs_own_squashed_gaussian() -> None:
    mean = 0.7 * torch.randn(B, 3, dtype=torch.float64)
    log_std = torch.empty(B, 3, dtype=torch.float64).uniform_(-2.0, 0.2)
    noise = torch.randn(B, 3, dtype=torch.float64)
    pre_tanh = mean + log_std.exp() * noise
    reference = Independent(
        TransformedDistribution(Normal(mean, log_std.exp()), TanhTransform()), 1
    )
    expected = reference.log_prob(torch.tanh(pre_tanh))
    found = squashed_gaussian_log_prob(noise, log_std, pre_tanh)
    assert found.shape == (B,)  # summed over the action, not averaged
    torch.testing.assert_close(found, expected, rtol=0.0, atol=1e-8)


def test_the_density_integrates_to_one() -> None:
    edges = torch.linspace(-1.0, 1.0, 200_001, dtype=torch.float64)
    action = (edges[1:] + edges[:-1]) / 2
    pre_tanh = torch.atanh(action)[:, None]
    mean, log_std = 0.4, torch.full_like(pre_tanh, -0.5)
    noise = (pre_tanh - mean) / math.exp(-0.5)
    density = squashed_gaussian_log_prob(noise, log_std, pre_tanh).exp()
    assert density.mean() * 2.0 == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("pre_tanh", [-300.0, -40.0, -9.5, 9.5, 40.0, 300.0])
def test_a_saturated_action_has_the_log_prob_of_the_asymptote_and_a_finite_gradient(
    pre_tanh: float, dtype: torch.dtype
) -> None:
    u = torch.full((1, 1), pre_tanh, dtype=dtype, requires_grad=True)
    log_std = torch.zeros(1, 1, dtype=dtype, requires_grad=True)
    noise = torch.zeros(1, 1, dtype=dtype)
    log_prob = squashed_gaussian_log_prob(noise, log_std, u)
    log_prob.sum().backward()
    # log(1 − tanh² u) → 2 log 2 − 2 |u|
    expected = -0.5 * math.log(2 * math.pi) - (2 * math.log(2) - 2 * abs(pre_tanh))
    assert log_prob.item() == pytest.approx(expected, rel=1e-5)
    assert u.grad is not None
    assert u.grad.item() == pytest.approx(2.0 * math.copysign(1.0, pre_tanh), rel=1e-4)
    assert log_std.grad is not None
    assert torch.isfinite(log_std.grad).all()


def test_the_gradient_of_the_log_prob_is_its_difference_quotient() -> None:
    noise = torch.randn(4, 2, dtype=torch.float64)

    def log_prob(mean: Tensor, log_std: Tensor) -> Tensor:
        return squashed_gaussian_log_prob(noise, log_std, mean + log_std.exp() * noise)

    mean = torch.randn(4, 2, dtype=torch.float64, requires_grad=True)
    log_std = torch.randn(4, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(log_prob, (mean, log_std))
