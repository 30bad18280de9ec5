# SPDX-License-Identifier: Apache-2.0
"""Running mean and deviation of observations."""

from __future__ import annotations

import copy
import itertools

import torch
from torch import Tensor

from sac_ros.sac.networks import SquashedGaussianActor

_FLOOR = 1e-2  # smallest deviation: what hardly varies must not be blown up


class RunningNormaliser:
    """Brings every entry of the observation to mean 0 and deviation 1 over all seen so far.

        x̂ = (x − μ) / max(σ, 0.01)

    An affine map before a linear layer is a linear layer: `fold` puts it into an actor's weights,
    so that neither the collector nor the exported graph knows of it.
    """

    def __init__(self, size: int, device: torch.device | None = None) -> None:
        """Starts as the identity.

        Args:
            size: length of the observation.
            device: where its tensors are; torch's default if None.
        """
        # In float64: sums over millions of observations.
        self._count = torch.zeros((), dtype=torch.float64, device=device)
        self._mean = torch.zeros(size, dtype=torch.float64, device=device)
        self._squares = torch.zeros(size, dtype=torch.float64, device=device)  # Σ (x − μ)²
        self.mean = torch.zeros(size, device=device)
        self.scale = torch.ones(size, device=device)

    def __call__(self, observation: Tensor) -> Tensor:
        """x̂ of observations [..., size]."""
        return (observation - self.mean) * self.scale

    @torch.no_grad()
    def observe(self, observation: Tensor) -> None:
        """Counts observations [m, size] in (Chan et al. 1979, merging two sets)."""
        new = observation.to(self._mean)
        if not len(new):
            return
        total = self._count + len(new)
        difference = new.mean(dim=0) - self._mean
        self._squares += (new - new.mean(dim=0)).square().sum(dim=0)
        self._squares += difference.square() * self._count * len(new) / total
        self._mean += difference * len(new) / total
        self._count.copy_(total)
        self._publish()

    def fold(self, actor: SquashedGaussianActor) -> SquashedGaussianActor:
        """A copy of an actor of x̂ that takes x: W(x − μ)/σ + b = (W/σ) x + (b − (W/σ) μ)."""
        folded = copy.deepcopy(actor)
        weight, bias = itertools.islice(folded.body.parameters(), 2)
        with torch.no_grad():
            weight.mul_(self.scale)
            bias.sub_(weight @ self.mean)
        return folded

    def state_dict(self) -> dict[str, Tensor]:
        """What `load_state_dict` needs."""
        return {"count": self._count, "mean": self._mean, "squares": self._squares}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restores it in place."""
        self._count.copy_(state["count"])
        self._mean.copy_(state["mean"])
        self._squares.copy_(state["squares"])
        if self._count > 0:
            self._publish()

    def _publish(self) -> None:
        self.mean.copy_(self._mean)
        deviation = (self._squares / self._count).sqrt()
        self.scale.copy_(1.0 / deviation.clamp_min(_FLOOR))
