# SPDX-License-Identifier: Apache-2.0
"""The arm in MuJoCo."""

from __future__ import annotations

from collections.abc import Sequence

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

from sac_ros.robots.arm import Arm
from sac_ros.robots.dynamics import GRAVITY, Bodies
from sac_ros.sim.backend import PHYSICS_RATE, Backend, JointProperties, close_pairs
from sac_ros.sim.description import engine_description, link_names
from sac_ros.utils.errors import ConfigurationError

Array = NDArray[np.float64]

MESHES = (".obj", ".stl")
_PENETRATION = -0.002  # m, as in Bullet
_TIP = "end_effector"


class MujocoBackend(Backend):
    """A fixed-base arm in a MuJoCo model of its own.

    MuJoCo's Euler step takes joint damping implicitly, (M + dt·c) v⁺ = M v + dt (τ − h), and has
    rotor inertia and Coulomb friction of its own.
    """

    def __init__(
        self, arm: Arm, *, timestep: float = 1.0 / PHYSICS_RATE, gravity: bool = False
    ) -> None:
        super().__init__(arm, timestep=timestep, gravity=gravity)
        self._names = link_names(arm)
        self._load([])
        self.touching = sorted(set(self.contacts(arm.home)))
        if self.touching:
            self._load(self.touching)
        self.set_properties(arm.bodies, JointProperties.of(arm))
        self.reset(arm.home)

    def reset(self, position: ArrayLike, velocity: ArrayLike | None = None) -> None:
        mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[:] = position
        if velocity is not None:
            self.data.qvel[:] = velocity
        mujoco.mj_kinematics(self.model, self.data)

    def step(self, torque: Sequence[float], substeps: int) -> None:
        self.data.qfrc_applied[:] = torque
        mujoco.mj_step(self.model, self.data, substeps)
        # The end effector's place is that of the state before the last step until then.
        mujoco.mj_kinematics(self.model, self.data)

    def read(self) -> list[float]:
        data = self.data
        mujoco.mju_mat2Quat(self._quaternion, data.site_xmat[0])
        w, x, y, z = self._quaternion.tolist()
        return [*data.qpos.tolist(), *data.qvel.tolist(), *data.site_xpos[0].tolist(), x, y, z, w]

    def set_properties(self, bodies: Bodies, joints: JointProperties) -> None:
        model = self.model
        for index, body in enumerate(self._bodies):
            moments, axes = np.linalg.eigh(bodies.inertia[index])
            axes = axes * np.sign(np.linalg.det(axes))
            model.body_mass[body] = bodies.mass[index]
            model.body_ipos[body] = bodies.centre[index]
            model.body_inertia[body] = moments
            mujoco.mju_mat2Quat(model.body_iquat[body], axes.ravel())
        model.dof_damping[:] = joints.damping
        model.dof_frictionloss[:] = joints.friction
        model.dof_armature[:] = joints.armature
        # Friction holds, and stops a joint within a step: MuJoCo's own lets it creep, and by its
        # 20 ms pushes on what damping would stop.
        model.dof_solref[:] = [2.0 * self.timestep, 1.0]
        model.dof_solimp[:, :2] = 0.9999
        position, velocity = self.data.qpos.copy(), self.data.qvel.copy()
        mujoco.mj_setConst(model, self.data)  # what MuJoCo derives from them
        self.reset(position, velocity)

    def contacts(self, position: ArrayLike) -> list[tuple[str, str]]:
        self.reset(position)
        mujoco.mj_forward(self.model, self.data)
        found = []
        for contact in self.data.contact[: self.data.ncon]:
            if contact.dist < _PENETRATION:
                one, other = sorted(self.model.geom_bodyid[list(contact.geom)])
                found.append((self._name(one), self._name(other)))
        return found

    def mass_matrix(self, position: ArrayLike) -> Array:
        self.reset(position)
        mujoco.mj_forward(self.model, self.data)
        matrix = np.zeros((self.arm.joints, self.arm.joints))
        mujoco.mj_fullM(self.model, self.data, matrix)
        return matrix

    def gravity_torque(self, position: ArrayLike) -> Array:
        self.reset(position)
        self.model.opt.gravity[2] = -GRAVITY
        mujoco.mj_forward(self.model, self.data)
        torque: Array = self.data.qfrc_bias.copy()
        self.model.opt.gravity[2] = -GRAVITY if self.gravity else 0.0
        return torque

    def _load(self, touching: Sequence[tuple[str, str]]) -> None:
        description = engine_description(self.arm, self.arm.bodies, meshes=MESHES).replace(
            "</robot>",
            '<mujoco><compiler fusestatic="false" strippath="false" discardvisual="false"/>'
            "</mujoco></robot>",
        )
        try:
            self._compile(description, touching)
        except ValueError as error:
            raise ConfigurationError(
                f"MuJoCo refuses the arm {self.arm.name}: {' '.join(str(error).split())}"
            ) from error
        self.data = mujoco.MjData(self.model)
        self._bodies = [self.model.body(name).id for name in self._names[1:]]
        self._quaternion = np.zeros(4)

    def _compile(self, description: str, touching: Sequence[tuple[str, str]]) -> None:
        spec = mujoco.MjSpec.from_string(description)
        spec.option.timestep = self.timestep
        spec.option.integrator = mujoco.mjtIntegrator.mjINT_EULER
        spec.option.gravity = [0.0, 0.0, -GRAVITY if self.gravity else 0.0]
        bodies = {body.name: body for body in spec.bodies}
        for one, other in [*close_pairs(self._names), *touching]:
            spec.add_exclude(
                bodyname1=self._body(one, bodies), bodyname2=self._body(other, bodies)
            )
        last, chain = bodies[self._names[-1]], self.arm.chain
        quaternion = np.zeros(4)
        mujoco.mju_mat2Quat(quaternion, chain.end_effector_rotation.ravel())
        last.add_site(name=_TIP, pos=chain.end_effector_translation, quat=quaternion)
        self.model = spec.compile()

    def _body(self, name: str, bodies: dict[str, mujoco.MjsBody]) -> str:
        return name if name in bodies else "world"  # MuJoCo's reader merges the base into it

    def _name(self, body: int) -> str:
        return self._names[0] if body not in self._bodies else self.model.body(body).name
