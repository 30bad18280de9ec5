# SPDX-License-Identifier: Apache-2.0
"""What the safety filter may be told, and the per-joint limits that follow from a policy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sac_ros.policy.spec import PolicySpec
from sac_ros.utils.errors import ConfigurationError
from sac_ros.utils.settings import setting, validate

Array = NDArray[np.float64]


@dataclass(frozen=True)
class SafetyConfig:
    """Settings of the safety filter; per-joint lists are in the policy's joint order."""

    watchdog_s: float = setting(
        0.05,
        "longest time without a joint state before the torque ramps down",
        above=0.0,
        unit="s",
    )
    slew_limit: float = setting(
        1000.0,  # Franka's own figure for each of its joints
        "largest torque rate of the strongest joint; weaker joints in proportion to their limits",
        above=0.0,
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
        1.0, "time of the blend from damping to the policy's torque", minimum=0.0, unit="s"
    )
    damping: float = setting(
        0.5,
        "damping torque at a joint's velocity limit, as a share of the policy's action scale",
        minimum=0.0,
    )
    position_margin: float = setting(
        0.05,
        "distance to a position limit over which the torque towards it fades to zero",
        above=0.0,
        unit="rad",
    )
    over_speed_s: float = setting(
        0.2, "time over the velocity limit that counts as persistent", minimum=0.0, unit="s"
    )

    def __post_init__(self) -> None:
        validate(self)


@dataclass(frozen=True)
class JointLimits:
    """Limits and gains of n joints, as arrays in the policy's joint order.

    Attributes:
        torque: [n] N·m, the smaller of the policy's limit and the parameter's.
        slew: [n] N·m/s.
        position: [n, 2] rad.
        velocity: [n] rad/s.
        damping: [n] N·m·s/rad, k_d of the damping torque −k_d · q̇.
        brake: [n] N·m, against a joint that is over its velocity limit.
        safe_torque: [n] N·m, within the torque limit.
    """

    torque: Array
    slew: Array
    position: Array
    velocity: Array
    damping: Array
    brake: Array
    safe_torque: Array

    @classmethod
    def of(cls, spec: PolicySpec, config: SafetyConfig) -> JointLimits:
        """Derive the limits of a policy's joints.

        The damping gain follows the action scale, which carries the arm's inertia: a gain from
        the torque limit would make light wrist joints oscillate at ordinary state rates.

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
        velocity = np.array(spec.velocity_limit)
        return cls(
            torque=torque,
            slew=config.slew_limit * policy_limit / policy_limit.max(),
            position=np.array(spec.position_limit),
            velocity=velocity,
            damping=config.damping * np.array(spec.action_scale) / velocity,
            # What accelerates a joint is also enough to slow it down.
            brake=np.minimum(torque, np.array(spec.action_scale)),
            safe_torque=safe_torque,
        )


def _per_joint(name: str, values: tuple[float, ...], spec: PolicySpec, default: float) -> Array:
    """Return a per-joint parameter as an array, or the default for every joint when empty."""
    if values and len(values) != spec.joints:
        raise ConfigurationError(
            f"parameter {name} must have one value for each of the policy's {spec.joints} joints "
            f"({', '.join(spec.joint_names)}); got {len(values)} values"
        )
    return np.array(values) if values else np.full(spec.joints, default)
