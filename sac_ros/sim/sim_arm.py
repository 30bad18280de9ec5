# SPDX-License-Identifier: Apache-2.0
"""One torque-controlled arm in one Bullet client."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sac_ros.robots.arm import ArmModel
from sac_ros.robots.dynamics import GRAVITY
from sac_ros.sim.bullet import connect, pybullet
from sac_ros.sim.gravity_mode import GRAVITY_MODES
from sac_ros.utils.errors import ConfigurationError

Array = NDArray[np.float64]

# Contacts shallower than this are Bullet's collision margin, not a collision.
_PENETRATION = -0.002  # m


class SimArm:
    """A fixed-base arm that takes joint torques, stepped at `timestep`.

    With gravity `external` the robot adds g(q) to the commanded torque, as the drivers of Franka,
    iiwa and UR do, so that zero torque stands still. It is simulated by switching gravity off,
    which is the same motion without an inverse-dynamics call per step. With gravity `none` the
    robot adds nothing, and the commanded torque must carry the arm.

    Links collide with each other, but not with the next two on either side: Bullet takes the
    convex hulls of their meshes, which overlap there where the real links do not touch.
    """

    def __init__(
        self,
        arm: ArmModel,
        *,
        gravity: str = "external",
        timestep: float = 0.002,
        gui: bool = False,
    ) -> None:
        """Loads `arm` into a Bullet client of its own.

        Args:
            arm: the arm to simulate.
            gravity: `external` or `none`, see the class.
            timestep: s, one physics step.
            gui: show Bullet's own window.

        Raises:
            ConfigurationError: unknown gravity mode.
        """
        if gravity not in GRAVITY_MODES:
            raise ConfigurationError(
                f"gravity must be one of {', '.join(GRAVITY_MODES)}; got {gravity!r}"
            )
        self.arm = arm
        self.gravity = gravity
        self.timestep = timestep
        self._lowest, self._highest = -arm.torque_limit, arm.torque_limit
        self.client = connect(gui)
        self.client.setTimeStep(timestep)
        self.client.setGravity(0.0, 0.0, 0.0 if gravity == "external" else -GRAVITY)
        self.body: int = self.client.loadURDF(
            str(arm.urdf),
            useFixedBase=True,
            flags=pybullet.URDF_USE_INERTIA_FROM_FILE
            | pybullet.URDF_USE_SELF_COLLISION
            | pybullet.URDF_USE_SELF_COLLISION_EXCLUDE_PARENT,
        )
        self._joints, self._tip = self._indices()
        client, body = self.client, self.body
        # pybullet itself, not the client's wrappers: with twenty calls a step it shows.
        number = self._number = client._client
        self._joint_states = partial(pybullet.getJointStates, body, self._joints, number)
        # By place: 0, no velocity; 1, with forward kinematics.
        self._tip_state = partial(pybullet.getLinkState, body, self._tip, 0, 1, number)
        self._let_close_links_pass()
        # Bullet holds every joint by a velocity motor until told otherwise.
        for joint in range(self.client.getNumJoints(self.body)):
            self.client.setJointMotorControl2(
                self.body, joint, pybullet.VELOCITY_CONTROL, force=0.0
            )
            self.client.changeDynamics(self.body, joint, linearDamping=0.0, angularDamping=0.0)
        self.reset(arm.home)

    def reset(self, position: ArrayLike, velocity: ArrayLike | None = None) -> None:
        """Places the arm at `position` [n] rad with `velocity` [n] rad/s (zero if left out)."""
        q = np.asarray(position, dtype=np.float64)
        v = np.zeros_like(q) if velocity is None else np.asarray(velocity, dtype=np.float64)
        for joint, angle, speed in zip(self._joints, q.tolist(), v.tolist(), strict=True):
            self.client.resetJointState(self.body, joint, angle, speed)

    def step(self, torque: ArrayLike, substeps: int = 1) -> Array:
        """Holds `torque` [n] N·m, clipped to the arm's limits, for `substeps` physics steps.

        Returns the torque [n] N·m that was held.
        """
        held: Array = np.minimum(np.maximum(torque, self._lowest), self._highest)
        self.hold(held.tolist(), substeps)
        return held

    def hold(self, forces: list[float], substeps: int) -> None:
        """Like `step`, but `forces` [n] N·m are known to be within the arm's limits."""
        set_torque, simulate = pybullet.setJointMotorControlArray, pybullet.stepSimulation
        body, joints, number, mode = self.body, self._joints, self._number, pybullet.TORQUE_CONTROL
        for _ in range(substeps):
            # Bullet forgets a torque after one step.
            set_torque(body, joints, mode, forces=forces, physicsClientId=number)
            simulate(number)

    def state(self) -> tuple[Array, Array]:
        """Joint positions [n] rad and velocities [n] rad/s."""
        states = self._joint_states()
        return np.array([s[0] for s in states]), np.array([s[1] for s in states])

    def tip_position(self) -> Array:
        """The tip's position [3] m in the base link's frame."""
        return np.array(self._tip_state()[4])

    def readings(self) -> list[float]:
        """Positions [n] rad, velocities [n] rad/s and the tip's position [3] m, in one row.

        One list, since numpy takes hardly longer for a row of all, of several arms even, than for
        a row of three.
        """
        positions, velocities, _, _ = zip(*self._joint_states(), strict=True)
        return [*positions, *velocities, *self._tip_state()[4]]

    def gravity_torque(self, position: ArrayLike) -> Array:
        """g(q) [n] N·m: what holds the arm still at `position` [n] rad against gravity."""
        q = np.asarray(position, dtype=np.float64).tolist()
        zero = [0.0] * len(q)
        self.client.setGravity(0.0, 0.0, -GRAVITY)
        torque = self.client.calculateInverseDynamics(self.body, q, zero, zero)
        if self.gravity == "external":
            self.client.setGravity(0.0, 0.0, 0.0)
        return np.array(torque)

    def collides_with_itself(self, position: ArrayLike) -> bool:
        """Whether links that may collide touch at `position` [n] rad; moves the arm there."""
        self.reset(position)
        self.client.performCollisionDetection()
        contacts = self.client.getContactPoints(self.body, self.body)
        return any(contact[8] < _PENETRATION for contact in contacts)

    def close(self) -> None:
        """Ends the Bullet client. Calling it twice does nothing."""
        if self.client.isConnected():
            self.client.disconnect()

    def _let_close_links_pass(self) -> None:
        """Neighbours are excluded by the loading flag; this excludes the links after next."""
        parents = {
            index: self.client.getJointInfo(self.body, index)[16]
            for index in range(self.client.getNumJoints(self.body))
        }
        for link, parent in parents.items():
            if parent in parents:
                self.client.setCollisionFilterPair(
                    self.body, self.body, link, parents[parent], enableCollision=0
                )

    def _indices(self) -> tuple[list[int], int]:
        by_joint, by_link = {}, {self.client.getBodyInfo(self.body)[0].decode(): -1}
        for index in range(self.client.getNumJoints(self.body)):
            info = self.client.getJointInfo(self.body, index)
            by_joint[info[1].decode()] = index
            by_link[info[12].decode()] = index
        return [by_joint[name] for name in self.arm.joint_names], by_link[self.arm.tip_link]
