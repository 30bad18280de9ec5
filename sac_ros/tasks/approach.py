# SPDX-License-Identifier: Apache-2.0
"""Where the joints would have to go for the goal, and the way there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sac_ros.robots.arm import Arm
from sac_ros.robots.kinematics import Frames, like, namespace, solve

Array = NDArray[np.float64]

DAMPING = 0.05  # m, of `joint_offset`: what counts as nearly singular
APPROACH_TIME = 0.2  # s, time constant of the way to the goal that is aimed at
FASTEST_AIM = 0.95  # of a velocity limit, of that way
AT_HOME = 0.025  # of ½ sin(home − q): 3° from home is near enough
FAR, FARTHER = 1.2, 1.7  # times as far from home as goals lead: from where on home comes first

_SLACK = 0.05  # rad, beyond its limits a joint may be measured
_GOALS, _STEPS = 300, 80  # of the search for how far goals lead


@dataclass(frozen=True, eq=False)
class Approach:
    """The way of an arm to the goals of a task, over batches, numpy and torch alike.

    Attributes:
        arm: the arm.
        goal_bounds: returns the lower and the upper corner [k] of goals.
        goal_spread: rad, goals are drawn from configurations so far from home; None: from all.
        oriented: whether the orientation counts.
        moving: whether goals move.
    """

    arm: Arm
    goal_bounds: Callable[[], tuple[Array, Array]]
    goal_spread: float | None
    oriented: bool
    moving: bool

    def joint_offset(
        self, sine: Any, cosine: Any, frames: Frames, *errors: Any, finely: bool = False
    ) -> Any:
        """Where the joints would have to go for the end effector's errors to vanish, [..., n] rad.

            J⁺ (e − J h) + h,   J⁺ = Jᵀ (J Jᵀ + λ² I)⁻¹,   h = ½ sin(home − q),   λ = 5 cm

        (Siciliano et al., Robotics, 2009, ch. 3.5): the differential inverse kinematics, with what
        is left of the way home in the null space. It spares a policy from learning where its
        joints lead the end effector.

        Args:
            sine: [..., n] of the joint positions.
            cosine: [..., n] of them.
            frames: of them.
            errors: [..., 3] m of the position and, where it counts, [..., 3] rad.
            finely: λ = min(5 cm, |e|), so that near the goal home draws it aside no longer, and h
                is 0.025 nearer to 0, so that a joint with friction comes to rest before home;
                joints that do not matter stay where they are. Where goals move, a joint moves the
                more the faster it may: J⁺ = W Jᵀ (J W Jᵀ + λ² I)⁻¹, W = diag q̇_max² / mean q̇_max².
        """
        error = namespace(sine).concatenate(errors, -1)
        jacobian = self.arm.chain.jacobian(frames)[..., : error.shape[-1], :]
        transposed = jacobian.swapaxes(-1, -2)
        home = self.arm.home
        h = 0.5 * (like(np.sin(home), sine) * cosine - like(np.cos(home), sine) * sine)
        damping: Any = like(DAMPING**2 * np.eye(error.shape[-1]), sine)
        if finely:
            h = like(self._matters, h) * (h - h.clip(-AT_HOME, AT_HOME))
            near = (error**2).sum(-1).clip(1e-6, DAMPING**2) / DAMPING**2
            damping = near[..., None, None] * damping
            if self.moving:
                share = self.arm.velocity_limit**2
                transposed = like((share / share.mean())[:, None], sine) * transposed
        square = jacobian @ transposed + damping
        missing = error - (jacobian @ h[..., None])[..., 0]
        return (transposed @ solve(square, missing)[..., None])[..., 0] + h

    def aim(self, sine: Any, cosine: Any, frames: Frames, *errors: Any) -> Any:
        """What leads a `Servo` straight to the goal, [..., n]: before the tanh of actions.

            artanh((1 − w) v + w v_h),   v = Δq / (T q̇_max),   v_h = (home − q) / (T q̇_max)

        with Δq the `joint_offset`, finely, and T = 0.2 s; v and v_h each by one factor, so that
        no joint is above 0.95: the resolved motion rate control of Whitney (1969). From a joint
        that is farther from home than any goal leads it the way is by home, with w rising from 0
        at 1.2 to 1 at 1.7 times as far: differential kinematics ends at the joints' stops there.
        Of a policy that has learned nothing it is the whole action.
        """
        xp = namespace(sine)
        offset = self.joint_offset(sine, cosine, frames, *errors, finely=True)
        away = self._from_home(sine, cosine) * like(self._matters, sine)
        far = xp.amax(abs(away) / like(self._farthest, away), -1)[..., None]
        share = ((far - FAR) / (FARTHER - FAR)).clip(0.0, 1.0)
        share = share * share * (3.0 - 2.0 * share)
        fraction = (1.0 - share) * self._bounded(offset) - share * self._bounded(away)
        # torch writes no artanh to an ONNX file.
        return 0.5 * xp.log((1.0 + fraction) / (1.0 - fraction))

    def _from_home(self, sine: Any, cosine: Any) -> Any:
        """q − home [..., n] rad, of the positions q within the joint limits."""
        home, (low, high) = self.arm.home, self.arm.position_limit.T
        across = like(np.cos(home), sine) * sine - like(np.sin(home), sine) * cosine
        along = like(np.cos(home), sine) * cosine + like(np.sin(home), sine) * sine
        away = 2.0 * namespace(sine).arctan(across / (1.0 + along).clip(1e-6))
        # A joint whose home is not in its middle may be more than half a turn from it.
        above = 1.0 * (away > like(high - home + _SLACK, away))
        below = 1.0 * (away < like(low - home - _SLACK, away))
        return away + 2.0 * np.pi * (below - above)

    def _bounded(self, offset: Any) -> Any:
        """Velocities over their limits [..., n] that make up for offsets [..., n] rad."""
        wanted = offset / like(APPROACH_TIME * self.arm.velocity_limit, offset)
        fastest = namespace(offset).amax(abs(wanted), -1)[..., None]
        return wanted * (FASTEST_AIM / fastest.clip(FASTEST_AIM))

    @cached_property
    def _farthest(self) -> Array:
        """[n] rad, as far from home goals lead a joint, 0.3 or more."""
        if self.goal_spread is not None:
            return np.full(self.arm.joints, self.goal_spread)
        goals = np.random.default_rng(0).uniform(*self.goal_bounds(), (_GOALS, 3))
        position = np.tile(self.arm.home, (_GOALS, 1))
        for _ in range(_STEPS):
            sine, cosine = np.sin(position), np.cos(position)
            frames = self.arm.chain.frames(sine, cosine)
            missing = goals - frames.end_effector
            step = self.joint_offset(sine, cosine, frames, missing, finely=True)
            position = position + 0.5 * step.clip(-0.4, 0.4)
        reached = np.linalg.norm(missing, axis=-1) < 0.01
        if not reached.any():
            return np.ones(self.arm.joints)
        away = np.abs(position[reached] - self.arm.home)
        return np.maximum(np.percentile(away, 99.0, axis=0), 0.3)

    @cached_property
    def _matters(self) -> Array:
        """[n] 1.0 of a joint that moves what the goal is about, 0.0 of one that only turns it."""
        n = self.arm.joints
        if self.oriented:
            return np.ones(n)
        low, high = self.arm.position_limit.T
        drawn = np.random.default_rng(0).uniform(low, high, (_GOALS, n))
        jacobian = self.arm.chain.jacobian(self.arm.chain.frames_at(drawn))
        return np.where(np.abs(jacobian[:, :3]).max(axis=(0, 1)) > 0.01, 1.0, 0.0)
