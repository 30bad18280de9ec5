# SPDX-License-Identifier: Apache-2.0
"""A noisy way to the goal, by inverse kinematics: the experience a training starts with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sac_ros.controllers.inverse_kinematics import damped_inverse, twist
from sac_ros.robots.arm import Arm
from sac_ros.robots.dynamics import damped_action

Array = NDArray[np.float64]

REACH_TIME = 0.5  # s, time constant of the end effector's way to the goal
HOME_TIME = 1.0  # s, time constant of the joints' way home, in the Jacobian's null space
TRACKING_TIME = 0.1  # s, time constant of the joint velocities
FASTEST = 0.5  # of its velocity limit, what a joint is sent with at most, without the noise
NOISE = 0.3  # standard deviation of the noise on that fraction, fresh at every step
_DAMPING = 0.1  # m, of the inverse kinematics: what counts as nearly singular


@dataclass(frozen=True, eq=False)
class WarmUpController:
    """Moves the joints at velocities that lead the end effector to a goal, and noise on them.

    The noise is on velocities, and the mass matrix makes torques of them: what the arm does, and
    the experience with it, depends little on the torque that an action of one stands for. Uniform
    actions are a poor start where that torque is large: the arm is flung about far beyond its
    velocity limits, and hardly ever comes near a goal.

    Attributes:
        arm: the arm.
        action_scale: [n] N·m at action 1.
    """

    arm: Arm
    action_scale: Array

    def actions(
        self, goal: Array, position: Array, velocity: Array, rng: np.random.Generator
    ) -> NDArray[np.float32]:
        """Actions [k, n] in −1..1 for k arms.

        With J⁺ the damped inverse of the end effector's Jacobian J (Siciliano et al. 2009,
        ch. 3.5), and velocities over their limits:

            v_d = J⁺ (e / T_reach − J h) + h,   h = (home − q) / T_home
            τ = M (w − v) / T_track + D w + F sign w,   w = v_d + noise

        with e what leads the end effector to its goal, see `twist`, and F the Coulomb friction.
        The action is the `damped_action` of τ.

        Args:
            goal: [k, 3] m, where the end effector is to be, or [k, 7] with a quaternion.
            position: [k, n] rad.
            velocity: [k, n] rad/s.
            rng: source of the noise.
        """
        arm = self.arm
        frames = arm.chain.frames_at(position)
        missing = twist(frames, goal)
        jacobian = arm.chain.jacobian(frames)[:, : missing.shape[-1]]
        inverse = damped_inverse(jacobian, _DAMPING)
        way = missing[..., None] / REACH_TIME
        home = (arm.home - position)[..., None] / HOME_TIME
        wanted = (inverse @ (way - jacobian @ home) + home)[..., 0] / arm.velocity_limit
        wanted *= FASTEST / np.maximum(np.abs(wanted).max(axis=-1, keepdims=True), FASTEST)
        wanted = (wanted + NOISE * rng.standard_normal(wanted.shape)) * arm.velocity_limit
        mass_matrix = arm.bodies.mass_matrix(arm.chain, frames)
        acceleration = ((wanted - velocity) / TRACKING_TIME)[..., None]
        torque = (mass_matrix @ acceleration)[..., 0] + arm.damping * wanted
        torque += arm.friction * np.sign(wanted)
        action: Array = damped_action(
            torque, velocity, scale=self.action_scale, damping=arm.control_damping
        )
        return action.astype(np.float32)
