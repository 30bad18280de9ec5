# SPDX-License-Identifier: Apache-2.0
"""The agent: which update reaches which network, and that all of them together are SAC."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from plain_sac import PlainSac
from torch import Tensor

from sac_ros.sac.agent import Batch, SacAgent
from sac_ros.sac.config import SacConfig
from sac_ros.training.checkpoint import load_checkpoint, save_checkpoint

OBSERVATION, ACTION, B = 5, 2, 32
VARIANTS = pytest.mark.parametrize("value_function", [True, False], ids=["V", "twin Q"])


@pytest.fixture(autouse=True)
def _double() -> Iterator[None]:
    """All in float64, where rounding cannot hide a mistake."""
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)


def agent(value_function: bool, **settings: Any) -> SacAgent:
    config = SacConfig(value_function=value_function, hidden_sizes=(16, 12), **settings)
    return SacAgent(OBSERVATION, ACTION, config)


def batch() -> Batch:
    return Batch(
        observation=torch.randn(B, OBSERVATION),
        action=torch.rand(B, ACTION) * 2 - 1,
        reward=torch.randn(B),
        next_observation=torch.randn(B, OBSERVATION),
        terminated=(torch.rand(B) < 0.3).double(),
    )


def values(of: SacAgent) -> dict[str, Tensor]:
    """Copies of everything that learning changes."""
    found = {
        "actor": of.actor_parameters.values,
        "critic": of.critic_parameters.values,
        "target": of.target_parameters.values,
        "averaged": of.averaged_parameters.values,
        "log_alpha": of.log_alpha.detach(),
    }
    if of.value_parameters is not None:
        found["value"] = of.value_parameters.values
    return {name: tensor.clone() for name, tensor in found.items()}


def changed(before: dict[str, Tensor], of: SacAgent) -> set[str]:
    return {name for name, now in values(of).items() if not torch.equal(now, before[name])}


def adam_moments(of: SacAgent) -> list[Tensor]:
    states = [optimiser.state_dict()["state"][0] for optimiser in of.optimisers.values()]
    return [state[name].clone() for state in states for name in ("exp_avg", "exp_avg_sq")]


def flat(module: torch.nn.Module) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in module.parameters()])


# ---- the beginning -----------------------------------------------------------------------------


@VARIANTS
def test_targets_start_as_copies_that_share_no_memory(value_function: bool) -> None:
    sac = agent(value_function)
    source = sac.value_parameters or sac.critic_parameters
    assert torch.equal(sac.target_parameters.values, source.values)
    assert torch.equal(sac.averaged_parameters.values, sac.actor_parameters.values)
    before = values(sac)
    source.values.add_(1.0)
    sac.actor_parameters.values.add_(1.0)
    assert changed(before, sac) == {"actor", "value" if value_function else "critic"}


def test_the_variant_decides_what_there_is_to_learn() -> None:
    with_value, without = agent(True), agent(False)
    assert set(with_value.optimisers) == {"actor", "critic", "temperature", "value"}
    assert set(without.optimisers) == {"actor", "critic", "temperature"}
    assert without.value is None


def test_the_target_entropy_is_minus_one_nat_per_joint() -> None:
    assert agent(False).target_entropy == -ACTION


# ---- which update reaches which network --------------------------------------------------------


@VARIANTS
def test_the_critic_update_changes_the_critics_alone(value_function: bool) -> None:
    sac = agent(value_function)
    before, gradients = values(sac), sac.actor_parameters.gradients.clone()
    sac._update_critic(batch(), torch.tensor(0.2))
    assert changed(before, sac) == {"critic"}
    assert (sac.critic_parameters.gradients != 0.0).any()
    assert torch.equal(sac.actor_parameters.gradients, gradients)
    assert (sac.target_parameters.gradients == 0.0).all()
    assert sac.log_alpha.grad is None


@VARIANTS
def test_the_actor_update_changes_the_actor_alone(value_function: bool) -> None:
    sac = agent(value_function)
    before = values(sac)
    sac._update_actor(batch(), torch.tensor(0.2))
    assert changed(before, sac) == {"actor"}
    assert (sac.actor_parameters.gradients != 0.0).any()
    assert (sac.critic_parameters.gradients == 0.0).all()
    assert (sac.target_parameters.gradients == 0.0).all()
    assert sac.log_alpha.grad is None
    # And the critics learn again afterwards.
    sac._update_critic(batch(), torch.tensor(0.2))
    assert changed(before, sac) == {"actor", "critic"}


def test_the_value_update_changes_the_value_network_alone() -> None:
    sac = agent(True)
    _, q, log_prob = sac._update_actor(batch(), torch.tensor(0.2))
    before = values(sac)
    critic, actor = sac.critic_parameters.gradients.clone(), sac.actor_parameters.gradients.clone()
    sac._update_value(batch(), q, log_prob, torch.tensor(0.2))
    assert changed(before, sac) == {"value"}
    assert torch.equal(sac.critic_parameters.gradients, critic)
    assert torch.equal(sac.actor_parameters.gradients, actor)
    assert (sac.target_parameters.gradients == 0.0).all()


@VARIANTS
def test_the_temperature_update_changes_log_alpha_alone(value_function: bool) -> None:
    sac = agent(value_function)
    before = values(sac)
    sac._update_temperature(torch.randn(B))
    assert changed(before, sac) == {"log_alpha"}


@VARIANTS
def test_the_targets_follow_their_networks_by_tau(value_function: bool) -> None:
    sac = agent(value_function, tau=0.1, value_tau=0.1)
    source = sac.value_parameters or sac.critic_parameters
    source.values.add_(1.0)
    before = values(sac)
    sac._update_targets()
    assert changed(before, sac) == {"target"}
    torch.testing.assert_close(sac.target_parameters.values, before["target"] + 0.1)


def averages(share: float, updates: int) -> list[float]:
    """Of an actor whose parameters are all 0, 1, 2, ... after each update."""
    sac = agent(False, averaging_window_fraction=share)
    found = []
    for update in range(updates):
        sac.actor_parameters.values.fill_(float(update))
        sac._update_targets()
        found.append(sac.averaged_parameters.values[0].item())
    return found


def test_the_averaged_actor_is_the_mean_of_all_with_a_share_of_one() -> None:
    assert averages(1.0, 100) == pytest.approx([update / 2 for update in range(100)])


def test_the_averaged_actor_is_the_present_one_with_a_share_of_zero() -> None:
    assert averages(0.0, 5) == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_the_averaged_actor_lags_by_its_share_of_the_updates() -> None:
    # Of a line through n, an average with weights 1 / (1 + c n) lags by n c / (1 + c).
    lag = [update - average for update, average in enumerate(averages(0.1, 2000))]
    assert lag[-1] / 2000 == pytest.approx(0.1 / 1.1, rel=0.01)
    assert lag[999] / 1000 == pytest.approx(0.1 / 1.1, rel=0.01)


@VARIANTS
def test_a_fixed_temperature_stays(value_function: bool) -> None:
    sac = agent(value_function, learn_temperature=False, initial_temperature=0.3)
    for _ in range(3):
        metrics = sac.update(batch())
    assert sac.log_alpha.exp().item() == pytest.approx(0.3)
    assert metrics.temperature.item() == pytest.approx(0.3)


# ---- the update as a whole ---------------------------------------------------------------------


@VARIANTS
@pytest.mark.parametrize("learn_temperature", [True, False])
def test_a_few_updates_are_those_of_sac_written_plainly(
    value_function: bool, learn_temperature: bool
) -> None:
    sac = agent(value_function, learn_temperature=learn_temperature)
    plain = PlainSac(sac)
    for step in range(5):
        rows = batch()
        torch.manual_seed(100 + step)
        sac.update(rows)
        torch.manual_seed(100 + step)
        plain.update(rows)
    expected = {
        "actor": flat(plain.actor),
        "critic": flat(plain.critic),
        "target": flat(plain.target),
        "averaged": flat(plain.average),
        "log_alpha": plain.log_alpha.detach(),
    }
    if plain.value is not None:
        expected["value"] = flat(plain.value)
    for name, found in values(sac).items():
        torch.testing.assert_close(found, expected[name], rtol=0.0, atol=1e-9, msg=name)


@VARIANTS
def test_after_a_termination_the_next_state_does_not_matter_and_after_a_time_limit_it_does(
    value_function: bool,
) -> None:
    rows = batch()
    elsewhere = rows._replace(next_observation=rows.next_observation + 3.0)
    for terminated, matters in ((torch.ones(B), False), (torch.zeros(B), True)):
        found = []
        for each in (rows, elsewhere):
            torch.manual_seed(1)
            sac = agent(value_function)
            sac._update_critic(each._replace(terminated=terminated), torch.tensor(0.2))
            found.append(sac.critic_parameters.values)
        assert torch.equal(*found) is not matters


def test_the_next_action_comes_from_the_current_policy_and_its_own_log_prob() -> None:
    sac, rows = agent(False), batch()
    alpha = torch.tensor(0.7)
    torch.manual_seed(2)
    found = sac.next_value(rows, alpha)
    torch.manual_seed(2)
    action, log_prob = sac.actor.sample(rows.next_observation)
    q1, q2 = sac.target(rows.next_observation, action)
    torch.testing.assert_close(found, torch.minimum(q1, q2) - 0.7 * log_prob)
    assert not found.requires_grad


@VARIANTS
def test_the_actor_learns_from_what_it_is_told_and_the_critics_from_what_is_true(
    value_function: bool,
) -> None:
    told = batch()
    true = batch()
    both = told._replace(
        observation=torch.cat((told.observation, true.observation), 1),
        next_observation=torch.cat((told.next_observation, true.next_observation), 1),
    )
    torch.manual_seed(4)
    sac = agent(value_function)
    alpha = torch.tensor(0.7)
    seeing: list[Tensor] = []
    valuing: list[Tensor] = []
    sac.actor.register_forward_pre_hook(lambda _, given: seeing.append(given[0]))
    for each in (sac.critic, sac.target, *([] if sac.value is None else [sac.value])):
        each.register_forward_pre_hook(lambda _, given: valuing.append(given[0]))
    sac._update_critic(both, alpha)
    _, q, log_prob = sac._update_actor(both, alpha)
    sac._update_value(both, q, log_prob, alpha)
    assert seeing
    assert all(
        torch.equal(each, told.observation) or torch.equal(each, told.next_observation)
        for each in seeing
    )
    assert len(valuing) == (4 if value_function else 3)
    assert all(
        torch.equal(each, true.observation) or torch.equal(each, true.next_observation)
        for each in valuing
    )


@VARIANTS
def test_updates_are_repeatable_bit_for_bit(value_function: bool) -> None:
    found = []
    for _ in range(2):
        torch.manual_seed(3)
        sac = agent(value_function)
        for _ in range(3):
            sac.update(batch())
        found.append(torch.cat([tensor.flatten() for tensor in values(sac).values()]))
    assert torch.equal(*found)


@VARIANTS
def test_the_metrics_are_finite_scalars_without_gradient(value_function: bool) -> None:
    metrics = agent(value_function).update(batch())
    for name, value in metrics._asdict().items():
        assert value.shape == (), name
        assert torch.isfinite(value), name
        assert not value.requires_grad, name
    assert (metrics.value_loss > 0.0) == value_function


# ---- the checkpoint ----------------------------------------------------------------------------


@VARIANTS
def test_learning_goes_on_from_a_checkpoint_as_if_it_had_never_stopped(
    value_function: bool, tmp_path: Path
) -> None:
    through, rows = agent(value_function), [batch() for _ in range(6)]
    for row in rows[:3]:
        through.update(row)
    path = tmp_path / "agent.pt"
    save_checkpoint(path, {"agent": through.state_dict(), "rng": torch.get_rng_state()})
    for row in rows[3:]:
        through.update(row)

    resumed = agent(value_function)  # other weights, other random state
    saved = load_checkpoint(path)
    resumed.load_state_dict(saved["agent"])
    torch.set_rng_state(saved["rng"])
    for row in rows[3:]:
        resumed.update(row)
    assert changed(values(through), resumed) == set()


def test_log_alpha_and_every_optimiser_are_in_the_state() -> None:
    sac = agent(True)
    sac.update(batch())
    state = sac.state_dict()
    assert torch.equal(state["log_alpha"], sac.log_alpha.detach())
    assert set(state["optimisers"]) == {"actor", "critic", "temperature", "value"}
    for name, optimiser in state["optimisers"].items():
        assert optimiser["state"][0]["step"] == 1, name


def test_a_restored_agent_shares_no_memory_with_what_it_was_restored_from() -> None:
    first, second = agent(True), agent(True)
    first.update(batch())
    second.load_state_dict(first.state_dict())
    before, moments = values(first), adam_moments(first)
    second.update(batch())
    assert changed(before, first) == set()
    assert all(
        torch.equal(now, then) for now, then in zip(adam_moments(first), moments, strict=True)
    )


def test_the_settings_of_the_agent_are_those_of_its_config() -> None:
    sac = agent(False, learning_rate=0.01, initial_temperature=0.5)
    assert dataclasses.is_dataclass(sac.config)
    assert sac.log_alpha.exp().item() == pytest.approx(0.5)
    assert all(opt.param_groups[0]["lr"] == 0.01 for opt in sac.optimisers.values())
