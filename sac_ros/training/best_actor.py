# SPDX-License-Identifier: Apache-2.0
"""The best of the actors that a run has evaluated."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import torch
from torch import nn

from sac_ros.sac.networks import SquashedGaussianActor
from sac_ros.training.evaluation import HOLD_TOLERANCE, Evaluation


class BestActor:
    """Keeps the actor whose evaluation had the most success within 2 cm, then the most return.

    It is what is exported.

    The critics, and the actor after them, never come to rest: between two evaluations late in a
    run the median error goes up and down by a factor of two, and late ones may be closer to the
    goal without ever resting there. Success means within 2 cm and slow; the return weighs
    precision against smoothness as the reward does. Every evaluation has the same goals and
    starts, hence they compare; it also means that these goals choose the actor, and
    only others measure it. A run resumed with another number of goals compares again.
    """

    def __init__(self, actor: SquashedGaussianActor) -> None:
        """Starts with none; `actor` is what the offered ones look like."""
        self.actor = copy.deepcopy(actor).cpu()
        self.evaluation: Evaluation | None = None
        self.env_steps = 0

    def offer(self, actor: SquashedGaussianActor, evaluation: Evaluation, env_steps: int) -> None:
        """Keeps a copy of `actor`, as it is after `env_steps`, if none before was better."""
        kept = self.evaluation
        comparable = kept is not None and kept.episodes == evaluation.episodes
        if kept is None or not comparable or _rank(evaluation) >= _rank(kept):
            self.actor.load_state_dict(actor.state_dict())
            self.evaluation = evaluation
            self.env_steps = env_steps

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint: tensors, numbers and texts only; empty while there is none."""
        if self.evaluation is None:
            return {}
        return {
            "parameters": nn.utils.parameters_to_vector(self.actor.parameters()).detach(),
            "evaluation": dataclasses.asdict(self.evaluation),
            "env_steps": self.env_steps,
        }

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what `state_dict` gave."""
        if state:
            nn.utils.vector_to_parameters(state["parameters"], self.actor.parameters())
            self.evaluation = Evaluation.from_dict(state["evaluation"])
            self.env_steps = state["env_steps"]


def _rank(evaluation: Evaluation) -> tuple[float, float]:
    return evaluation.success_rate(HOLD_TOLERANCE), evaluation.mean_return
