# SPDX-License-Identifier: Apache-2.0
"""All parameters of a module in one tensor."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


class FlatParameters:
    """Makes a module's parameters views of one flat tensor; another takes their gradients.

    Adam, the Polyak average and sending weights to a worker are then one call each instead of one
    per layer; for networks this small the calls cost more than the arithmetic.
    """

    def __init__(self, module: nn.Module) -> None:
        """Moves the parameters of `module` into a flat tensor, their values unchanged."""
        self._parameters = list(module.parameters())
        self.values = torch.nn.utils.parameters_to_vector(self._parameters).detach().clone()
        self.gradients = torch.zeros_like(self.values)
        start = 0
        for parameter in self._parameters:
            end = start + parameter.numel()
            parameter.data = self.values[start:end].view_as(parameter)
            start = end

    def as_parameter(self) -> nn.Parameter:
        """One parameter over the same memory, for an optimiser."""
        parameter = nn.Parameter(self.values)
        parameter.grad = self.gradients
        return parameter

    def to_numpy(self) -> NDArray[np.float32]:
        """The values in plain memory, for a process without torch; on the CPU a view."""
        return self.values.cpu().numpy()

    def differentiate(self, loss: Tensor) -> None:
        """Sets the gradients to ∂loss/∂θ.

        Only what lies between the loss and these parameters is differentiated: no other parameter
        gets a gradient, and none is computed for it.
        """
        gradients = torch.autograd.grad(loss, self._parameters)
        torch.cat([gradient.flatten() for gradient in gradients], out=self.gradients)

    @torch.no_grad()
    def polyak_update(self, other: FlatParameters | Tensor, fraction: float | Tensor) -> None:
        """Polyak averaging: θ ← (1 − f) θ + f θ_other; a tensor f is a scalar."""
        values = other.values if isinstance(other, FlatParameters) else other
        self.values.lerp_(values, fraction)
