# SPDX-License-Identifier: Apache-2.0
"""The networks: what is sampled, what is clamped, what is independent of what."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sac_ros.sac.networks import SquashedGaussianActor, TwinCritic, TwinLinear, ValueFunction

OBSERVATION, ACTION = 5, 3


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def actor(bounds: tuple[float, float] = (-20.0, 2.0), scale: float = 1.0) -> SquashedGaussianActor:
    return SquashedGaussianActor(OBSERVATION, ACTION, (16, 8), bounds, scale)


def test_an_action_lies_in_its_range_and_has_one_log_prob_per_row() -> None:
    action, log_prob = actor().sample(torch.randn(11, OBSERVATION))
    assert action.shape == (11, ACTION)
    assert log_prob.shape == (11,)
    assert action.abs().max() <= 1.0


def test_given_noise_makes_the_sample_repeatable_and_zero_noise_the_deterministic_action() -> None:
    net, observation = actor(), torch.randn(11, OBSERVATION)
    noise = torch.randn(11, ACTION)
    torch.testing.assert_close(
        net.sample(observation, noise), net.sample(observation, noise), rtol=0.0, atol=0.0
    )
    still, _ = net.sample(observation, torch.zeros(11, ACTION))
    torch.testing.assert_close(still, net.deterministic(observation))


def test_fresh_samples_differ_and_have_the_actors_own_spread() -> None:
    net, observation = actor(), torch.randn(1, OBSERVATION).expand(20_000, -1)
    mean, log_std = net(observation)
    pre_tanh = torch.atanh(net.sample(observation)[0].double())
    torch.testing.assert_close(pre_tanh.mean(0), mean[0].double(), atol=0.03, rtol=0.0)
    torch.testing.assert_close(pre_tanh.std(0), log_std[0].exp().double(), rtol=0.03, atol=0.0)


@settings(deadline=None, max_examples=50)
@given(st.floats(1e-4, 3.0), st.floats(0.1, 1000.0), st.integers(0, 1000))
def test_what_is_learned_never_turns_an_aim_back_and_vanishes_with_it(
    length: float, weights: float, seed: int
) -> None:
    torch.manual_seed(seed)
    net = SquashedGaussianActor(OBSERVATION, ACTION, (16, 8), (-20.0, 2.0), weights, (1, 4))
    observation = torch.randn(64, OBSERVATION)
    aim = observation[:, 1:4] / observation[:, 1:4].norm(dim=1, keepdim=True)
    observation[:, 1:4] = length * aim
    mean = net(observation)[0].detach()
    learned = (mean - length * aim).norm(dim=1).max()
    assert learned < 0.92 * length
    rounding = 1e-6 * length  # of single precision
    assert learned < 0.801 * 3**0.5 * (length**2 / 3) ** 2 / 0.5**4 + rounding
    torch.testing.assert_close(net.deterministic(observation), torch.tanh(mean))


def test_the_log_std_is_clamped_to_its_bounds() -> None:
    net = actor((-6.0, 1.0))
    _, log_std = net(1e4 * torch.randn(200, OBSERVATION))
    assert log_std.min() == -6.0
    assert log_std.max() == 1.0


def test_saturated_actions_have_finite_log_probs_and_gradients() -> None:
    net = actor()
    action, log_prob = net.sample(1e4 * torch.randn(64, OBSERVATION))
    assert (action.abs() == 1.0).any()
    (log_prob.mean() + action.mean()).backward()
    assert torch.isfinite(log_prob).all()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters() if p.grad is not None)


def test_the_gradient_of_a_sample_reaches_mean_and_spread() -> None:
    net = actor()
    action, _ = net.sample(torch.randn(64, OBSERVATION))
    action.sum().backward()
    last = net.body[-1]
    assert isinstance(last, nn.Linear)
    assert last.bias.grad is not None
    assert (last.bias.grad != 0.0).all()  # the first half is μ, the second log σ


def test_a_small_output_scale_starts_near_a_zero_action() -> None:
    observation = torch.randn(100, OBSERVATION)
    large, small = actor(scale=1.0), actor(scale=0.01)
    assert small.deterministic(observation).abs().max() < 0.02
    assert large.deterministic(observation).abs().max() > 0.1


def test_the_two_critics_start_apart_and_depend_on_their_own_weights_alone() -> None:
    critic = TwinCritic(OBSERVATION, ACTION, (16, 8))
    inputs = torch.randn(9, OBSERVATION), torch.randn(9, ACTION)
    q1, q2 = critic(*inputs)
    assert q1.shape == q2.shape == (9,)
    assert not torch.allclose(q1, q2)
    with torch.no_grad():
        for layer in layers_of(critic):
            layer.weight[1] += 1.0
    changed = critic(*inputs)
    torch.testing.assert_close(changed[0], q1, rtol=0.0, atol=0.0)
    assert not torch.allclose(changed[1], q2)


def layers_of(critic: TwinCritic) -> list[TwinLinear]:
    return [layer for layer in critic.layers if isinstance(layer, TwinLinear)]


def test_the_gradient_of_one_critic_leaves_the_other_at_zero() -> None:
    critic = TwinCritic(OBSERVATION, ACTION, (16, 8))
    critic(torch.randn(9, OBSERVATION), torch.randn(9, ACTION))[0].sum().backward()
    for layer in layers_of(critic):
        assert layer.weight.grad is not None
        assert layer.bias.grad is not None
        assert (layer.weight.grad[0] != 0.0).any()
        assert (layer.weight.grad[1] == 0.0).all()
        assert (layer.bias.grad[1] == 0.0).all()


def test_a_twin_critic_is_two_plain_networks() -> None:
    critic = TwinCritic(OBSERVATION, ACTION, (16, 8))
    observation, action = torch.randn(9, OBSERVATION), torch.randn(9, ACTION)
    for index, found in enumerate(critic(observation, action)):
        hidden = torch.cat([observation, action], dim=1)
        for layer in layers_of(critic)[:-1]:
            hidden = torch.relu(hidden @ layer.weight[index] + layer.bias[index])
        last = layers_of(critic)[-1]
        expected = (hidden @ last.weight[index] + last.bias[index]).squeeze(1)
        torch.testing.assert_close(found, expected)


def test_a_twin_layer_starts_as_wide_as_a_plain_one() -> None:
    twin = TwinLinear(100, 5000)
    bound = 1.0 / math.sqrt(100)
    for values in (twin.weight, twin.bias):
        assert values.abs().max() <= bound
        assert values.abs().max() > 0.99 * bound
        assert values.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.03)


def test_the_value_of_a_batch_has_one_number_per_row() -> None:
    assert ValueFunction(OBSERVATION, (16, 8))(torch.randn(9, OBSERVATION)).shape == (9,)
