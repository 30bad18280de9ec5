# SPDX-License-Identifier: Apache-2.0
"""The parameters of the safety filter, and the per-joint limits that follow from a policy."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sac_ros.policy.spec import ArmModel, PolicySpec
from sac_ros.robots.dynamics import Bodies
from sac_ros.robots.kinematics import Chain
from sac_ros.utils.errors import ConfigurationError
from sac_ros.utils.settings import setting, validate

if TYPE_CHECKING:  # policy_node needs no reader of URDFs and YAMLs
    from sac_ros.robots.arm import Arm

Array = NDArray[np.float64]

BRAKE_TIME = 0.08  # s; states come every 50 ms or faster, or are stale: the stop is stable
LAG = 0.03  # s, from a state to the brake at work, the slew limit among it
STANDOFF = 0.03  # rad before a position limit, where a joint that moves towards it may only creep
_STOP_TIME, _PLACES = 0.1, 500  # s from a velocity limit to rest; configurations looked at
GRID = 0.05  # rad, over which M changes by some percent
_NO_MODEL = (
    "parameter {} needs a policy file with a model of the arm (arm_model), and this one has none"
)


@dataclass(frozen=True)
class SafetyConfig:
    """Settings of the safety filter; per-joint lists are in the policy's joint order."""

    watchdog_s: float = setting(
        0.05,
        "longest time without a joint state before the torque ramps down",
        above=0.0,
        maximum=0.5,
        unit="s",
    )
    slew_limit: float = setting(
        1000.0,  # Franka's own figure for each of its joints
        "largest torque rate of the strongest joint; weaker joints in proportion to their limits",
        above=0.0,
        maximum=1e5,
        unit="N·m/s",
    )
    torque_limit: tuple[float, ...] = setting(
        (),
        "largest torque of each joint, at most the policy's own limit; empty: the policy's",
        above=0.0,
        unit="N·m",
    )
    torque_scale: float = setting(
        1.0,
        "fraction of the policy's torque that is used, for commissioning",
        minimum=0.0,
        maximum=1.0,
        live=True,
    )
    safe_torque: tuple[float, ...] = setting(
        (), "torque of each joint to ramp to when stopped; empty: zero", unit="N·m"
    )
    soft_start_s: float = setting(
        1.0,
        "time of the blend from damping to the policy's torque",
        minimum=0.0,
        maximum=60.0,
        unit="s",
    )
    brake_limit: tuple[float, ...] = setting(
        (),
        "largest braking torque of each joint; empty: the policy's, and for a stop of the whole "
        "arm what its model asks for",
        above=0.0,
        unit="N·m",
    )
    goal_timeout_s: float = setting(
        0.0,
        "longest time without a new goal while one is followed; 0: no limit",
        minimum=0.0,
        maximum=3600.0,
        unit="s",
    )
    position_margin: float = setting(
        0.05,
        "distance to a position limit over which the torque towards it fades to zero",
        above=0.0,
        maximum=1.0,
        unit="rad",
    )
    over_speed_s: float = setting(
        0.2,
        "time over the velocity limit that counts as persistent",
        minimum=0.0,
        maximum=2.0,
        unit="s",
    )
    max_end_effector_speed: float = setting(
        0.0,
        "largest speed of the end effector, 0.25 in commissioning; 0: no limit",
        minimum=0.0,
        maximum=10.0,
        unit="m/s",
        live=True,
    )
    workspace_box: tuple[float, ...] = setting(
        (),
        "low x, y, z and high x, y, z in the policy's base frame, which the end effector must not "
        "leave; empty: no limit",
        minimum=-10.0,
        maximum=10.0,
        unit="m",
    )

    def __post_init__(self) -> None:
        validate(self)
        box = self.workspace_box
        if box and (len(box) != 6 or any(map(float.__ge__, box[:3], box[3:]))):
            raise ConfigurationError(
                "workspace_box must be six numbers, low x, y, z below high x, y, z; "
                f"got {list(box)}"
            )


@dataclass(frozen=True, slots=True)
class JointLimit:
    """One row of `JointLimits`."""

    low: float  # rad
    high: float  # rad
    velocity: float  # rad/s
    deceleration: float  # rad/s²


@dataclass(frozen=True, eq=False)
class JointLimits:
    """Limits and gains of n joints, as arrays in the policy's joint order.

    Attributes:
        joint_names: [n].
        torque: [n] N·m, the smaller of the policy's limit and the parameter's.
        slew: [n] N·m/s.
        position: [n, 2] rad.
        velocity: [n] rad/s.
        stop_damping: [n] N·m·s/rad, of a controlled stop where there is no mass matrix.
        brake: [n] N·m, the largest torque that brakes a joint alone, within the torque limit.
        stop: [n] N·m, the largest of a controlled stop, likewise: at least ``brake``, as joints
            also bear what the braking of others does to them.
        safe_torque: [n] N·m, within the torque limit.
        mass_matrix: M(q) [..., n, n] kg·m² of positions [..., n] rad; None where the policy file
            has no model of the arm.
        inverse_mass: M⁻¹ likewise, of the nearest point of a grid of 0.05 rad; None likewise.
        end_effector: its place [..., 3] m in the base frame and the Jacobian of that place
            [..., 3, n] m, of positions [..., n] rad; None likewise.
        max_end_effector_speed: m/s, infinite where there is no limit.
        workspace: [2, 3] m, the corners of the box for the end effector; None: no limit.
    """

    joint_names: tuple[str, ...]
    torque: Array
    slew: Array
    position: Array
    velocity: Array
    stop_damping: Array
    brake: Array
    stop: Array
    safe_torque: Array
    mass_matrix: Callable[[Array], Array] | None = None
    inverse_mass: Callable[[Array], Array] | None = None
    end_effector: Callable[[Array], tuple[Array, Array]] | None = None
    max_end_effector_speed: float = math.inf
    workspace: Array | None = None

    @property
    def bounds_end_effector(self) -> bool:
        """Whether the end effector has a limit of speed or place."""
        return self.max_end_effector_speed < math.inf or self.workspace is not None

    def with_max_end_effector_speed(self, value: float) -> JointLimits:
        """These limits with another ``max_end_effector_speed``, m/s; 0: no limit.

        Raises:
            ConfigurationError: there is no model of the arm.
        """
        if value and self.end_effector is None:
            raise ConfigurationError(_NO_MODEL.format("max_end_effector_speed"))
        return dataclasses.replace(self, max_end_effector_speed=value or math.inf)

    @cached_property
    def rows(self) -> list[JointLimit]:
        """The limits joint by joint, in plain numbers."""
        columns = *self.position.T, self.velocity, self.deceleration
        return [JointLimit(*map(float, row)) for row in zip(*columns, strict=True)]

    @property
    def deceleration(self) -> Array:
        """[n] rad/s², a quarter of what the brake limit is computed for: v_limit / 0.1 s."""
        return self.velocity / 0.4

    @classmethod
    def of(cls, spec: PolicySpec | Arm, config: SafetyConfig) -> JointLimits:
        """Derive the limits of the joints of a policy or of an arm.

        Raises:
            ConfigurationError: a per-joint parameter has another length than the policy's joints,
                or a safe torque is beyond the limit.
        """
        policy_limit = np.array(spec.torque_limit)
        torque = np.minimum(
            policy_limit, _per_joint("torque_limit", config.torque_limit, spec, np.inf)
        )
        safe_torque = _per_joint("safe_torque", config.safe_torque, spec, 0.0)
        if np.any(np.abs(safe_torque) > torque):
            raise ConfigurationError(
                f"parameter safe_torque must stay within ±{torque.tolist()} N·m; "
                f"got {safe_torque.tolist()}"
            )
        mass_matrix, end_effector = _model(spec)
        if config.workspace_box and end_effector is None:
            raise ConfigurationError(_NO_MODEL.format("workspace_box"))
        position, velocity = np.array(spec.position_limit), np.array(spec.velocity_limit)
        allowed = np.minimum(torque, _per_joint("brake_limit", config.brake_limit, spec, np.inf))
        brake = np.minimum(allowed, spec.brake_limit)
        stop = np.maximum(
            brake, np.minimum(0.5 * policy_limit, _stop(position, velocity, mass_matrix))
        )
        limits = cls(
            joint_names=spec.joint_names,
            torque=torque,
            slew=config.slew_limit * policy_limit / policy_limit.max(),
            position=position,
            velocity=velocity,
            stop_damping=np.array(spec.stop_damping),
            brake=brake,
            stop=np.minimum(allowed, stop),
            safe_torque=safe_torque,
            mass_matrix=mass_matrix,
            inverse_mass=mass_matrix and _inverse_on_a_grid(mass_matrix),
            end_effector=end_effector,
            workspace=np.reshape(config.workspace_box, (2, 3)) if config.workspace_box else None,
        )
        return limits.with_max_end_effector_speed(config.max_end_effector_speed)


def _model(
    spec: PolicySpec | Arm,
) -> tuple[Callable[[Array], Array] | None, Callable[[Array], tuple[Array, Array]] | None]:
    """Return `JointLimits.mass_matrix` and `JointLimits.end_effector`."""
    if not isinstance(spec, PolicySpec):
        chain, bodies, order = spec.chain, spec.bodies, list(range(spec.joints))
    elif spec.arm_model is None:
        return None, None
    else:
        chain, bodies = chain_and_bodies(spec.arm_model)
        order = [spec.joint_names.index(name) for name in spec.arm_model.joint_names]
    back = np.argsort(order)

    def mass_matrix(position: Array) -> Array:
        frames = chain.frames_at(position[..., order])
        matrix: Array = bodies.mass_matrix(chain, frames)[..., back, :][..., back]
        return matrix

    def end_effector(position: Array) -> tuple[Array, Array]:
        frames = chain.frames_at(position[..., order])
        return frames.end_effector, chain.jacobian(frames)[..., :3, back]

    return mass_matrix, end_effector


def _stop(
    position: Array, velocity: Array, mass_matrix: Callable[[Array], Array] | None
) -> Array | float:
    """[n] N·m that a stop from the velocity limits takes: max Σ_j |M_ij(q)| v_j / 0.1 s.

    The brake limit is that of a joint which moves alone, max M_ii v_i / 0.1 s. A wrist on an arm
    that brakes bears twenty times as much. 0 where there is no mass matrix.
    """
    if mass_matrix is None:
        return 0.0
    places = np.random.default_rng(0).uniform(
        position[:, 0], position[:, 1], (_PLACES, len(velocity))
    )
    return np.asarray((np.abs(mass_matrix(places)) @ velocity).max(axis=0) / _STOP_TIME)


def _inverse_on_a_grid(mass_matrix: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """Return `JointLimits.inverse_mass`: few states of a moving arm cost anything."""

    @lru_cache(maxsize=64)
    def at(point: bytes) -> Array:
        return np.asarray(np.linalg.inv(mass_matrix(GRID * np.frombuffer(point))))

    def inverse_mass(position: Array) -> Array:
        points = np.rint(position / GRID) + 0.0  # no −0
        if points.ndim == 1:
            return at(points.tobytes())
        return np.asarray(np.linalg.inv(mass_matrix(GRID * points)))

    return inverse_mass


def chain_and_bodies(model: ArmModel) -> tuple[Chain, Bodies]:
    """Return the kinematics and the masses of a policy file's model, in its joint order."""
    n = len(model.joint_names)
    chain = Chain(
        np.array(model.rotation).reshape(n, 3, 3),
        np.array(model.translation),
        np.array(model.axis),
        np.eye(3),
        np.array(model.end_effector),
    )
    return chain, Bodies(
        np.array(model.mass), np.array(model.centre), np.array(model.inertia).reshape(n, 3, 3)
    )


def _per_joint(
    name: str, values: tuple[float, ...], spec: PolicySpec | Arm, default: float
) -> Array:
    """Return a per-joint parameter as an array, or the default for every joint when empty."""
    if values and len(values) != spec.joints:
        raise ConfigurationError(
            f"parameter {name} must have one value for each of the policy's {spec.joints} joints "
            f"({', '.join(spec.joint_names)}); got {len(values)} values"
        )
    return np.array(values) if values else np.full(spec.joints, default)
