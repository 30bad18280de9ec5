# SPDX-License-Identifier: Apache-2.0
"""What an error of torque means to the arm: gravity held twice or not at all, and acceleration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from sac_ros.bags.columns import Array, blocks
from sac_ros.policy.safety_config import JointLimits, SafetyConfig, chain_and_bodies
from sac_ros.policy.spec import PolicySpec

MOST = 4000
"""States that are enough: their mass matrices take a second."""

_EXPLAINED = 0.5  # of the RMSE: more is left of another error than of a missing g(q)
_AT_ONCE = 256  # states whose mass matrices are held at a time
_PRESENT = 0.01  # of the RMS of g(q): a smaller error has no gravity in it


@dataclass(frozen=True)
class GravityFigures:
    """Whether policy and recording hold the same gravity torque g(q)."""

    rmse: Annotated[float, "of the policy's torque, N·m, all joints."]
    rmse_added: Annotated[float, "of the policy's torque plus g(q), N·m."]
    rmse_removed: Annotated[float, "of the policy's torque less g(q), N·m."]
    mismatch: Annotated[str | None, "who alone holds g(q), ``recorded`` or ``policy``; or None."]


@dataclass(frozen=True)
class EffectFigures:
    """What the error e of the torques, acting alone, does to the arm at rest: q̈ = M(q)⁻¹ e."""

    states: Annotated[int, "from which it is computed, evenly chosen."]
    joint_rmse: Annotated[tuple[float, ...], "[n] √(mean q̈²), rad/s²."]
    joint_p95: Annotated[tuple[float, ...], "[n] 95th percentile of |q̈|, rad/s²."]
    end_effector_rmse: Annotated[float, "√(mean |J M⁻¹ e|²), m/s²."]
    end_effector_p95: Annotated[float, "95th percentile of |J M⁻¹ e|, m/s²."]


def gravity_of(spec: PolicySpec) -> Callable[[Array], Array] | None:
    """Return g(q) [m, n] N·m of positions [m, n] rad; None without a model of the arm."""
    if spec.arm_model is None:
        return None
    chain, bodies = chain_and_bodies(spec.arm_model)
    order = [spec.joint_names.index(name) for name in spec.arm_model.joint_names]
    back = np.argsort(order)

    def gravity(position: Array) -> Array:
        torque = bodies.gravity_torque(chain, chain.frames_at(position[..., order]))
        return np.asarray(torque[..., back])

    return gravity


def gravity_figures(error: NDArray[np.floating], gravity: Array) -> GravityFigures:
    """Return whether g(q) [c, n] N·m explains an error [c, n] N·m, policy minus recorded."""
    size = _rms(gravity)
    rmse, added, removed = (_rms(each) for each in (error, error + gravity, error - gravity))
    mismatch = None
    if rmse > _PRESENT * size and min(added, removed) < _EXPLAINED * rmse:
        mismatch = "recorded" if added < removed else "policy"
    return GravityFigures(rmse, added, removed, mismatch)


def effect_figures(
    error: NDArray[np.floating], position: Array, spec: PolicySpec
) -> EffectFigures | None:
    """Return what errors [c, n] N·m do at positions [c, n] rad; None without a model of the arm.

    The motors' own inertia is in no model, so that a geared joint accelerates less.
    """
    limits = JointLimits.of(spec, SafetyConfig())
    if limits.mass_matrix is None or limits.end_effector is None or not len(error):
        return None
    size, end_effector = np.empty(error.shape), np.empty(len(error))
    for part in blocks(len(error), _AT_ONCE):
        each = np.asarray(error[part], dtype=np.float64)[..., np.newaxis]
        joint = np.linalg.solve(limits.mass_matrix(position[part]), each)
        moved = limits.end_effector(position[part])[1] @ joint
        size[part], end_effector[part] = (
            np.abs(joint[..., 0]),
            np.linalg.norm(moved[..., 0], axis=1),
        )
    return EffectFigures(
        states=len(error),
        joint_rmse=tuple(np.sqrt((size**2).mean(axis=0)).tolist()),
        joint_p95=tuple(np.quantile(size, 0.95, axis=0).tolist()),
        end_effector_rmse=_rms(end_effector),
        end_effector_p95=float(np.quantile(end_effector, 0.95)),
    )


def _rms(values: NDArray[np.floating]) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))
