# SPDX-License-Identifier: Apache-2.0
"""The SAC agent: its networks, its optimisers and one update function per loss."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from sac_ros.sac.config import SacConfig
from sac_ros.sac.flat import FlatParameters
from sac_ros.sac.graph_capture import CapturedGraph
from sac_ros.sac.losses import (
    policy_loss,
    q_loss,
    soft_bellman_target,
    temperature_loss,
    value_loss,
)
from sac_ros.sac.networks import SquashedGaussianActor, TwinCritic, ValueFunction


class Batch(NamedTuple):
    """B transitions.

    Where the policy observes less than is true, observations are twice as long, [observed, true].
    """

    observation: Tensor  # [B, size]
    action: Tensor  # [B, n] in −1..1
    reward: Tensor  # [B]
    next_observation: Tensor  # [B, size]
    terminated: Tensor  # [B], 1 where the episode ended in the world; a time limit counts as 0
    discount: Tensor | None = None  # [B] γᵏ of the k steps that `reward` sums; None: one step, γ


class Metrics(NamedTuple):
    """What an update saw, as scalar tensors: reading one synchronises, so read them rarely."""

    q_loss: Tensor
    policy_loss: Tensor
    value_loss: Tensor
    temperature: Tensor
    entropy: Tensor
    q_mean: Tensor


class SacAgent:
    """Soft Actor-Critic with twin critics and a learned temperature.

    `config.value_function` chooses the variant: a value network with its target (Haarnoja et al.
    2018a) or target critics (2018b). The order of `update` is Q, π, V where there is one, α,
    targets.

    The actor takes what a policy observes, critics and value take what is true: they are needed in
    simulation only, where that is known (Pinto et al., Asymmetric Actor Critic, RSS 2018).
    """

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        config: SacConfig,
        device: str | torch.device = "cpu",
        aim: tuple[int, int] | None = None,
    ) -> None:
        """Makes the networks with torch's present random state; targets start as copies.

        Args:
            observation_size: length of the observation.
            action_size: number of joints, n.
            config: the hyperparameters.
            device: where all is kept and computed; batches are brought there.
            aim: of the actor, see `SquashedGaussianActor`.
        """
        self.config = config
        self.device = torch.device(device)
        self.observation_size = observation_size
        self.action_size = action_size
        # A tensor, so that a recorded update follows its changes.
        self.target_entropy = torch.zeros((), device=self.device)
        sizes = config.hidden_sizes
        self.actor = SquashedGaussianActor(
            observation_size,
            action_size,
            sizes,
            (config.log_std_min, config.log_std_max),
            config.actor_output_scale,
            aim,
        ).to(self.device)
        self.critic = TwinCritic(observation_size, action_size, sizes).to(self.device)
        self.value: ValueFunction | None = None
        bootstrap: nn.Module = self.critic
        if config.value_function:
            self.value = bootstrap = ValueFunction(observation_size, sizes).to(self.device)
        # What next states are valued with: V̄ or the twin Q̄, by the variant.
        self.target = copy.deepcopy(bootstrap).requires_grad_(False)
        self.averaged_actor = copy.deepcopy(self.actor).requires_grad_(False)
        self._updates = torch.zeros((), device=self.device)
        log_alpha = torch.tensor(config.initial_temperature).log()
        self.log_alpha = nn.Parameter(log_alpha.to(self.device))

        self.actor_parameters = FlatParameters(self.actor)
        self.critic_parameters = FlatParameters(self.critic)
        self.value_parameters = FlatParameters(self.value) if self.value is not None else None
        self.target_parameters = FlatParameters(self.target)
        self.averaged_parameters = FlatParameters(self.averaged_actor)
        self.optimisers = {
            "actor": self._adam(self.actor_parameters.as_parameter()),
            "critic": self._adam(self.critic_parameters.as_parameter()),
            "temperature": self._adam(self.log_alpha),
        }
        if self.value_parameters is not None:
            self.optimisers["value"] = self._adam(self.value_parameters.as_parameter())
        self._recorded = CapturedGraph(self._update)
        self.set_progress(0.0)

    def update(self, batch: Batch) -> Metrics:
        """One gradient step of every loss on `batch`."""
        tensors = [each.to(self.device) for each in batch if each is not None]
        update = self._recorded if self.config.capture_updates else self._update
        return Metrics(*update(*tensors))

    def _precision(self) -> torch.autocast:
        # Without autocast's cache of cast weights: they change within an update.
        return torch.autocast(
            self.device.type,
            dtype=torch.bfloat16,
            enabled=self.config.mixed_precision,
            cache_enabled=False,
        )

    def _update(self, *tensors: Tensor) -> Metrics:
        batch = Batch(*tensors)
        alpha = self.log_alpha.detach().exp()
        with self._precision():
            q_loss_value, q_mean = self._update_critic(batch, alpha)
            policy_loss_value, action_q, log_prob = self._update_actor(batch, alpha)
            value_loss_value = self._update_value(batch, action_q, log_prob, alpha)
        if self.config.learn_temperature:
            self._update_temperature(log_prob)
        self._update_targets()
        return Metrics(
            q_loss_value, policy_loss_value, value_loss_value, alpha, -log_prob.mean(), q_mean
        )

    def begin_with(self, actor: Tensor, learned: Mapping[str, Tensor]) -> None:
        """Takes over an actor, and of critics and temperature what there is.

        Args:
            actor: [parameters] in torch's order; the averaged actor begins there too.
            learned: `critic`, `target`, `value` and `log_alpha` of `state_dict`, or nothing.
        """
        with torch.no_grad():
            for each in (self.actor_parameters, self.averaged_parameters):
                each.values.copy_(actor)
            for name, values in learned.items():
                self.state_dict()[name].copy_(values)

    def set_progress(self, progress: float, *, actor_learns: bool = True) -> None:
        """Moves step size and target entropy linearly towards their ends; `progress` is 0..1.

        Without `actor_learns` the critics alone do: actor and temperature take steps of size 0.

        The target entropy does so in the last two thirds. Large steps and much exploration come
        first; small ones teach the last millimetres, and to rest there, which an arm that explores
        with strong actions never does.
        """
        config = self.config
        rate, last = config.learning_rate, config.learning_rate_end
        for name, optimiser in self.optimisers.items():
            rests = name in ("actor", "temperature") and not actor_learns
            step = 0.0 if rests else rate + progress * (last - rate)
            optimiser.param_groups[0]["lr"].fill_(step)
        entropy, lowest = config.target_entropy_per_joint, config.target_entropy_per_joint_end
        late = max(0.0, 1.5 * progress - 0.5)
        self.target_entropy.fill_(self.action_size * (entropy + late * (lowest - entropy)))

    @torch.no_grad()
    def next_value(self, batch: Batch, alpha: Tensor) -> Tensor:
        """Soft value of the next states [B]: V̄(s′), or min Q̄(s′, ã′) − α log π(ã′|s′)."""
        if self.value is not None:
            value: Tensor = self.target(self._true(batch.next_observation))
            return value
        # ã′ comes from the current policy, not from the replay.
        next_action, next_log_prob = self.actor.sample(self._told(batch.next_observation))
        next_q = self.target(self._true(batch.next_observation), next_action).amin(dim=0)
        return next_q - alpha * next_log_prob

    def _told(self, observation: Tensor) -> Tensor:
        return observation[:, : self.observation_size]

    def _true(self, observation: Tensor) -> Tensor:
        return observation[:, -self.observation_size :]

    def _update_critic(self, batch: Batch, alpha: Tensor) -> tuple[Tensor, Tensor]:
        discount = self.config.gamma if batch.discount is None else batch.discount
        target = soft_bellman_target(
            batch.reward, batch.terminated, self.next_value(batch, alpha), discount
        )
        q1, q2 = self.critic(self._true(batch.observation), batch.action)
        loss = q_loss(q1, q2, target)
        self._descend("critic", loss, self.critic_parameters)
        return loss.detach(), q1.detach().mean()

    def _update_actor(self, batch: Batch, alpha: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the loss, min Q(s, ã) [B] and log π(ã|s) [B] of the fresh sample."""
        action, log_prob = self.actor.sample(self._told(batch.observation))
        # The gradient passes through the critics to ã; their own is not even computed.
        q = self.critic(self._true(batch.observation), action).amin(dim=0)
        loss = policy_loss(log_prob, q, alpha)
        self._descend("actor", loss, self.actor_parameters)
        return loss.detach(), q.detach(), log_prob.detach()

    def _update_value(
        self, batch: Batch, action_q: Tensor, log_prob: Tensor, alpha: Tensor
    ) -> Tensor:
        """V follows the same fresh sample that the actor was updated with."""
        if self.value is None or self.value_parameters is None:
            return torch.zeros((), device=self.device)
        loss = value_loss(self.value(self._true(batch.observation)), action_q, log_prob, alpha)
        self._descend("value", loss, self.value_parameters)
        return loss.detach()

    def _update_temperature(self, log_prob: Tensor) -> None:
        loss = temperature_loss(self.log_alpha, log_prob, self.target_entropy)
        (self.log_alpha.grad,) = torch.autograd.grad(loss, [self.log_alpha])
        self.optimisers["temperature"].step()

    def _update_targets(self) -> None:
        if self.value_parameters is not None:
            self.target_parameters.polyak_update(self.value_parameters, self.config.value_tau)
        else:
            self.target_parameters.polyak_update(self.critic_parameters, self.config.tau)
        # The weight of the newest actor in an average over a fraction of all so far.
        weight = 1.0 / (1.0 + self.config.averaging_window_fraction * self._updates)
        self.averaged_parameters.polyak_update(self.actor_parameters, weight)
        self._updates += 1.0

    def _descend(self, name: str, loss: Tensor, parameters: FlatParameters) -> None:
        parameters.differentiate(loss)
        self.optimisers[name].step()

    def _adam(self, parameter: nn.Parameter) -> torch.optim.Adam:
        # A tensor, so that a recorded update follows its changes.
        learning_rate = torch.tensor(
            self.config.learning_rate, dtype=torch.float64, device=self.device
        )
        return torch.optim.Adam([parameter], lr=learning_rate, fused=True)

    def state_dict(self) -> dict[str, Any]:
        """Everything that learning changes: networks, targets, log α, optimisers."""
        state: dict[str, Any] = {
            "actor": self.actor_parameters.values,
            "critic": self.critic_parameters.values,
            "target": self.target_parameters.values,
            "averaged_actor": self.averaged_parameters.values,
            "updates": self._updates,
            "log_alpha": self.log_alpha.detach(),
            "optimisers": {name: opt.state_dict() for name, opt in self.optimisers.items()},
        }
        if self.value_parameters is not None:
            state["value"] = self.value_parameters.values
        return state

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what `state_dict` gave, in place."""
        self.actor_parameters.values.copy_(state["actor"])
        self.critic_parameters.values.copy_(state["critic"])
        self.target_parameters.values.copy_(state["target"])
        self.averaged_parameters.values.copy_(state["averaged_actor"])
        self._updates.copy_(state["updates"])
        self.log_alpha.copy_(state["log_alpha"])
        if self.value_parameters is not None:
            self.value_parameters.values.copy_(state["value"])
        for name, optimiser in self.optimisers.items():
            # torch takes over the moments themselves, not copies of them.
            optimiser.load_state_dict(copy.deepcopy(state["optimisers"][name]))
        # The optimisers' moments are other tensors now.
        self._recorded.forget()
