# SPDX-License-Identifier: Apache-2.0
"""An arm without an engine: every joint a mass of its own, for tests and for learning to read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sac_ros.robots.arm import Arm
from sac_ros.robots.dynamics import Bodies
from sac_ros.robots.kinematics import quaternion_of
from sac_ros.sim.backend import PHYSICS_RATE, Backend, JointProperties

Array = NDArray[np.float64]


class MockBackend(Backend):
    """n independent joints: q̈_i = τ_i / M_ii(home), no coupling, no stops, no collisions.

    Its end effector is where the arm's kinematics has it.
    """

    def __init__(
        self, arm: Arm, *, timestep: float = 1.0 / PHYSICS_RATE, gravity: bool = False
    ) -> None:
        super().__init__(arm, timestep=timestep, gravity=gravity)
        self.set_properties(arm.bodies, JointProperties.of(arm))
        self.reset(arm.home)

    def reset(self, position: ArrayLike, velocity: ArrayLike | None = None) -> None:
        self._position = np.array(position, dtype=np.float64)
        self._velocity = np.zeros(self.arm.joints)
        if velocity is not None:
            self._velocity += np.asarray(velocity, dtype=np.float64)

    def step(self, torque: Sequence[float], substeps: int) -> None:
        dt, inertia, damping = self.timestep, self._inertia, self._properties.damping
        for _ in range(substeps):
            pull = self.gravity_torque(self._position) if self.gravity else 0.0
            self._velocity = (inertia * self._velocity + dt * (np.array(torque) - pull)) / (
                inertia + dt * damping
            )
            self._position = self._position + dt * self._velocity

    def read(self) -> list[float]:
        frames = self.arm.chain.frames_at(self._position)
        return [
            *self._position,
            *self._velocity,
            *frames.end_effector,
            *quaternion_of(frames.end_effector_rotation),
        ]

    def set_properties(self, bodies: Bodies, joints: JointProperties) -> None:
        self._bodies, self._properties = bodies, joints
        self._inertia = np.diag(self.mass_matrix(self.arm.home)).copy()

    def contacts(self, position: ArrayLike) -> list[tuple[str, str]]:
        self.reset(position)
        return []

    def mass_matrix(self, position: ArrayLike) -> Array:
        frames = self.arm.chain.frames_at(position)
        matrix = self._bodies.mass_matrix(self.arm.chain, frames)
        return np.asarray(matrix + np.diag(self._properties.armature))

    def gravity_torque(self, position: ArrayLike) -> Array:
        frames = self.arm.chain.frames_at(position)
        return np.asarray(self._bodies.gravity_torque(self.arm.chain, frames))
