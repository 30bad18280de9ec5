# SPDX-License-Identifier: Apache-2.0
"""A URDF of a chain that no one designed: skew axes, rotated frames, fixed joints between."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sac_ros.robots.arm import ArmModel

JOINTS = 4


def random_arm(directory: Path, seed: int) -> ArmModel:
    """An arm of `JOINTS` revolute joints whose frames, axes and inertial frames are random."""
    rng = np.random.default_rng(seed)
    kinds = ["fixed", "revolute", "revolute", "fixed", "revolute", "revolute", "fixed"]
    links = [_link(f"link_{i}", rng) for i in range(len(kinds) + 1)]
    joints = [_joint(i, kind, rng) for i, kind in enumerate(kinds)]
    path = directory / f"random_{seed}.urdf"
    path.write_text(f"<robot name='random'>{''.join(links + joints)}</robot>")
    names = tuple(f"joint_{i}" for i, kind in enumerate(kinds) if kind == "revolute")
    one = np.ones(JOINTS)
    return ArmModel(
        name="random",
        urdf=path,
        base_link="link_0",
        tip_link=f"link_{len(kinds)}",
        joint_names=names,
        position_limit=np.tile([-3.0, 3.0], (JOINTS, 1)),
        velocity_limit=one,
        torque_limit=one,
        action_scale=one,
        home=0.0 * one,
        goal_low=-np.ones(3),
        goal_high=np.ones(3),
    )


def _joint(index: int, kind: str, rng: np.random.Generator) -> str:
    return (
        f"<joint name='joint_{index}' type='{kind}'>"
        f"<parent link='link_{index}'/><child link='link_{index + 1}'/>"
        f"<origin xyz='{_numbers(rng.uniform(-0.4, 0.4, 3))}' "
        f"rpy='{_numbers(rng.uniform(-2.0, 2.0, 3))}'/>"
        # Of any length: the format wants unit axes, files in the wild have others.
        f"<axis xyz='{_numbers(rng.uniform(-1.0, 1.0, 3))}'/>"
        "<limit lower='-3' upper='3' effort='10' velocity='5'/></joint>"
    )


def _link(name: str, rng: np.random.Generator) -> str:
    return (
        f"<link name='{name}'><inertial><origin xyz='{_numbers(rng.uniform(-0.1, 0.1, 3))}'/>"
        f"<mass value='{rng.uniform(0.2, 3.0)!r}'/>"
        "<inertia ixx='0.1' iyy='0.1' izz='0.1' ixy='0' ixz='0' iyz='0'/>"
        "</inertial></link>"
    )


def _numbers(values: np.ndarray) -> str:
    return " ".join(repr(float(value)) for value in values)
