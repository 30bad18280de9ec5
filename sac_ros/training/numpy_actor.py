# SPDX-License-Identifier: Apache-2.0
"""The actor's forward pass in numpy, for collecting without torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sac_ros.sac.config import MOST_LEARNED, NEAR_AIM

Float32 = NDArray[np.float32]

_MOST_LEARNED, _NEAR_AIM_FOURTH = np.float32(MOST_LEARNED), np.float32(NEAR_AIM**4)


@dataclass(frozen=True)
class ActorShape:
    """Sizes of a squashed Gaussian actor and the bounds of its log σ.

    Attributes:
        sizes: observation, hidden layers, twice the action.
        log_std_min: lowest log σ.
        log_std_max: highest log σ.
        aim: see `SquashedGaussianActor`.
    """

    sizes: tuple[int, ...]
    log_std_min: float
    log_std_max: float
    aim: tuple[int, int] | None = None

    @property
    def parameters(self) -> int:
        """Number of weights and biases."""
        return sum(i * o + o for i, o in zip(self.sizes[:-1], self.sizes[1:], strict=True))

    @classmethod
    def of(
        cls,
        observation: int,
        action: int,
        hidden: Sequence[int],
        log_std: tuple[float, float],
        aim: tuple[int, int] | None = None,
    ) -> ActorShape:
        """The shape of an actor with these sizes."""
        return cls((observation, *hidden, 2 * action), *log_std, aim)

    @classmethod
    def from_json(cls, keys: dict[str, Any]) -> ActorShape:
        """The inverse of `dataclasses.asdict`."""
        aim = None if keys["aim"] is None else tuple(keys["aim"])
        return cls(tuple(keys["sizes"]), keys["log_std_min"], keys["log_std_max"], aim)


class NumpyActor:
    """π(a|s) with weights from a flat vector in torch's parameter order."""

    def __init__(self, shape: ActorShape) -> None:
        """Starts with zero weights; see `load`."""
        self._shape = shape
        self._flat = np.zeros(shape.parameters, dtype=np.float32)
        self._layers: list[tuple[Float32, Float32]] = []
        start = 0
        for inputs, outputs in zip(shape.sizes[:-1], shape.sizes[1:], strict=True):
            middle, end = start + inputs * outputs, start + inputs * outputs + outputs
            weight = self._flat[start:middle].reshape(outputs, inputs)
            self._layers.append((weight.T, self._flat[middle:end]))
            start = end

    def load(self, flat: Float32) -> None:
        """Takes over weights and biases [parameters]."""
        self._flat[:] = flat

    def sample(self, observation: Float32, noise: Float32) -> Float32:
        """Actions [B, n] in −1..1 for observations [B, size] and standard normal noise [B, n]."""
        mean, log_std = self._forward(observation)
        return np.tanh(mean + np.exp(log_std) * noise)

    def deterministic(self, observation: Float32) -> Float32:
        """tanh μ(s), [B, n]."""
        return np.tanh(self._forward(observation)[0])

    def _forward(self, observation: Float32) -> tuple[Float32, Float32]:
        hidden = observation
        for weight, bias in self._layers[:-1]:
            hidden = hidden @ weight
            hidden += bias
            np.maximum(hidden, 0.0, out=hidden)
        weight, bias = self._layers[-1]
        heads = hidden @ weight
        heads += bias
        n = heads.shape[-1] // 2
        # Not np.split and np.clip: for a few rows they cost half as much as the layers.
        log_std = np.minimum(
            np.maximum(heads[..., n:], self._shape.log_std_min), self._shape.log_std_max
        )
        mean = heads[..., :n]
        if self._shape.aim is not None:
            aim = observation[..., slice(*self._shape.aim)]
            fourth = np.square(np.square(aim).mean(axis=-1, keepdims=True))
            learned = _MOST_LEARNED * np.tanh(mean / _MOST_LEARNED)
            mean = aim + fourth / (fourth + _NEAR_AIM_FOURTH) * learned
        return mean, log_std
