# SPDX-License-Identifier: Apache-2.0
"""The whole controller as one torch module: sensor units in, newton metres out."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sac_ros.sac.networks import SquashedGaussianActor

Array = NDArray[np.float64]


class Chain(Protocol):
    """The numbers of a serial chain; see `sac_ros.sim.kinematics.KinematicChain`."""

    @property
    def rotation(self) -> Array:
        """[n, 3, 3]."""

    @property
    def translation(self) -> Array:
        """[n, 3] m."""

    @property
    def tip_translation(self) -> Array:
        """[3] m."""

    @property
    def axis_cross(self) -> Array:
        """[n, 3, 3] the cross-product matrices of the joint axes."""


class ForwardKinematics(nn.Module):
    """The tip's position [batch, 3] m of joint positions [batch, n] rad."""

    fixed: Tensor
    sine: Tensor
    versine: Tensor
    translation: Tensor
    tip: Tensor

    def __init__(self, chain: Chain) -> None:
        """Folds each joint's fixed rotation R into Rodrigues' formula: R (1 + s K + (1−c) K²)."""
        super().__init__()
        cross = chain.axis_cross
        for name, array in {
            "fixed": chain.rotation,
            "sine": chain.rotation @ cross,
            "versine": chain.rotation @ cross @ cross,
            "translation": chain.translation[:, :, None],
            "tip": chain.tip_translation[:, None],
        }.items():
            self.register_buffer(name, torch.tensor(array, dtype=torch.float32))

    def forward(self, sine: Tensor, cosine: Tensor) -> Tensor:
        """Takes sin q and cos q [batch, n], which the observation has anyway."""
        origin = self.translation[0]
        turned = self._rotation(0, sine, cosine)
        for joint in range(1, self.fixed.shape[0]):
            origin = origin + turned @ self.translation[joint]
            turned = turned @ self._rotation(joint, sine, cosine)
        return (origin + turned @ self.tip).squeeze(-1)

    def _rotation(self, joint: int, sine: Tensor, cosine: Tensor) -> Tensor:
        s = sine[:, joint, None, None]
        versine = 1.0 - cosine[:, joint, None, None]
        return self.fixed[joint] + s * self.sine[joint] + versine * self.versine[joint]


class ReachPolicyGraph(nn.Module):
    """Encoding, forward kinematics, actor and scaling of a reach policy.

    Builds the observation in the order of `sac_ros.sim.observation.ReachEncoding`; the export
    gate holds the two against each other.
    """

    velocity_limit: Tensor
    action_scale: Tensor
    torque_limit: Tensor

    def __init__(
        self,
        actor: SquashedGaussianActor,
        chain: Chain,
        *,
        velocity_limit: Array,
        action_scale: Array,
        torque_limit: Array,
        velocity_barrier: tuple[float, float],
    ) -> None:
        """Joins the parts.

        Args:
            actor: the network.
            chain: the arm's kinematics.
            velocity_limit: [n] rad/s.
            action_scale: [n] N·m at action 1.
            torque_limit: [n] N·m.
            velocity_barrier: where no accelerating torque is left and over what width it falls,
                as shares of the velocity limit; see `sac_ros.sim.velocity_barrier`.
        """
        super().__init__()
        self.actor = actor
        self.barrier_zero, self.barrier_width = velocity_barrier
        self.kinematics = ForwardKinematics(chain)
        self.register_buffer("velocity_limit", torch.tensor(velocity_limit, dtype=torch.float32))
        self.register_buffer("action_scale", torch.tensor(action_scale, dtype=torch.float32))
        self.register_buffer("torque_limit", torch.tensor(torque_limit, dtype=torch.float32))

    def forward(
        self,
        joint_position: Tensor,
        joint_velocity: Tensor,
        goal: Tensor,
        previous_action: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Torque [batch, n] N·m and action [batch, n], as the contract of the policy file says."""
        velocity = joint_velocity / self.velocity_limit
        sine, cosine = torch.sin(joint_position), torch.cos(joint_position)
        observation = torch.cat(
            [
                sine,
                cosine,
                velocity,
                goal,
                goal - self.kinematics(sine, cosine),
                previous_action,
            ],
            dim=-1,
        )
        action = self.actor.deterministic(observation)
        highest = self._barrier_share(self.barrier_zero - velocity)
        lowest = -self._barrier_share(self.barrier_zero + velocity)
        bounded = torch.minimum(torch.maximum(action, lowest), highest) * self.action_scale
        return torch.clamp(bounded, -self.torque_limit, self.torque_limit), action

    def _barrier_share(self, room: Tensor) -> Tensor:
        return torch.clamp(torch.maximum(room / self.barrier_width, room), -1.0, 1.0)
