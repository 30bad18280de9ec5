# SPDX-License-Identifier: Apache-2.0
"""The whole controller as one torch module: sensor units in, newton metres out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sac_ros.robots.kinematics import like
from sac_ros.sac.networks import SquashedGaussianActor
from sac_ros.tasks.memory import Memory
from sac_ros.tasks.task import State, Task


class PolicyGraph(nn.Module):
    """Forward kinematics, observation, actor, envelope, scaling and gravity torque of a policy.

    Each is the very function that the simulator uses, here on tensors.
    """

    def __init__(
        self,
        actor: SquashedGaussianActor,
        task: Task,
        *,
        memory: Memory,
        holds_gravity: bool,
    ) -> None:
        """Joins the parts.

        Args:
            actor: the network.
            task: what it was trained for, and the arm that does it.
            memory: what it remembers, and the torque of its actions.
            holds_gravity: whether the torque holds g(q); else the robot adds it.
        """
        super().__init__()
        self.actor = actor
        self._task = task
        self._memory = memory
        self._holds_gravity = holds_gravity

    def forward(
        self,
        joint_position: Tensor,
        joint_velocity: Tensor,
        goal: Tensor,
        *rest: Tensor,
    ) -> tuple[Tensor, ...]:
        """Torque, action, g(q) where the torque holds it, next state: the graph's outputs.

        All are [batch, n], the torques in N·m, but for the state [batch, m], see `Memory`.
        `rest`: the goal's velocity [batch, k], where goals move, and the state.
        """
        *goal_velocity, state = rest
        arm, memory = self._task.arm, self._memory
        sine, cosine = torch.sin(joint_position), torch.cos(joint_position)
        frames = arm.chain.frames(sine, cosine)
        fraction = joint_velocity / like(arm.velocity_limit, joint_velocity)
        motion = memory.motion(frames if memory.needs_frames else None, joint_velocity)
        carried = memory.carried(state, motion)
        remembered = memory.observed(state, carried)
        observation = self._task.observe(
            State(
                sine,
                cosine,
                fraction,
                goal,
                frames.end_effector,
                remembered,
                goal_velocity[0] if goal_velocity else None,
                frames,
            )
        )
        action = self.actor.deterministic(observation)
        limit = like(arm.torque_limit, action)
        own = memory.torque(action, motion, state)
        gravity = (arm.bodies.gravity_torque(arm.chain, frames),) if self._holds_gravity else ()
        torque = torch.clamp(sum(gravity, own + carried), -limit, limit)
        after = memory.after(state, action, own, motion, carried)
        return torque, action, *gravity, after.clone()  # an output needs a tensor of its own
