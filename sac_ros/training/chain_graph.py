# SPDX-License-Identifier: Apache-2.0
"""A serial chain as torch modules: where its frames are, its tip, and what gravity pulls."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Array = NDArray[np.float64]


class Chain(Protocol):
    """The numbers of a serial chain; see `sac_ros.robots.kinematics.KinematicChain`."""

    @property
    def rotation(self) -> Array:
        """[n, 3, 3]."""

    @property
    def translation(self) -> Array:
        """[n, 3] m."""

    @property
    def axis(self) -> Array:
        """[n, 3]."""

    @property
    def tip_translation(self) -> Array:
        """[3] m."""

    @property
    def axis_cross(self) -> Array:
        """[n, 3, 3] the cross-product matrices of the joint axes."""


class Weights(Protocol):
    """What each joint of a chain carries; see `sac_ros.robots.dynamics.GravityModel`."""

    @property
    def chain(self) -> Chain:
        """The kinematics."""

    @property
    def mass(self) -> Array:
        """[n] kg."""

    @property
    def moment(self) -> Array:
        """[n, 3] kg·m."""


class Frames(NamedTuple):
    """The joint frames of n joints in the base frame, joint by joint.

    Attributes:
        rotation: n times [batch, 3, 3].
        origin: n times [batch or 1, 3, 1] m.
    """

    rotation: list[Tensor]
    origin: list[Tensor]


class ChainFrames(nn.Module):
    """The frames of the joints at given positions."""

    fixed: Tensor
    sine: Tensor
    versine: Tensor
    translation: Tensor

    def __init__(self, chain: Chain) -> None:
        """Folds each joint's fixed rotation R into Rodrigues' formula: R (1 + s K + (1−c) K²)."""
        super().__init__()
        cross = chain.axis_cross
        for name, array in {
            "fixed": chain.rotation,
            "sine": chain.rotation @ cross,
            "versine": chain.rotation @ cross @ cross,
            "translation": chain.translation[:, :, None],
        }.items():
            self.register_buffer(name, torch.tensor(array, dtype=torch.float32))

    def forward(self, sine: Tensor, cosine: Tensor) -> Frames:
        """Takes sin q and cos q [batch, n], which the observation has anyway."""
        rotations = [self._rotation(0, sine, cosine)]
        origins = [self.translation[0].unsqueeze(0)]
        for joint in range(1, self.fixed.shape[0]):
            origins.append(origins[-1] + rotations[-1] @ self.translation[joint])
            rotations.append(rotations[-1] @ self._rotation(joint, sine, cosine))
        return Frames(rotations, origins)

    def _rotation(self, joint: int, sine: Tensor, cosine: Tensor) -> Tensor:
        s = sine[:, joint, None, None]
        versine = 1.0 - cosine[:, joint, None, None]
        return self.fixed[joint] + s * self.sine[joint] + versine * self.versine[joint]


class TipPosition(nn.Module):
    """The tip's position [batch, 3] m."""

    tip: Tensor

    def __init__(self, chain: Chain) -> None:
        """Takes the way from the last joint to the tip."""
        super().__init__()
        self.register_buffer(
            "tip", torch.tensor(chain.tip_translation[:, None], dtype=torch.float32)
        )

    def forward(self, frames: Frames) -> Tensor:
        """From the frames of the joints."""
        return (frames.origin[-1] + frames.rotation[-1] @ self.tip).squeeze(-1)


class GravityTorque(nn.Module):
    """g(q) [batch, n] N·m, what holds the chain against gravity.

    The formula is that of `sac_ros.robots.dynamics.GravityModel`: with M and S the mass and the
    sum of mass times position of what a joint carries, g_i = γ · [z_i × (S − M · o_i)]_z.
    """

    axis: Tensor
    moment: Tensor

    def __init__(self, weights: Weights, acceleration: float) -> None:
        """Takes what the joints carry, and γ, m/s²."""
        super().__init__()
        # γ is folded in here, in double precision.
        self._weight: list[float] = (acceleration * weights.mass).tolist()
        for name, array in {
            "axis": weights.chain.axis[:, :, None],
            "moment": acceleration * weights.moment[:, :, None],
        }.items():
            self.register_buffer(name, torch.tensor(array, dtype=torch.float32))

    def forward(self, frames: Frames) -> Tensor:
        """From the frames of the joints, from the last one inwards."""
        torques: list[Tensor] = []
        weight: float = 0.0
        pull: Tensor | float = 0.0
        for joint in reversed(range(len(self._weight))):
            rotation, origin = frames.rotation[joint], frames.origin[joint]
            weight = weight + self._weight[joint]
            pull = pull + self._weight[joint] * origin + rotation @ self.moment[joint]
            lever = pull - weight * origin
            axis = rotation @ self.axis[joint]
            torques.insert(0, axis[:, 0] * lever[:, 1] - axis[:, 1] * lever[:, 0])
        return torch.cat(torques, dim=-1)
