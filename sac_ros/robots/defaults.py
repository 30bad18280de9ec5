# SPDX-License-Identifier: Apache-2.0
"""What an arm's YAML leaves out, computed from its URDF: scales, home, place to reach."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sac_ros.robots.dynamics import Bodies
from sac_ros.robots.kinematics import Chain, Frames
from sac_ros.utils.errors import ConfigurationError

Array = NDArray[np.float64]

LIMIT_FRACTION = 0.95  # of each joint's range, so that no configuration leans on a stop
TABLE_CLEARANCE = 0.05  # m, of every joint frame above the plane that the base stands on
STRETCHED = 0.95  # of its reach: further an arm is nearly singular
ACCELERATION_TIME = 0.3  # s, from rest to the velocity limit at action 1
CONTROL_PERIOD = 0.02  # s, of the usual 50 Hz
STOP_TIME = 0.3  # s, in which a stop by damping takes the speed to 1/e of what it was
BRAKE_TIME = 0.1  # s, from the velocity limit to rest at the brake limit
_SAMPLES = 2000
_HOME_FRACTION = 0.75  # of each joint's range, where a home may be
_FRONT = np.pi / 3  # rad, half the sector in which the goals are


@dataclass(frozen=True, eq=False)
class Defaults:
    """Derived values of an arm of n joints, from configurations drawn over its joint limits.

    The draws are the same every time, so an arm has the same defaults on every machine.

    Attributes:
        chain: the kinematics.
        bodies: the masses.
        position_limit: [n, 2] rad.
        source: where the arm came from, for the errors.
    """

    chain: Chain
    bodies: Bodies
    position_limit: Array
    source: str

    @cached_property
    def positions(self) -> Array:
        """[samples, n] rad, uniform over `LIMIT_FRACTION` of the joint ranges."""
        low, high = inner_limits(self.position_limit)
        return np.random.default_rng(0).uniform(low, high, (_SAMPLES, len(low)))

    @cached_property
    def frames(self) -> Frames:
        """The frames of `positions`."""
        return self.chain.frames_at(self.positions)

    @cached_property
    def mass_matrix(self) -> Array:
        """[samples / 2, n, n] kg·m², at half of the positions."""
        frames = self.chain.frames_at(self.positions[::2])
        return np.asarray(self.bodies.mass_matrix(self.chain, frames))

    @property
    def joint_inertia(self) -> Array:
        """[samples / 2, n] kg·m², the diagonal of the mass matrix."""
        return np.asarray(np.diagonal(self.mass_matrix, axis1=-2, axis2=-1))

    def action_scale(
        self, velocity_limit: Array, damping: Array, friction: Array, torque_limit: Array
    ) -> Array:
        """[n] N·m at action 1: what takes a joint from rest to its velocity limit in 0.3 s.

            mean diag M(q) · v_max / 0.3 s + damping · v_max + friction, at most the torque limit

        More torque only overshoots the velocity limit, and less reaches it late.
        """
        inertia = self.joint_inertia.mean(axis=0)
        scale = (inertia / ACCELERATION_TIME + damping) * velocity_limit + friction
        return np.minimum(scale, torque_limit)

    def control_damping(self) -> Array:
        """[n] N·m·s/rad that a policy's torque adds: half the stop damping.

        At most Λ / 2T, with T = 20 ms and Λ = 1 / (M⁻¹)_ii, the inertia that the joint itself
        has, in all but one of 100 configurations: in a control period it then takes at most
        half of the velocity. Λ is far below M_ii where two axes align, and a torque that is held
        so long shakes the joint there.
        """
        inverse = np.linalg.inv(self.mass_matrix)
        felt = np.percentile(1.0 / np.diagonal(inverse, axis1=-2, axis2=-1), 1.0, axis=0)
        return np.minimum(0.5 * self.stop_damping(), 0.5 * felt / CONTROL_PERIOD)

    def stop_damping(self) -> Array:
        """[n] N·m·s/rad of a controlled stop: mean diag M(q) / 0.3 s."""
        return self.joint_inertia.mean(axis=0) / STOP_TIME

    def brake_limit(self, velocity_limit: Array, torque_limit: Array) -> Array:
        """[n] N·m, the most that a stop may brake with: max diag M(q) · v_max / 0.1 s.

        At most half of the torque limit, so that a wrong reading never asks for all of it.
        """
        wanted = self.joint_inertia.max(axis=0) * velocity_limit / BRAKE_TIME
        return np.minimum(wanted, 0.5 * torque_limit)

    def home(self) -> Array:
        """[n] rad: a dexterous configuration with the end effector in front, off the table.

        Of draws within 2 rad of the joints' zeros (of the middle, where a range has no zero)
        those whose frames are above the table, whose far frames keep a distance, and whose end
        effector is in front at a middle height and distance; of these the one with the most

            √det(J Jᵀ) / max − mean |q − zero|     (Yoshikawa 1985)

        Raises:
            ConfigurationError: there is none.
        """
        low, high = self.position_limit.T
        middle, half = (low + high) / 2, 0.5 * _HOME_FRACTION * (high - low)
        zero = np.where(np.abs(middle) < half, 0.0, middle)
        positions = np.random.default_rng(1).uniform(
            np.maximum(middle - half, zero - 2.0), np.minimum(middle + half, zero + 2.0),
            (4 * _SAMPLES, len(low)),
        )  # fmt: skip
        frames = self.chain.frames_at(positions)
        ahead, aside, up = frames.end_effector.T / self._reach
        good = (
            above_table(frames)
            & _spread(frames, 0.1 * self._reach)
            & ((ahead > 0.4) & (ahead < 0.75) & (np.abs(aside) < 0.15) & (up > 0.2) & (up < 0.75))
        )
        if not good.any():
            raise ConfigurationError(
                f"{self.source}: no home was found with the end effector in front of the base and "
                "above z = 0; give `home` in a YAML"
            )
        jacobian = self.chain.jacobian(frames)[good][:, :3]
        dexterity = np.sqrt(np.linalg.det(jacobian @ jacobian.swapaxes(-1, -2)).clip(min=0.0))
        away = np.abs(positions[good] - zero).mean(axis=-1)
        score = dexterity / max(float(dexterity.max()), 1e-12) - away
        return np.asarray(positions[good][np.argmax(score)].round(2))

    def goal_box(self, home: Array) -> tuple[Array, Array]:
        """[3], [3] m: lower and upper corner of the box that goals are drawn in.

        It holds the middle of the end effector's places above the table, in the sector of 60° to
        either side of where home points: between their 15th and 85th percentile, or closer
        percentiles, down to the 44th and 56th, until its corners are within 95 % of the reach
        from the second joint. A stretched arm hardly controls its end effector along itself.

        Raises:
            ConfigurationError: the arm has hardly any such places.
        """
        end_effector = self.frames.end_effector
        ahead = self.chain.forward(home)[:2]
        ahead = ahead / max(float(np.linalg.norm(ahead)), 1e-9)
        radius = np.linalg.norm(end_effector[:, :2], axis=-1)
        inside = above_table(self.frames) & (end_effector[:, :2] @ ahead > np.cos(_FRONT) * radius)
        if inside.sum() < 50:
            raise ConfigurationError(
                f"{self.source}: the end effector is above z = 0 and in front in only "
                f"{inside.mean():.1%} of the configurations; give `goal_low` and `goal_high`"
            )
        shoulder = self.frames.origin[:, min(1, len(home) - 1)]
        reach = np.linalg.norm(end_effector - shoulder, axis=-1).max()
        for percentile in range(15, 45):
            low, high = np.percentile(
                end_effector[inside], (percentile, 100 - percentile), axis=0
            ).round(3)
            corners = np.stack(np.meshgrid(*zip(low, high, strict=True)), axis=-1)
            away = corners - shoulder[inside].mean(axis=0)
            if np.linalg.norm(away, axis=-1).max() <= STRETCHED * reach:
                break
        return low, high

    @property
    def _reach(self) -> float:
        """m, the largest distance of the end effector from the first joint's axis in the plane."""
        end_effector: Array = self.frames.end_effector
        return float(np.percentile(np.linalg.norm(end_effector[:, :2], axis=-1), 99.0))


def above_table(frames: Frames) -> NDArray[np.bool_]:
    """[...] whether every frame after the first is `TABLE_CLEARANCE` above the table or more."""
    heights = np.concatenate((frames.origin[..., 1:, 2], frames.end_effector[..., 2:]), axis=-1)
    return np.asarray(np.all(heights >= TABLE_CLEARANCE, axis=-1))


def _spread(frames: Frames, distance: float) -> NDArray[np.bool_]:
    """[samples] whether frames three or more joints apart are `distance`, m, apart or more.

    Half of their largest distance is enough: the frames of a wrist are never far apart.
    """
    places = np.concatenate((frames.origin, frames.end_effector[:, None]), axis=1)
    apart = np.linalg.norm(places[:, :, None] - places[:, None], axis=-1)
    far = apart[:, np.triu(np.ones(apart.shape[1:], dtype=bool), k=3)]
    return np.asarray(np.all(far >= np.minimum(distance, 0.5 * far.max(axis=0)), axis=-1))


def inner_limits(position_limit: Array) -> tuple[Array, Array]:
    """[n], [n] rad: `LIMIT_FRACTION` of each joint's range [n, 2], about its middle."""
    middle = position_limit.mean(axis=1)
    half = LIMIT_FRACTION * (position_limit[:, 1] - middle)
    return middle - half, middle + half
