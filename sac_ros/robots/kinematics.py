# SPDX-License-Identifier: Apache-2.0
"""Forward kinematics and Jacobian of a serial chain, for numpy and torch arrays alike."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sac_ros.robots.urdf import UrdfJoint

Array = NDArray[np.float64]


def namespace(array: Any) -> Any:
    """The module whose functions take `array`: numpy or torch."""
    return sys.modules[type(array).__module__.partition(".")[0]]


def like(constant: Array, array: Any) -> Any:
    """A numpy constant as an array of the kind, precision and device of `array`."""
    if isinstance(array, np.ndarray):
        return constant.astype(array.dtype, copy=False)
    return namespace(array).asarray(constant, dtype=array.dtype, device=array.device)


def cross(a: Any, b: Any) -> Any:
    """a × b of vectors [..., 3]."""
    yzx, zxy = [1, 2, 0], [2, 0, 1]
    return a[..., yzx] * b[..., zxy] - a[..., zxy] * b[..., yzx]


class Frames(NamedTuple):
    """The frames of n joints, and of the end effector, in the base frame.

    A joint's frame turns with the joint; its own axis in it does not move.

    Attributes:
        rotation: [..., n, 3, 3].
        origin: [..., n, 3] m.
        end_effector_rotation: [..., 3, 3].
        end_effector: [..., 3] m.
    """

    rotation: Any
    origin: Any
    end_effector_rotation: Any
    end_effector: Any


@dataclass(frozen=True, eq=False)
class Chain:
    """A serial chain of n revolute joints, from a base frame to an end effector.

    Joint i turns by q_i about `axis[i]` in a frame that `rotation[i]`, `translation[i]` place in
    the frame before it; `end_effector_rotation`, `end_effector_translation` lead from the last
    joint to the end effector:

        T_0..i(q) = T_0..i-1 · [rotation_i | translation_i] · exp(q_i [axis_i]×)

    (Lynch and Park, Modern Robotics, 2017, ch. 4.)

    Attributes:
        rotation: [n, 3, 3].
        translation: [n, 3] m.
        axis: [n, 3] unit vectors.
        end_effector_rotation: [3, 3].
        end_effector_translation: [3] m.
    """

    rotation: Array
    translation: Array
    axis: Array
    end_effector_rotation: Array
    end_effector_translation: Array

    @classmethod
    def of(cls, path: Sequence[UrdfJoint]) -> Chain:
        """The chain of joints `path`; a fixed joint is folded into what follows it."""
        rotations, translations, axes = [], [], []
        turned, moved = np.eye(3), np.zeros(3)
        for joint in path:
            moved = moved + turned @ np.array(joint.xyz)
            turned = turned @ rotation_of(joint.rpy)
            if joint.moving:
                rotations.append(turned)
                translations.append(moved)
                axes.append(np.array(joint.axis) / np.linalg.norm(joint.axis))
                turned, moved = np.eye(3), np.zeros(3)
        return cls(np.array(rotations), np.array(translations), np.array(axes), turned, moved)

    @cached_property
    def _turns(self) -> tuple[Array, Array, Array]:
        """[n, 4, 4] each: what 1, sin q and 1 − cos q are multiplied with in `frames`."""
        skew = np.cross(self.axis[:, None, :], np.eye(3)).swapaxes(-1, -2)
        fixed, by_sine, by_versine = np.zeros((3, len(self.axis), 4, 4))
        fixed[:] = _transform(self.rotation, self.translation)
        by_sine[:, :3, :3] = self.rotation @ skew
        by_versine[:, :3, :3] = self.rotation @ skew @ skew
        return fixed, by_sine, by_versine

    @cached_property
    def _end_effector(self) -> Array:
        """[4, 4] from the last joint to the end effector."""
        return _transform(self.end_effector_rotation, self.end_effector_translation)

    def forward(self, position: ArrayLike) -> Array:
        """The end effector's position in the base frame, [..., 3] m, of positions [..., n] rad."""
        end_effector: Array = self.frames_at(position).end_effector
        return end_effector

    def frames_at(self, position: ArrayLike) -> Frames:
        """`frames` for joint positions [..., n] rad in numpy."""
        q = np.asarray(position, dtype=np.float64)
        return self.frames(np.sin(q), np.cos(q))

    def frames(self, sine: Any, cosine: Any) -> Frames:
        """The frames for sin q and cos q [..., n], numpy or torch.

        Rodrigues' formula: exp(q K) = 1 + sin q · K + (1 − cos q) · K², with K·v = axis × v.
        """
        fixed, by_sine, by_versine = (like(each, sine) for each in self._turns)
        s, versine = sine[..., None, None], 1.0 - cosine[..., None, None]
        local = fixed + s * by_sine + versine * by_versine
        placed = [local[..., 0, :, :]]
        for joint in range(1, len(self.axis)):
            placed.append(placed[-1] @ local[..., joint, :, :])
        joints = namespace(sine).stack(placed, -3)
        end = placed[-1] @ like(self._end_effector, sine)
        return Frames(joints[..., :3, :3], joints[..., :3, 3], end[..., :3, :3], end[..., :3, 3])

    def axes(self, frames: Frames) -> Any:
        """The joint axes z_i in the base frame, [..., n, 3]."""
        return (frames.rotation @ like(self.axis, frames.rotation)[..., None])[..., 0]

    def jacobian(self, frames: Frames) -> Any:
        """The end effector's geometric Jacobian, [..., 6, n]: linear velocity above angular.

            J_i = [z_i × (x − o_i); z_i]    (Lynch and Park 2017, ch. 5)

        with z_i the axis and o_i the origin of joint i, and x the end effector.
        """
        z = self.axes(frames)
        linear = cross(z, frames.end_effector[..., None, :] - frames.origin)
        return namespace(z).concatenate((linear, z), -1).swapaxes(-1, -2)


def _transform(rotation: Array, translation: Array) -> Array:
    """[..., 4, 4] homogeneous, of a rotation [..., 3, 3] and a translation [..., 3] m."""
    matrix = np.zeros((*rotation.shape[:-2], 4, 4))
    matrix[..., :3, :3], matrix[..., :3, 3], matrix[..., 3, 3] = rotation, translation, 1.0
    return matrix


def solve(matrix: Any, right: Any) -> Any:
    """x [..., m] of A x = b for positive definite A [..., m, m] and b [..., m], numpy or torch.

    Gauss-Jordan elimination, whose steps any ONNX runtime has; such an A needs no pivoting.
    """
    rows = namespace(matrix).concatenate((matrix, right[..., None]), -1)
    for pivot in range(matrix.shape[-1]):
        row = rows[..., pivot, :] / rows[..., pivot, pivot, None]
        # The pivot's own row becomes `row`: its factor is one less.
        one = like(np.eye(matrix.shape[-1])[pivot], matrix)
        factor = rows[..., :, pivot] - one
        rows = rows - factor[..., None] * row[..., None, :]
    return rows[..., -1]


def rotation_of(rpy: Sequence[float]) -> Array:
    """[3, 3] Rz(yaw) · Ry(pitch) · Rx(roll) of rpy [3] rad, as URDF defines it."""
    (sr, sp, sy), (cr, cp, cy) = np.sin(rpy), np.cos(rpy)
    return np.array(
        [
            [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
            [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
            [-sp, cp * sr, cp * cr],
        ]
    )


def _outer_to_rotation() -> Array:
    """[16, 9]: what makes a rotation matrix, row by row, of q qᵀ, row by row."""
    x, y, z, w = range(4)
    entries = [  # (row and column of the matrix, two of the quaternion, factor)
        *[(3 * i + i, (j, j), 1.0 if j in (i, w) else -1.0) for i in range(3) for j in range(4)],
        *[(1, (x, y), 2.0), (1, (z, w), -2.0), (3, (x, y), 2.0), (3, (z, w), 2.0)],
        *[(2, (x, z), 2.0), (2, (y, w), 2.0), (6, (x, z), 2.0), (6, (y, w), -2.0)],
        *[(5, (y, z), 2.0), (5, (x, w), -2.0), (7, (y, z), 2.0), (7, (x, w), 2.0)],
    ]
    matrix = np.zeros((16, 9))
    for column, (i, j), factor in entries:
        matrix[4 * i + j, column] = factor
    return matrix


_OUTER_TO_ROTATION = _outer_to_rotation()


def rotation_from_quaternion(quaternion: Any) -> Any:
    """[..., 3, 3] of unit quaternions x y z w [..., 4], numpy or torch: linear in q qᵀ."""
    outer = quaternion[..., :, None] * quaternion[..., None, :]
    batch = quaternion.shape[:-1]
    flat = outer.reshape(*batch, 16) @ like(_OUTER_TO_ROTATION, quaternion)
    return flat.reshape(*batch, 3, 3)


def quaternion_of(rotation: Array) -> Array:
    """[4] x y z w of a rotation [3, 3]: a row of 4 q qᵀ, which is linear in the rotation."""
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = rotation
    outer = np.array(
        [
            [1 + xx - yy - zz, xy + yx, xz + zx, zy - yz],
            [xy + yx, 1 - xx + yy - zz, yz + zy, xz - zx],
            [xz + zx, yz + zy, 1 - xx - yy + zz, yx - xy],
            [zy - yz, xz - zx, yx - xy, 1 + xx + yy + zz],
        ]
    )
    row: Array = outer[np.argmax(np.diag(outer))]  # the largest one is the most exact
    return row / np.linalg.norm(row)


def rpy_of(rotation: Array) -> Array:
    """[3] rad roll, pitch and yaw of a rotation [3, 3]: the inverse of `rotation_of`."""
    pitch = np.arctan2(-rotation[2, 0], np.hypot(rotation[0, 0], rotation[1, 0]))
    if np.hypot(rotation[0, 0], rotation[1, 0]) < 1e-9:  # roll and yaw turn about one axis
        return np.array([np.arctan2(-rotation[1, 2], rotation[1, 1]), pitch, 0.0])
    roll = np.arctan2(rotation[2, 1], rotation[2, 2])
    return np.array([roll, pitch, np.arctan2(rotation[1, 0], rotation[0, 0])])
