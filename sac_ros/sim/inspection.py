# SPDX-License-Identifier: Apache-2.0
"""What an arm's description leads to: reach, collisions, time steps, engines that agree."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from sac_ros.robots.arm import Arm
from sac_ros.robots.defaults import inner_limits
from sac_ros.sim.backend import BACKENDS, Backend, make_backend
from sac_ros.sim.description import engine_description
from sac_ros.utils.errors import ConfigurationError

Array = NDArray[np.float64]

_POINTS = 200  # places in the goal box
_REACHED = 0.01  # m
_STARTS, _ITERATIONS = 12, 40  # of the inverse kinematics, per place
_DAMPING = 0.05  # m, of its least squares
_LONGEST_STEP = 0.5  # rad, of one iteration
_CONFIGURATIONS = 500  # for collisions
_COMPARED = 20  # configurations in which the engines are compared
_AGREES = 1e-6
_LONG = 20.0  # m
_SLOW = 0.1  # of a velocity limit
_MESHES = (".obj", ".stl", ".dae")


@dataclass(frozen=True, eq=False)
class Inspection:
    """What was measured.

    Attributes:
        reachable_fraction: of places drawn in the goal box, those within 1 cm of which some
            configuration has its end effector.
        touching: pairs of links that touch at home, and whose contact is ignored.
        collision_fraction: of random configurations, those in which links collide.
        collisions: the same for each pair, the most frequent first.
        without_shape: links without a shape that collides.
        inertia: [n] kg·m² that each joint has at home, 1 / (M⁻¹)_ii.
        damping_number: [n] c·dt / I at home; an explicit step is unstable above 2.
        explicit_timestep: s, the longest stable explicit step, min 2 I / c; None undamped.
        agreement: per engine the largest difference to the closed formulas: m of the end
            effector's place, and of the mass matrix and g(q) in parts of their largest entry.
    """

    reachable_fraction: float
    touching: list[tuple[str, str]]
    collision_fraction: float
    collisions: dict[str, float]
    without_shape: list[str]
    inertia: tuple[float, ...]
    damping_number: tuple[float, ...]
    explicit_timestep: float | None
    agreement: dict[str, dict[str, float]]
    refusals: list[str]

    def doubts(self, arm: Arm) -> list[str]:
        """Sentences on what is probably wrong with the arm."""
        found = [note for note in arm.notes if "impossible inertia" in note] + self.refusals
        found += [f"{joint} is too weak: {why}" for joint, why in _too_weak(arm).items()]
        reach = float(np.linalg.norm(arm.chain.translation, axis=-1).sum())
        if reach > _LONG:
            found.append(f"the arm is {reach:.3g} m long: a URDF has its lengths in metres")
        if self.reachable_fraction < 0.5:
            found.append(f"only {self.reachable_fraction:.0%} of the goal box can be reached")
        if self.touching:
            pairs = ", ".join(" and ".join(pair) for pair in self.touching)
            found.append(f"links touch at home, and their collisions are ignored: {pairs}")
        if self.collision_fraction > 0.5:
            found.append(f"{self.collision_fraction:.0%} of random configurations collide")
        for engine, differences in self.agreement.items():
            if max(differences.values()) > _AGREES:
                found.append(f"{engine} disagrees with the closed formulas: {differences}")
        return found


def inspect(arm: Arm, backend: Backend) -> Inspection:
    """Measures `arm`, which is in `backend`; bounded, some seconds."""
    rng = np.random.default_rng(0)
    low, high = inner_limits(arm.position_limit)
    pairs: Counter[str] = Counter()
    colliding = 0
    for position in rng.uniform(low, high, (_CONFIGURATIONS, arm.joints)):
        touching = {" and ".join(pair) for pair in backend.contacts(position)}
        pairs.update(touching)
        colliding += bool(touching)
    inertia = 1.0 / np.diag(np.linalg.inv(backend.mass_matrix(arm.home)))
    fastest = arm.damping / inertia  # 1/s
    agreement, refusals = _agreement(arm, rng)
    description = ElementTree.fromstring(engine_description(arm, arm.bodies, meshes=_MESHES))
    return Inspection(
        reachable_fraction=_reachable_fraction(arm, rng),
        touching=list(backend.touching),
        collision_fraction=colliding / _CONFIGURATIONS,
        collisions={pair: number / _CONFIGURATIONS for pair, number in pairs.most_common()},
        without_shape=[
            link.get("name", "")
            for link in description.findall("link")
            if link.find("collision") is None
        ],
        inertia=tuple(inertia.tolist()),
        damping_number=tuple((fastest * backend.timestep).tolist()),
        explicit_timestep=2.0 / float(fastest.max()) if fastest.any() else None,
        agreement=agreement,
        refusals=refusals,
    )


def _reachable_fraction(arm: Arm, rng: np.random.Generator) -> float:
    """By damped least squares, dq = Jᵀ (J Jᵀ + λ²)⁻¹ e, from several configurations."""
    low, high = inner_limits(arm.position_limit)
    missing = rng.uniform(arm.goal_low, arm.goal_high, (_POINTS, 3))
    for _ in range(_STARTS):
        q = rng.uniform(low, high, (len(missing), arm.joints))
        for _ in range(_ITERATIONS):
            frames = arm.chain.frames_at(q)
            jacobian = arm.chain.jacobian(frames)[:, :3]
            error = (missing - frames.end_effector)[..., None]
            square = jacobian @ jacobian.swapaxes(-1, -2) + _DAMPING**2 * np.eye(3)
            change = (jacobian.swapaxes(-1, -2) @ np.linalg.solve(square, error))[..., 0]
            q = np.clip(q + np.clip(change, -_LONGEST_STEP, _LONGEST_STEP), low, high)
        distance = np.linalg.norm(missing - arm.chain.forward(q), axis=-1)
        missing = missing[distance > _REACHED]
    return 1.0 - len(missing) / _POINTS


def _too_weak(arm: Arm) -> dict[str, str]:
    """Joints whose torque limit neither holds the arm at home nor moves it, with the reason."""
    gravity = np.abs(arm.gravity_torque(arm.home))
    slowest = arm.friction + _SLOW * arm.damping * arm.velocity_limit
    found = {}
    for index, joint in enumerate(arm.joint_names):
        limit = f"its torque limit is {arm.torque_limit[index]:.3g} N·m"
        if gravity[index] > arm.torque_limit[index]:
            found[joint] = f"{limit}, and at home it carries {gravity[index]:.3g} N·m"
        elif slowest[index] > arm.torque_limit[index]:
            found[joint] = f"{limit}, and friction takes that at {_SLOW:.0%} of its velocity limit"
    return found


def _agreement(
    arm: Arm, rng: np.random.Generator
) -> tuple[dict[str, dict[str, float]], list[str]]:
    """The largest differences of each engine that is installed, and why others refuse the arm."""
    found, refusals = {}, []
    for name in BACKENDS:
        if name == "mock":  # which has no formulas of its own
            continue
        try:
            backend = make_backend(name, arm, gravity=True)
        except ConfigurationError as error:
            if not isinstance(error.__cause__, ModuleNotFoundError):
                refusals.append(str(error))
            continue
        positions = rng.uniform(*inner_limits(arm.position_limit), (_COMPARED, arm.joints))
        found[name] = _differences(arm, backend, positions)
        backend.close()
    return found, refusals


def _differences(arm: Arm, backend: Backend, positions: Array) -> dict[str, float]:
    n = arm.joints
    found = {"end_effector_m": 0.0, "mass_matrix": 0.0, "gravity": 0.0}
    for q in positions:
        frames = arm.chain.frames_at(q)
        matrix = arm.bodies.mass_matrix(arm.chain, frames) + np.diag(arm.armature)
        gravity = arm.bodies.gravity_torque(arm.chain, frames)
        backend.reset(q)
        end_effector = np.array(backend.read()[2 * n : 2 * n + 3])
        for key, one, other, scale in (
            ("end_effector_m", end_effector, frames.end_effector, 1.0),
            ("mass_matrix", backend.mass_matrix(q), matrix, np.abs(matrix).max()),
            ("gravity", backend.gravity_torque(q), gravity, max(1.0, np.abs(gravity).max())),
        ):
            found[key] = max(found[key], float(np.abs(one - other).max() / scale))
    return found
