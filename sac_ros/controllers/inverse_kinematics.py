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
MILLIMETRE = 1e-3  # m and rad
LONGEST_STEP = 0.4  # rad, of a joint in an iteration
DAMPING = 0.02  # m, of the inverse: what counts as nearly singular
HOME = 0.1  # of the way home in the null space, per iteration
HOME_ITERATIONS = 12  # the first, in which it is gone


def solve(arm: Arm, goal: Array, begin: Array) -> Array:
    """The configuration [n] rad at `goal` that is the soonest reached from `begin` [n].

    Several starts at once, by `improve`, of which `soonest` chooses. Once the start
    from `begin` has arrived, those that have not are left behind.

    Args:
        arm: the arm.
        goal: [3] m, or [7] with a quaternion x y z w.
        begin: [n] rad, where the arm is.
    """
    goals, position = goal[None], starts(arm, begin[None])
    for iteration in range(ITERATIONS):
        position = improve(arm, goals, position, np.array([iteration]))
        if iteration >= HOME_ITERATIONS and arrived(arm, goals, position)[0]:
            break
    best: Array = soonest(arm, goals, position, begin[None])[0]
    return best


def starts(arm: Arm, begin: Array) -> Array:
    """Where the search starts from, [k, STARTS, n] rad; the first is `begin` [k, n]."""
    low, high = inner_limits(arm.position_limit)
    drawn = np.random.default_rng(0).uniform(low, high, (STARTS - 2, arm.joints))
    others = np.vstack([arm.home, drawn])
    shape = (len(begin), *others.shape)
    return np.concatenate((begin[:, None], np.broadcast_to(others, shape)), axis=1)


def improve(arm: Arm, goal: Array, position: Array, iteration: Array) -> Array:
    """One step of damped least squares within the joint limits (Siciliano et al. 2009, ch. 3.7):

        q ← q + J⁺ e + (I − J⁺ J) h (home − q)

    Args:
        arm: the arm.
        goal: [k, 3] or [k, 7].
        position: [k, s, n] rad.
        iteration: [k], the number of the step; after `HOME_ITERATIONS` h is 0.
    """
    low, high = inner_limits(arm.position_limit)
    frames = arm.chain.frames_at(position)
    missing = twist(frames, goal[:, None])
    jacobian = arm.chain.jacobian(frames)[..., : missing.shape[-1], :]
    # Less and less damping near the goal, or the last millimetre takes for ever.
    damping = np.minimum(DAMPING, np.abs(missing).max(axis=-1))[..., None, None]
    inverse = damped_inverse(jacobian, damping)
    way = HOME * (iteration < HOME_ITERATIONS)[:, None, None, None]
    home = way * (arm.home - position)[..., None]
    step = (inverse @ (missing[..., None] - jacobian @ home) + home)[..., 0]
    step *= LONGEST_STEP / np.maximum(np.abs(step).max(axis=-1, keepdims=True), LONGEST_STEP)
    improved: Array = np.clip(position + step, low, high)
    return improved


def arrived(arm: Arm, goal: Array, position: Array) -> Any:
    """Whether [k] the first of the searches [k, s, n] has found its goal."""
    left = twist(arm.chain.frames_at(position[:, 0]), goal)
    return np.abs(left).max(axis=-1) < CLOSE


def soonest(arm: Arm, goal: Array, position: Array, begin: Array) -> Array:
    """Of searches [k, s, n] those [k, n] that are soonest reached from `begin` [k, n].

    What is missing to the goal counts a second a millimetre, or milliradian.
    """
    left = np.abs(twist(arm.chain.frames_at(position), goal[:, None])).max(axis=-1)
    seconds = np.abs((position - begin[:, None]) / arm.velocity_limit).max(axis=-1)
    best = np.argmin(seconds + left / MILLIMETRE, axis=-1)
    chosen: Array = np.take_along_axis(position, best[:, None, None], axis=1)[:, 0]
    return chosen


def twist(frames: Frames, goal: Array) -> Array:
    """What moves end effectors to goals, [..., 3] m for points, [..., 6] m and rad for poses.

    The turn is θ times its axis.
    """
    offset: Array = goal[..., :3] - frames.end_effector
    if goal.shape[-1] == 3:
        return offset
    wanted, found = rotation_from_quaternion(goal[..., 3:]), frames.end_effector_rotation
    wanted = np.broadcast_to(wanted, found.shape)
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
