# SPDX-License-Identifier: Apache-2.0
"""The whole controller as one torch module: sensor units in, newton metres out."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sac_ros.sac.networks import SquashedGaussianActor
from sac_ros.training.chain_graph import Chain, ChainFrames, GravityTorque, TipPosition

Array = NDArray[np.float64]


class ReachPolicyGraph(nn.Module):
    """Encoding, forward kinematics, actor, scaling and gravity torque of a reach policy.

    Builds the observation in the order of `sac_ros.tasks.observation.ReachEncoding`; the export
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
        gravity: GravityTorque | None = None,
    ) -> None:
        """Joins the parts.

        Args:
            actor: the network.
            chain: the arm's kinematics.
            velocity_limit: [n] rad/s.
            action_scale: [n] N·m at action 1.
            torque_limit: [n] N·m.
            velocity_barrier: where no accelerating torque is left and over what width it falls,
                as shares of the velocity limit; see `sac_ros.robots.torque_speed_envelope`.
            gravity: computes the g(q) that the torque holds; None where the robot adds it.
        """
        super().__init__()
        self.actor = actor
        self.barrier_zero, self.barrier_width = velocity_barrier
        self.frames = ChainFrames(chain)
        self.tip = TipPosition(chain)
        self.gravity = gravity
        self.register_buffer("velocity_limit", torch.tensor(velocity_limit, dtype=torch.float32))
        self.register_buffer("action_scale", torch.tensor(action_scale, dtype=torch.float32))
        self.register_buffer("torque_limit", torch.tensor(torque_limit, dtype=torch.float32))

    def forward(
        self,
        joint_position: Tensor,
        joint_velocity: Tensor,
        goal: Tensor,
        state: Tensor,
    ) -> tuple[Tensor, ...]:
        """Torque, action, g(q) where the torque holds it, next state: the graph's outputs.

        All are [batch, n], the torques in N·m. The state is the previous action.
        """
        velocity = joint_velocity / self.velocity_limit
        sine, cosine = torch.sin(joint_position), torch.cos(joint_position)
        frames = self.frames(sine, cosine)
        observation = torch.cat(
            [
                sine,
                cosine,
                velocity,
                goal,
                goal - self.tip(frames),
                state,
            ],
            dim=-1,
        )
        action = self.actor.deterministic(observation)
        highest = self._barrier_share(self.barrier_zero - velocity)
        lowest = -self._barrier_share(self.barrier_zero + velocity)
        torque = torch.minimum(torch.maximum(action, lowest), highest) * self.action_scale
        gravity = () if self.gravity is None else (self.gravity(frames),)
        torque = torch.clamp(sum(gravity, torque), -self.torque_limit, self.torque_limit)
        return torque, action, *gravity, action.clone()  # an output needs a tensor of its own

    def _barrier_share(self, room: Tensor) -> Tensor:
        return torch.clamp(torch.maximum(room / self.barrier_width, room), -1.0, 1.0)
