# SPDX-License-Identifier: Apache-2.0
"""What every physics engine does for an arm, and the engines by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sac_ros.robots.arm import Arm
from sac_ros.robots.dynamics import Bodies
from sac_ros.utils.errors import ConfigurationError
from sac_ros.utils.extras import MissingPackageError
from sac_ros.utils.settings import setting

Array = NDArray[np.float64]

BACKENDS = {
    "bullet": "sac_ros.sim.bullet:BulletBackend",
    "mujoco": "sac_ros.sim.mujoco:MujocoBackend",
    "mock": "sac_ros.sim.mock:MockBackend",
}
"""A backend is a class in a file of its own, and a line here."""

PHYSICS_RATE = 500  # Hz, physics steps per second
CLOSE = 2  # links that are up to so many joints apart never collide with each other


@dataclass(frozen=True, eq=False)
class JointProperties:
    """What resists the motion of n joints.

    Attributes:
        damping: [n] N·m·s/rad, viscous friction.
        friction: [n] N·m, Coulomb friction.
        armature: [n] kg·m², rotor inertia seen at the joint.
    """

    damping: Array
    friction: Array
    armature: Array

    @classmethod
    def of(cls, arm: Arm) -> JointProperties:
        """Those of `arm` as described."""
        return cls(arm.damping, arm.friction, arm.armature)


@dataclass(frozen=True)
class ArmSettings:
    """Which arm, and which engine moves it; launch files read them where there is none."""

    arm: str = setting(
        "iiwa",
        "the arm: a name in config/arms, the path of a .yaml or .urdf, or robot_description",
    )
    robot_description: str = setting(
        "", "a URDF's text, for arm:=robot_description; empty: of the topic robot_description"
    )
    base_link: str = setting("", "where the arm starts; empty: as in its YAML or URDF")
    tip_link: str = setting("", "the end effector; empty: as in its YAML or URDF")
    backend: str = setting("bullet", "the physics engine", choices=tuple(BACKENDS))


class Backend(ABC):
    """One fixed-base arm of n joints in a world of its own, moved by joint torques.

    The masses are those of `arm.bodies`: fixed links are part of the link that carries them.
    Links collide with each other, but not with the next two on either side, since hulls of meshes
    overlap there where the real links do not touch; nor do links that touch at home.

    Attributes:
        arm: what is simulated.
        timestep: s, one physics step.
        gravity: whether gravity pulls; switched off where the robot compensates it exactly, which
            is the same motion.
        touching: pairs of links that touch at home and are left out.
    """

    def __init__(self, arm: Arm, *, timestep: float = 1.0 / PHYSICS_RATE, gravity: bool) -> None:
        """Loads `arm` at its home."""
        self.arm = arm
        self.timestep = timestep
        self.gravity = gravity
        self.touching: list[tuple[str, str]] = []

    @abstractmethod
    def reset(self, position: ArrayLike, velocity: ArrayLike | None = None) -> None:
        """Places the arm at `position` [n] rad with `velocity` [n] rad/s (zero if left out)."""

    @abstractmethod
    def step(self, torque: Sequence[float], substeps: int) -> None:
        """Holds joint torques [n] N·m for `substeps` physics steps."""

    @abstractmethod
    def read(self) -> list[float]:
        """Positions [n] rad, velocities [n] rad/s, and the end effector's place [3] m and
        orientation [4] (quaternion x y z w) in the base frame, in one row.
        """

    @abstractmethod
    def set_properties(self, bodies: Bodies, joints: JointProperties) -> None:
        """Changes the masses and what resists the joints; the arm keeps its state."""

    @abstractmethod
    def contacts(self, position: ArrayLike) -> list[tuple[str, str]]:
        """The pairs of links that touch at `position` [n] rad; moves the arm there."""

    @abstractmethod
    def mass_matrix(self, position: ArrayLike) -> Array:
        """M(q) [n, n] kg·m², rotor inertia included, as the engine computes it."""

    @abstractmethod
    def gravity_torque(self, position: ArrayLike) -> Array:
        """g(q) [n] N·m, as the engine computes it."""

    def close(self) -> None:  # noqa: B027  not every engine has something to end
        """Ends the engine. Calling it twice does nothing."""


def make_backend(name: str, arm: Arm, **arguments: object) -> Backend:
    """The backend called `name`, with `arm` in it.

    Raises:
        ConfigurationError: no such backend, or its engine is not installed.
    """
    if name not in BACKENDS:
        raise ConfigurationError(f"backend must be one of {', '.join(BACKENDS)}; got {name!r}")
    module, _, kind = BACKENDS[name].partition(":")
    try:
        made: Backend = getattr(import_module(module), kind)(arm, **arguments)
    except ModuleNotFoundError as error:
        raise MissingPackageError.of(f"backend {name!r}", error) or error from error
    return made


def close_pairs(names: Sequence[str]) -> list[tuple[str, str]]:
    """The pairs of links, of all from the base on, that are up to `CLOSE` joints apart."""
    return [
        (names[i], names[j])
        for i in range(len(names))
        for j in range(i + 1, min(i + CLOSE, len(names) - 1) + 1)
    ]
