# SPDX-License-Identifier: Apache-2.0
"""What the safety filter may be told, and the per-joint limits that follow from a policy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sac_ros.policy.spec import PolicySpec
from sac_ros.robots.dynamics import Bodies
from sac_ros.robots.kinematics import Chain
from sac_ros.utils.errors import ConfigurationError
from sac_ros.utils.settings import setting, validate

if TYPE_CHECKING:  # policy_node needs no reader of URDFs and YAMLs
    from sac_ros.robots.arm import Arm

Array = NDArray[np.float64]


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
        "share of the policy's torque that is used, for commissioning",
        minimum=0.0,
        maximum=1.0,
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
        "largest braking torque of each joint, at most the policy's own; empty: the policy's",
        above=0.0,
        unit="N·m",
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

    def __post_init__(self) -> None:
        validate(self)


@dataclass(frozen=True)
class JointLimits:
    """Limits and gains of n joints, as arrays in the policy's joint order.

    Attributes:
        joint_names: [n].
        torque: [n] N·m, the smaller of the policy's limit and the parameter's.
        slew: [n] N·m/s.
        position: [n, 2] rad.
        velocity: [n] rad/s.
        stop_damping: [n] N·m·s/rad, of a controlled stop where there is no mass matrix.
        brake: [n] N·m, the largest torque that brakes, within the torque limit.
        safe_torque: [n] N·m, within the torque limit.
        mass_matrix: M(q) [..., n, n] kg·m² of positions [..., n] rad; None where the policy file
            has no model of the arm.
    """

    joint_names: tuple[str, ...]
    torque: Array
    slew: Array
    position: Array
    velocity: Array
    stop_damping: Array
    brake: Array
    safe_torque: Array
    mass_matrix: Callable[[Array], Array] | None = None

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
        return cls(
            joint_names=spec.joint_names,
            torque=torque,
            slew=config.slew_limit * policy_limit / policy_limit.max(),
            position=np.array(spec.position_limit),
            velocity=np.array(spec.velocity_limit),
            stop_damping=np.array(spec.stop_damping),
            brake=np.minimum.reduce(
                [
                    torque,
                    spec.brake_limit,
                    _per_joint("brake_limit", config.brake_limit, spec, np.inf),
                ]
            ),
            safe_torque=safe_torque,
            mass_matrix=_mass_matrix(spec),
        )


def _mass_matrix(spec: PolicySpec | Arm) -> Callable[[Array], Array] | None:
    if not isinstance(spec, PolicySpec):
        arm = spec
        return lambda position: np.asarray(
            arm.bodies.mass_matrix(arm.chain, arm.chain.frames_at(position))
        )
    if spec.arm_model is None:
        return None
    model, n = spec.arm_model, spec.joints
    chain = Chain(
        np.array(model.rotation).reshape(n, 3, 3),
        np.array(model.translation),
        np.array(model.axis),
        np.eye(3),
        np.zeros(3),
    )
    bodies = Bodies(
        np.array(model.mass), np.array(model.centre), np.array(model.inertia).reshape(n, 3, 3)
    )
    to_chain = [spec.joint_names.index(name) for name in model.joint_names]
    back = np.argsort(to_chain)

    def mass_matrix(position: Array) -> Array:
        frames = chain.frames_at(position[..., to_chain])
        matrix: Array = bodies.mass_matrix(chain, frames)[..., back, :][..., back]
        return matrix

    return mass_matrix


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
