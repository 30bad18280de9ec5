# SPDX-License-Identifier: Apache-2.0
"""The torque that holds a serial chain against gravity, from the masses in its URDF."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sac_ros.robots.arm import ArmModel
from sac_ros.robots.kinematics import KinematicChain, chain_of, rotation_of
from sac_ros.robots.urdf import UrdfJoint, UrdfMass, read_joints, read_masses
from sac_ros.utils.errors import ConfigurationError

Array = NDArray[np.float64]

GRAVITY = 9.81  # m/s², standard value that robot drivers compensate


@dataclass(frozen=True, eq=False)
class GravityModel:
    """A serial chain of n joints and what each of them carries; the base frame's z points up.

    With o_i the origin, z_i the axis of joint i, M_i the mass and S_i the sum of mass times
    position of everything that joint i moves, in the base frame:

        g_i(q) = ∂U/∂q_i = γ · [z_i × (S_i − M_i · o_i)]_z,   γ = 9.81 m/s²

    Plain arrays, so that the exported graph can be built from the same numbers.

    Attributes:
        chain: the kinematics.
        mass: [n] kg, of the links between joint i and joint i + 1.
        moment: [n, 3] kg·m, their mass times centre of mass, in the frame of joint i.
    """

    chain: KinematicChain
    mass: Array
    moment: Array

    def torque(self, position: ArrayLike) -> Array:
        """g(q) [..., n] N·m for joint positions [..., n] rad."""
        rotation, origin = self.chain.frames(position)
        own = self.mass[:, None] * origin + (rotation @ self.moment[:, :, None])[..., 0]
        carried = _sum_to_the_tip(own, axis=-2)
        arm = carried - _sum_to_the_tip(self.mass, axis=-1)[:, None] * origin
        axis = (rotation @ self.chain.axis[:, :, None])[..., 0]
        torque: Array = GRAVITY * (axis[..., 0] * arm[..., 1] - axis[..., 1] * arm[..., 0])
        return torque


def gravity_of(arm: ArmModel) -> GravityModel:
    """What gravity does to `arm`, tools and all other links behind fixed joints included.

    Raises:
        ConfigurationError: the arm is no serial chain, another joint of its URDF moves, or a link
            that moves has no mass in it.
    """
    chain = chain_of(arm)
    above = {joint.child: joint for joint in read_joints(arm.urdf).values()}
    mass, moment = np.zeros(arm.joints), np.zeros((arm.joints, 3))
    for link, weight in read_masses(arm.urdf).items():
        mover, rotation, translation = _mover(link, above)
        if mover is None:
            continue
        _check(arm, link, weight, mover)
        assert weight is not None
        index = arm.joint_names.index(mover.name)
        mass[index] += weight.mass
        moment[index] += weight.mass * (translation + rotation @ np.array(weight.centre))
    return GravityModel(chain, mass, moment)


def _sum_to_the_tip(values: Array, axis: int) -> Array:
    """Along joints: each becomes the sum of itself and all that follow it."""
    return np.flip(np.cumsum(np.flip(values, axis), axis), axis)


def _mover(link: str, above: dict[str, UrdfJoint]) -> tuple[UrdfJoint | None, Array, Array]:
    """The joint that moves a link, and the link's rotation [3, 3] and place [3] m in its frame."""
    rotation, translation = np.eye(3), np.zeros(3)
    while link in above:
        joint = above[link]
        if joint.actuated:
            return joint, rotation, translation
        fixed = rotation_of(joint.rpy)
        rotation, translation = fixed @ rotation, np.array(joint.xyz) + fixed @ translation
        link = joint.parent
    return None, rotation, translation


def _check(arm: ArmModel, link: str, weight: UrdfMass | None, mover: UrdfJoint) -> None:
    if mover.name not in arm.joint_names:
        raise ConfigurationError(
            f"arm {arm.name}: the joint {mover.name!r} of {arm.urdf} moves, but is none of its "
            f"joint_names ({', '.join(arm.joint_names)}): make it a fixed one"
        )
    if weight is None:
        raise ConfigurationError(
            f"arm {arm.name}: the link {link!r} of {arm.urdf} has no <inertial>, for which "
            "Bullet takes 1 kg: give it the mass that it has"
        )
