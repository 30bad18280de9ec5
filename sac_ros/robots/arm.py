# SPDX-License-Identifier: Apache-2.0
"""What is known of an arm: its URDF, its joints, their limits and its place to reach."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pybullet_data
import yaml
from numpy.typing import NDArray

from sac_ros.robots.urdf import UrdfJoint, read_joints
from sac_ros.utils.errors import ConfigurationError
from sac_ros.utils.package_share import share_path

Array = NDArray[np.float64]

_PYBULLET_PREFIX = "pybullet_data/"


@dataclass(frozen=True, eq=False)
class ArmModel:
    """An arm as `config/arms/NAME.yaml` describes it. n joints, SI units, radians.

    Attributes:
        name: the name that parameters take, such as `iiwa`.
        urdf: the robot's description.
        base_link: frame of goals and tip positions.
        tip_link: link whose origin reaches for the goal.
        joint_names: the n actuated joints; their order is the order of every array.
        position_limit: [n, 2] lower and upper limit, rad, from the URDF.
        velocity_limit: [n] rad/s.
        torque_limit: [n] N·m, never above the URDF's effort limit.
        action_scale: [n] N·m at action 1.
        home: [n] rad, the posture a simulated robot starts in.
        goal_low: [3] m, lower corner of the goal box in `base_link`.
        goal_high: [3] m, upper corner of it.
    """

    name: str
    urdf: Path
    base_link: str
    tip_link: str
    joint_names: tuple[str, ...]
    position_limit: Array
    velocity_limit: Array
    torque_limit: Array
    action_scale: Array
    home: Array
    goal_low: Array
    goal_high: Array

    @property
    def joints(self) -> int:
        """The number of actuated joints, n."""
        return len(self.joint_names)


def arm_names() -> list[str]:
    """The names that `load_arm` takes: one per file in `config/arms/`."""
    return sorted(path.stem for path in share_path("config", "arms").glob("*.yaml"))


def load_arm(name: str) -> ArmModel:
    """The arm described by `config/arms/NAME.yaml`.

    Raises:
        ConfigurationError: there is no such arm, or its file has a missing, unknown or bad key.
    """
    valid = arm_names()
    if name not in valid:
        raise ConfigurationError(f"arm must be one of {', '.join(valid)}; got {name!r}")
    path = share_path("config", "arms", f"{name}.yaml")
    with path.open(encoding="utf-8") as file:
        keys = yaml.safe_load(file)
    return _arm_from(name, keys, path)


def _arm_from(name: str, keys: Mapping[str, Any], source: Path) -> ArmModel:
    expected = {field.name for field in fields(ArmModel)} - {"name", "position_limit"}
    for key in sorted(expected ^ set(keys)):
        problem = "is missing" if key in expected else "is not known"
        raise ConfigurationError(
            f"{source}: the key {key!r} {problem}; an arm has {', '.join(sorted(expected))}"
        )
    urdf = _urdf_path(keys["urdf"])
    names = tuple(keys["joint_names"])
    described = read_joints(urdf)
    for joint in names:
        if joint not in described:
            raise ConfigurationError(
                f"{source}: joint_names has {joint!r}, which {urdf} does not; "
                f"it has {', '.join(described)}"
            )
    lists = {
        key: _vector(source, key, keys[key], size)
        for key, size in {
            "velocity_limit": len(names),
            "torque_limit": len(names),
            "action_scale": len(names),
            "home": len(names),
            "goal_low": 3,
            "goal_high": 3,
        }.items()
    }
    arm = ArmModel(
        name=name,
        urdf=urdf,
        base_link=keys["base_link"],
        tip_link=keys["tip_link"],
        joint_names=names,
        position_limit=np.array([described[joint].position_limit for joint in names]),
        **lists,
    )
    _check_limits(arm, [described[joint] for joint in names], source)
    return arm


def _urdf_path(text: str) -> Path:
    if text.startswith(_PYBULLET_PREFIX):
        return Path(pybullet_data.getDataPath()) / text.removeprefix(_PYBULLET_PREFIX)
    return share_path("urdf", text)


def _vector(source: Path, key: str, value: Any, size: int) -> Array:
    try:
        vector = np.array(value, dtype=np.float64)
    except (TypeError, ValueError):
        vector = np.empty(0)
    if vector.shape != (size,) or not np.all(np.isfinite(vector)):
        raise ConfigurationError(f"{source}: {key} must be {size} finite numbers; got {value!r}")
    return vector


def _check_limits(arm: ArmModel, described: list[UrdfJoint], source: Path) -> None:
    for index, joint in enumerate(described):
        torque, scale = arm.torque_limit[index], arm.action_scale[index]
        low, high = arm.position_limit[index]
        if not 0.0 < torque <= joint.effort_limit:
            raise ConfigurationError(
                f"{source}: torque_limit of {joint.name} must be above 0 and at most the URDF's "
                f"{joint.effort_limit} N·m; got {torque}"
            )
        if not 0.0 < scale <= torque:
            raise ConfigurationError(
                f"{source}: action_scale of {joint.name} must be above 0 and at most its "
                f"torque_limit {torque} N·m; got {scale}"
            )
        if not arm.velocity_limit[index] > 0.0:
            raise ConfigurationError(
                f"{source}: velocity_limit of {joint.name} must be above 0 rad/s; "
                f"got {arm.velocity_limit[index]}"
            )
        if not low <= arm.home[index] <= high:
            raise ConfigurationError(
                f"{source}: home of {joint.name} must lie in the URDF's [{low}, {high}] rad; "
                f"got {arm.home[index]}"
            )
    if not np.all(arm.goal_low < arm.goal_high):
        raise ConfigurationError(
            f"{source}: goal_low must be below goal_high in x, y and z; "
            f"got {arm.goal_low.tolist()} and {arm.goal_high.tolist()}"
        )
