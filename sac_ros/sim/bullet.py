# SPDX-License-Identifier: Apache-2.0
"""The arm in Bullet."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sac_ros.robots.arm import Arm
from sac_ros.robots.dynamics import GRAVITY, Bodies
from sac_ros.robots.kinematics import rpy_of
from sac_ros.sim.backend import PHYSICS_RATE, Backend, JointProperties, close_pairs
from sac_ros.sim.description import engine_description, link_names
from sac_ros.utils.errors import ConfigurationError

Array = NDArray[np.float64]

MESHES = (".obj", ".stl", ".dae")
_PENETRATION = -0.002  # m; contacts shallower than this are Bullet's collision margin


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """Points the process's stdout and stderr to nowhere, below Python's own streams.

    Bullet's greetings are written by C++ to a stdout that belongs to `--json`.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    saved = [os.dup(1), os.dup(2)]
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 1)
        os.dup2(null, 2)
        yield
    finally:
        for stream, copied in enumerate(saved, start=1):
            os.dup2(copied, stream)
            os.close(copied)
        os.close(null)


with _silenced():
    import pybullet
    from pybullet_utils.bullet_client import BulletClient

__all__ = ["BulletBackend", "BulletClient", "connect", "load", "pybullet"]


def connect(gui: bool = False) -> BulletClient:
    """A Bullet client of its own, with Bullet's window if `gui`.

    Raises:
        ConfigurationError: a window is asked for where none can open.
    """
    if gui:
        # Bullet ends the whole process where no window opens, so another one tries first.
        trial = "import pybullet; pybullet.connect(pybullet.GUI)"
        done = subprocess.run([sys.executable, "-c", trial], capture_output=True, check=False)
        if done.returncode != 0:
            raise ConfigurationError(
                "a window needs a display, and none can be opened here "
                f"(DISPLAY={os.environ.get('DISPLAY', '')!r}): use render_mode 'rgb_array'"
            )
    with _silenced():
        return BulletClient(pybullet.GUI if gui else pybullet.DIRECT)


def load(client: BulletClient, description: str, flags: int = 0) -> int:
    """Loads a URDF's text as a fixed body; returns its number.

    Raises:
        ConfigurationError: Bullet refuses it.
    """
    with tempfile.TemporaryDirectory() as directory, _silenced():
        path = Path(directory, "arm.urdf")
        path.write_text(description, encoding="utf-8")
        try:
            body: int = client.loadURDF(str(path), useFixedBase=True, flags=flags)
        except pybullet.error as error:
            raise ConfigurationError(f"Bullet refuses the arm: {error}") from error
    return body


class BulletBackend(Backend):
    """A fixed-base arm in a Bullet client of its own.

    Bullet integrates a joint's damping c explicitly, v⁺ = v + (τ − c v) dt / I, which is unstable
    where c·dt / I > 2 and wrong long before. The implicit step of the same joint is

        v⁺ = (I v + τ dt) / (I + c dt) = v + s (τ − c v) dt / I,   s = I / (I + c dt)

    so damping, friction and torque of each joint are scaled by s, with I = 1 / (M⁻¹)_ii at home,
    the inertia that the joint has. s is 1 for a shoulder and matters for a wrist.

    Bullet has no rotor inertia A. Where there is one, each step's torque is replaced by the one
    that makes Bullet's own M move as M + A, damping implicit as in MuJoCo:

        τ_b = M q̈ + h,   q̈ = (M + A + c dt)⁻¹ (τ − c q̇ − h),   h(q, q̇) = Coriolis and gravity

    and friction, which Bullet lets act on M, is scaled by the diagonal of M (M + A + c dt)⁻¹.
    """

    def __init__(
        self, arm: Arm, *, timestep: float = 1.0 / PHYSICS_RATE, gravity: bool = False
    ) -> None:
        super().__init__(arm, timestep=timestep, gravity=gravity)
        self.client = connect()
        self._joints = list(range(arm.joints))
        self._bodies = arm.bodies
        chain = arm.chain
        rpy = rpy_of(chain.end_effector_rotation).tolist()
        offset = (chain.end_effector_translation.tolist(), pybullet.getQuaternionFromEuler(rpy))
        self._offset = None if offset == ([0.0] * 3, (0.0, 0.0, 0.0, 1.0)) else offset
        self._load()
        self._set_joints(JointProperties.of(arm))
        self.touching = sorted(set(self.contacts(arm.home)))
        self._exclude(self.touching)
        self.reset(arm.home)

    def reset(self, position: ArrayLike, velocity: ArrayLike | None = None) -> None:
        q = np.asarray(position, dtype=np.float64)
        v = np.zeros_like(q) if velocity is None else np.asarray(velocity, dtype=np.float64)
        for joint, angle, speed in zip(self._joints, q.tolist(), v.tolist(), strict=True):
            self.client.resetJointState(self.body, joint, angle, speed)

    def step(self, torque: Sequence[float], substeps: int) -> None:
        # pybullet itself, not the client's wrappers: with twenty calls a step it shows.
        set_torque, simulate = pybullet.setJointMotorControlArray, pybullet.stepSimulation
        body, joints, number, mode = self.body, self._joints, self._number, pybullet.TORQUE_CONTROL
        if self._exact is not None:
            for _ in range(substeps):
                forces = self._forces_with_armature(torque)
                set_torque(body, joints, mode, forces=forces, physicsClientId=number)
                simulate(number)
            return
        if self._scaled:
            torque = self._scaled_forces(torque)
        for _ in range(substeps):
            # Bullet forgets a torque after one step.
            set_torque(body, joints, mode, forces=torque, physicsClientId=number)
            simulate(number)

    def read(self) -> list[float]:
        positions, velocities, _, _ = zip(*self._joint_states(), strict=True)
        state = self._last_state()
        if self._offset is None:
            return [*positions, *velocities, *state[4], *state[5]]
        place, turn = pybullet.multiplyTransforms(state[4], state[5], *self._offset)
        return [*positions, *velocities, *place, *turn]

    def set_properties(self, bodies: Bodies, joints: JointProperties) -> None:
        if bodies is not self._bodies:  # Bullet cannot move a centre of mass: another body
            state = np.array(self.read())
            self._bodies = bodies
            self._load()
            self._exclude(self.touching)
            n = self.arm.joints
            self.reset(state[:n], state[n : 2 * n])
        self._set_joints(joints)

    def contacts(self, position: ArrayLike) -> list[tuple[str, str]]:
        self.reset(position)
        self.client.performCollisionDetection()
        names = link_names(self.arm)
        return [
            (names[min(contact[3:5]) + 1], names[max(contact[3:5]) + 1])
            for contact in self.client.getContactPoints(self.body, self.body)
            if contact[8] < _PENETRATION
        ]

    def mass_matrix(self, position: ArrayLike) -> Array:
        q = np.asarray(position, dtype=np.float64).tolist()
        matrix = np.array(self.client.calculateMassMatrix(self.body, q))
        return matrix + np.diag(self._properties.armature)

    def gravity_torque(self, position: ArrayLike) -> Array:
        q = np.asarray(position, dtype=np.float64).tolist()
        zero = [0.0] * len(q)
        self.client.setGravity(0.0, 0.0, -GRAVITY)
        torque = self.client.calculateInverseDynamics(self.body, q, zero, zero)
        self.client.setGravity(0.0, 0.0, -GRAVITY if self.gravity else 0.0)
        return np.array(torque)

    def close(self) -> None:
        if self.client.isConnected():
            self.client.disconnect()

    def _load(self) -> None:
        # Not `removeBody`: Bullet goes on to compute with the removed body's masses.
        self.client.resetSimulation()
        self.client.setTimeStep(self.timestep)
        self.client.setGravity(0.0, 0.0, -GRAVITY if self.gravity else 0.0)
        description = engine_description(self.arm, self._bodies, meshes=MESHES)
        self.body = load(
            self.client,
            description,
            pybullet.URDF_USE_INERTIA_FROM_FILE | pybullet.URDF_USE_SELF_COLLISION,
        )
        number = self._number = self.client._client
        with _silenced():  # Bullet warns of an axis that is not unit to seven digits
            self.client.calculateMassMatrix(self.body, [0.0] * self.arm.joints)
        self._joint_states = partial(pybullet.getJointStates, self.body, self._joints, number)
        # By place: 0, no velocity; 1, with forward kinematics.
        last = self._joints[-1]
        self._last_state = partial(pybullet.getLinkState, self.body, last, 0, 1, number)
        for joint in self._joints:
            self.client.changeDynamics(self.body, joint, linearDamping=0.0, angularDamping=0.0)
        self._exclude(close_pairs(link_names(self.arm)))

    def _exclude(self, pairs: Sequence[tuple[str, str]]) -> None:
        number = {name: index - 1 for index, name in enumerate(link_names(self.arm))}
        for one, other in pairs:
            self.client.setCollisionFilterPair(
                self.body, self.body, number[one], number[other], enableCollision=0
            )

    def _set_joints(self, joints: JointProperties) -> None:
        self._properties = joints
        mass_matrix = self.mass_matrix(self.arm.home)
        inertia = 1.0 / np.diag(np.linalg.inv(mass_matrix))
        scale = inertia / (inertia + joints.damping * self.timestep)
        friction = scale * joints.friction
        exact = bool(np.any(joints.armature > 0.0))
        self._scaled = bool(np.any(scale < 1.0 - 1e-6))
        self._scale = scale.tolist()
        self._exact = np.diag(joints.armature + joints.damping * self.timestep) if exact else None
        if self._exact is not None:
            bare = mass_matrix - np.diag(joints.armature)
            share = np.diag(bare @ np.linalg.inv(bare + self._exact))
            friction = share * joints.friction
        for joint in self._joints:
            damping = 0.0 if exact else float(scale[joint] * joints.damping[joint])
            self.client.changeDynamics(self.body, joint, jointDamping=damping)
            # Bullet holds every joint by a velocity motor; with a bounded force it is friction.
            self.client.setJointMotorControl2(
                self.body,
                joint,
                pybullet.VELOCITY_CONTROL,
                targetVelocity=0.0,
                force=float(friction[joint]),
            )

    def _scaled_forces(self, torque: Sequence[float]) -> list[float]:
        forces = [s * t for s, t in zip(self._scale, torque, strict=True)]
        if self.gravity:  # which Bullet does not scale: what is missing is s τ + (1 − s) g(q)
            frames = self.arm.chain.frames_at([s[0] for s in self._joint_states()])
            held = self._bodies.gravity_torque(self.arm.chain, frames)
            forces = [f + (1.0 - s) * g for f, s, g in zip(forces, self._scale, held, strict=True)]
        return forces

    def _forces_with_armature(self, torque: Sequence[float]) -> list[float]:
        states: list[Any] = self._joint_states()
        q, v = [s[0] for s in states], [s[1] for s in states]
        zero = [0.0] * len(q)
        client, number = pybullet, self._number
        h = np.array(
            client.calculateInverseDynamics(self.body, q, v, zero, physicsClientId=number)
        )
        matrix = np.array(client.calculateMassMatrix(self.body, q, physicsClientId=number))
        drive = np.array(torque) - self._properties.damping * np.array(v) - h
        forces: list[float] = (matrix @ np.linalg.solve(matrix + self._exact, drive) + h).tolist()
        return forces
