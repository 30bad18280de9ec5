# SPDX-License-Identifier: Apache-2.0
"""One tensor for all parameters, and the module none the wiser."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from sac_ros.sac.flat import FlatParameters


@pytest.fixture
def module() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))


def test_flattening_changes_no_value_and_no_output(module: nn.Module) -> None:
    before, inputs = copy.deepcopy(module), torch.randn(3, 4)
    flat = FlatParameters(module)
    torch.testing.assert_close(module(inputs), before(inputs), rtol=0.0, atol=0.0)
    expected = torch.cat([p.flatten() for p in before.parameters()])
    torch.testing.assert_close(flat.values, expected, rtol=0.0, atol=0.0)


def test_writing_the_flat_tensor_writes_the_module(module: nn.Module) -> None:
    flat = FlatParameters(module)
    flat.values.zero_()
    assert (module(torch.randn(3, 4)) == 0.0).all()


def test_differentiating_gives_the_gradients_that_backward_gives(module: nn.Module) -> None:
    flat, plain = FlatParameters(module), copy.deepcopy(module)
    inputs = torch.randn(3, 4)
    for _ in range(2):  # nothing is added up
        flat.differentiate(module(inputs).square().sum())
    plain(inputs).square().sum().backward()
    expected = torch.cat([p.grad.flatten() for p in plain.parameters() if p.grad is not None])
    torch.testing.assert_close(flat.gradients, expected)


def test_one_adam_over_the_flat_tensor_is_adam_over_every_layer(module: nn.Module) -> None:
    plain = copy.deepcopy(module)
    flat = FlatParameters(module)
    together = torch.optim.Adam([flat.as_parameter()], lr=0.01)
    apart = torch.optim.Adam(plain.parameters(), lr=0.01)
    for step in range(5):
        inputs = torch.full((3, 4), float(step))
        flat.differentiate(module(inputs).square().sum())
        together.step()
        apart.zero_grad()
        plain(inputs).square().sum().backward()
        apart.step()
    expected = torch.cat([p.flatten() for p in plain.parameters()])
    torch.testing.assert_close(flat.values, expected)


def test_differentiating_gives_nothing_else_a_gradient(module: nn.Module) -> None:
    flat = FlatParameters(module)
    first = torch.nn.Linear(4, 4)
    flat.differentiate(module(first(torch.randn(3, 4))).sum())
    assert (flat.gradients != 0.0).any()
    assert first.weight.grad is None
    assert first.bias.grad is None


def test_moving_towards_another_takes_over_its_share(module: nn.Module) -> None:
    flat, other = FlatParameters(module), FlatParameters(copy.deepcopy(module))
    other.values.add_(1.0)
    start, goal = flat.values.clone(), other.values.clone()
    flat.polyak_update(other, 0.25)
    torch.testing.assert_close(flat.values, 0.75 * start + 0.25 * goal)
    torch.testing.assert_close(other.values, goal, rtol=0.0, atol=0.0)
