# SPDX-License-Identifier: Apache-2.0
"""Forward kinematics of a serial chain, vectorised over postures."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sac_ros.robots.arm import ArmModel
from sac_ros.robots.urdf import UrdfJoint, read_joints
from sac_ros.utils.errors import ConfigurationError

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class KinematicChain:
    """A serial chain of n revolute joints, from a base frame to a tip frame.

    Joint i turns by q_i about `axis[i]` in a frame that `rotation[i]`, `translation[i]` place in
    the frame before it; `tip_translation` then leads from the last joint to the tip:

        T_0..i(q) = T_0..i-1 · [rotation_i | translation_i] · exp(q_i [axis_i]×)

    (Lynch and Park, Modern Robotics, 2017, ch. 4.) Plain arrays, so that the exported graph can be
    built from the same numbers.

    Attributes:
        rotation: [n, 3, 3].
        translation: [n, 3] m.
        axis: [n, 3] unit vectors.
        tip_translation: [3] m.
    """

    rotation: Array
    translation: Array
    axis: Array
    tip_translation: Array

    @cached_property
    def axis_cross(self) -> Array:
        """[n, 3, 3] the matrices K with K·v = axis × v."""
        x, y, z = self.axis.T
        zero = np.zeros_like(x)
        rows = [[zero, -z, y], [z, zero, -x], [-y, x, zero]]
        return np.moveaxis(np.array(rows), -1, 0)

    def forward(self, position: ArrayLike) -> Array:
        """The tip's position in the base frame, [..., 3] m, for joint positions [..., n] rad."""
        return self.frame_positions(position)[..., -1, :]

    def frame_positions(self, position: ArrayLike) -> Array:
        """Origins of the n joint frames and of the tip, [..., n + 1, 3] m, in the base frame."""
        rotation, origin = self.frames(position)
        tip = origin[..., -1, :] + rotation[..., -1, :, :] @ self.tip_translation
        return np.concatenate([origin, tip[..., None, :]], axis=-2)

    def frames(self, position: ArrayLike) -> tuple[Array, Array]:
        """The n joint frames in the base frame: rotations [..., n, 3, 3], origins [..., n, 3] m.

        A joint's frame turns with the joint; its own axis in it does not move.
        """
        q = np.asarray(position, dtype=np.float64)
        turned = np.broadcast_to(np.eye(3), (*q.shape[:-1], 3, 3))
        origin = np.zeros((*q.shape[:-1], 3))
        rotations, origins = [], []
        for index, cross in enumerate(self.axis_cross):
            origin = origin + turned @ self.translation[index]
            sine = np.sin(q[..., index])[..., None, None]
            versine = 1.0 - np.cos(q[..., index])[..., None, None]
            # Rodrigues: exp(q K) = 1 + sin q · K + (1 - cos q) · K²
            spin = np.eye(3) + sine * cross + versine * (cross @ cross)
            turned = turned @ self.rotation[index] @ spin
            rotations.append(turned)
            origins.append(origin)
        return np.stack(rotations, axis=-3), np.stack(origins, axis=-2)


def chain_of(arm: ArmModel) -> KinematicChain:
    """The chain of `arm` from its base link to its tip link.

    Raises:
        ConfigurationError: no chain of the arm's own revolute joints leads from base to tip.
    """
    by_child = {joint.child: joint for joint in read_joints(arm.urdf).values()}
    path: list[UrdfJoint] = []
    link = arm.tip_link
    while link != arm.base_link:
        if link not in by_child:
            raise ConfigurationError(
                f"arm {arm.name}: no joints of {arm.urdf} lead from {arm.base_link!r} "
                f"to {arm.tip_link!r}"
            )
        path.insert(0, by_child[link])
        link = path[0].parent
    moving = tuple(joint.name for joint in path if joint.actuated)
    if moving != arm.joint_names or any(joint.kind == "prismatic" for joint in path):
        raise ConfigurationError(
            f"arm {arm.name}: joint_names must be the revolute joints from {arm.base_link!r} to "
            f"{arm.tip_link!r}, {', '.join(moving)}; got {', '.join(arm.joint_names)}"
        )
    return _fold(path)


def _fold(path: list[UrdfJoint]) -> KinematicChain:
    """Folds fixed joints into the moving joint that follows them, or into the tip."""
    rotations, translations, axes = [], [], []
    turned, moved = np.eye(3), np.zeros(3)
    for joint in path:
        moved = moved + turned @ np.array(joint.xyz)
        turned = turned @ rotation_of(joint.rpy)
        if joint.actuated:
            rotations.append(turned)
            translations.append(moved)
            axes.append(np.array(joint.axis) / np.linalg.norm(joint.axis))
            turned, moved = np.eye(3), np.zeros(3)
    return KinematicChain(
        rotation=np.array(rotations),
        translation=np.array(translations),
        axis=np.array(axes),
        tip_translation=moved,
    )


def rotation_of(rpy: tuple[float, ...]) -> Array:
    """[3, 3] Rz(yaw) · Ry(pitch) · Rx(roll), as URDF defines it."""
    (sr, sp, sy), (cr, cp, cy) = np.sin(rpy), np.cos(rpy)
    return np.array(
        [
            [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
            [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
            [-sp, cp * sr, cp * cr],
        ]
    )
