# SPDX-License-Identifier: Apache-2.0
"""Inverse kinematics: a configuration for a point or a pose of the end effector."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sac_ros.robots.arm import Arm
from sac_ros.robots.defaults import inner_limits
from sac_ros.robots.kinematics import Frames, cross, rotation_from_quaternion

Array = NDArray[np.float64]

ITERATIONS = 80
STARTS = 12  # the arm's configuration, home, and drawn ones
CLOSE = 1e-5  # m and rad
LONGEST_STEP = 0.4  # rad, of a joint in an iteration
DAMPING = 0.02  # m, of the inverse: what counts as nearly singular
HOME = 0.1  # of the way home in the null space, per iteration
HOME_ITERATIONS = 20  # the first, in which it is gone


def solve(arm: Arm, goal: Array, begin: Array) -> Array:
    """The configuration [n] rad at `goal` that is the soonest reached from `begin` [n].

    Several starts at once by damped least squares within the joint limits (Siciliano et al. 2009,
    ch. 3.7): q ← q + J⁺ e + (I − J⁺ J) h (home − q). Where none arrives, the closest is taken.
    Once the start from `begin` has arrived, those that have not are left behind.

    Args:
        arm: the arm.
        goal: [3] m, or [7] with a quaternion x y z w.
        begin: [n] rad, where the arm is.
    """
    low, high = inner_limits(arm.position_limit)
    rng = np.random.default_rng(0)
    drawn = rng.uniform(low, high, (STARTS - 2, arm.joints))
    position = np.vstack([begin, arm.home, drawn])
    goals = np.broadcast_to(goal, (STARTS, len(goal)))
    for iteration in range(ITERATIONS):
        frames = arm.chain.frames_at(position)
        missing = twist(frames, goals)
        arrived = np.abs(missing).max(axis=1) < CLOSE
        if iteration > HOME_ITERATIONS and arrived[0]:
            break
        jacobian = arm.chain.jacobian(frames)[:, : missing.shape[1]]
        # Less and less damping near the goal, or the last millimetre takes for ever.
        damping = np.minimum(DAMPING, np.abs(missing).max(axis=1))[:, None, None]
        inverse = damped_inverse(jacobian, damping)
        home = (arm.home - position)[..., None] * (HOME if iteration < HOME_ITERATIONS else 0.0)
        step = (inverse @ (missing[..., None] - jacobian @ home) + home)[..., 0]
        step *= LONGEST_STEP / np.maximum(np.abs(step).max(axis=1, keepdims=True), LONGEST_STEP)
        position = np.clip(position + step, low, high)
    left = np.abs(twist(arm.chain.frames_at(position), goals)).max(axis=1)
    seconds = np.abs((position - begin) / arm.velocity_limit).max(axis=1)
    arrived = left < max(10.0 * CLOSE, float(left.min()) * 1.01)
    best: Array = position[np.argmin(np.where(arrived, seconds, np.inf))]
    return best


def twist(frames: Frames, goal: Array) -> Array:
    """What moves end effectors to goals, [..., 3] m for points, [..., 6] m and rad for poses.

    The turn is θ times its axis.
    """
    offset: Array = goal[..., :3] - frames.end_effector
    if goal.shape[-1] == 3:
        return offset
    wanted, found = rotation_from_quaternion(goal[..., 3:]), frames.end_effector_rotation
    sine = 0.5 * sum(cross(found[..., axis], wanted[..., axis]) for axis in range(3))
    length = np.linalg.norm(sine, axis=-1, keepdims=True)
    cosine = 0.5 * (np.einsum("...ij,...ij->...", found, wanted) - 1.0)[..., None]
    angle = np.arctan2(length, cosine)
    return np.concatenate((offset, sine * angle / np.maximum(length, 1e-9)), axis=-1)


def damped_inverse(jacobian: Any, damping: float | Array = DAMPING) -> Any:
    """J⁺ = Jᵀ (J Jᵀ + λ² I)⁻¹ [..., n, r] of Jacobians [..., r, n]."""
    transposed = jacobian.swapaxes(-1, -2)
    return transposed @ np.linalg.inv(
        jacobian @ transposed + damping**2 * np.eye(jacobian.shape[-2])
    )
