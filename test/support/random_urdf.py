# SPDX-License-Identifier: Apache-2.0
"""A URDF of a chain that no one designed: skew axes, rotated frames, fixed joints between."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sac_ros.robots.arm import Arm, load_arm

JOINTS = 4
_KINDS = ["fixed", "revolute", "revolute", "fixed", "revolute", "revolute", "fixed"]


def random_arm(directory: Path, seed: int, extra: str = "") -> Arm:
    """An arm of `JOINTS` revolute joints whose frames, axes and inertial frames are random.

    `extra` is put behind its last link, `link_7`.
    """
    rng = np.random.default_rng(seed)
    links = [_link(f"link_{i}", rng) for i in range(len(_KINDS) + 1)]
    joints = [_joint(i, kind, rng) for i, kind in enumerate(_KINDS)]
    urdf = directory / f"random_{seed}.urdf"
    urdf.write_text(f"<robot name='random'>{''.join(links + joints)}{extra}</robot>")
    arm = directory / f"random_{seed}.yaml"
    arm.write_text(
        f"urdf: {urdf.name}\nbase_link: link_0\ntip_link: link_{len(_KINDS)}\n"
        f"home: {[0.0] * JOINTS}\ngoal_low: [-1, -1, -1]\ngoal_high: [1, 1, 1]\n"
    )
    return load_arm(str(arm))


def _joint(index: int, kind: str, rng: np.random.Generator) -> str:
    # Not quite of length one: the format wants unit axes, files in the wild have others.
    axis = rng.normal(size=3)
    axis *= rng.uniform(0.6, 1.8) / np.linalg.norm(axis)
    return (
        f"<joint name='joint_{index}' type='{kind}'>"
        f"<parent link='link_{index}'/><child link='link_{index + 1}'/>"
        f"<origin xyz='{_numbers(rng.uniform(-0.4, 0.4, 3))}' "
        f"rpy='{_numbers(rng.uniform(-2.0, 2.0, 3))}'/>"
        f"<axis xyz='{_numbers(axis)}'/>"
        "<limit lower='-3' upper='3' effort='10' velocity='3'/></joint>"
    )


def _link(name: str, rng: np.random.Generator) -> str:
    # Of a cloud of points, as any inertia is.
    points = rng.uniform(-0.1, 0.1, (9, 3))
    mass, second = rng.uniform(0.2, 3.0), points.T @ points / 9.0
    i = mass * (np.trace(second) * np.eye(3) - second)
    return (
        f"<link name='{name}'><inertial><origin xyz='{_numbers(rng.uniform(-0.1, 0.1, 3))}' "
        f"rpy='{_numbers(rng.uniform(-2.0, 2.0, 3))}'/><mass value='{mass!r}'/>"
        f"<inertia ixx='{float(i[0, 0])!r}' iyy='{float(i[1, 1])!r}' izz='{float(i[2, 2])!r}' "
        f"ixy='{float(i[0, 1])!r}' ixz='{float(i[0, 2])!r}' iyz='{float(i[1, 2])!r}'/>"
        "</inertial></link>"
    )


def _numbers(values: np.ndarray) -> str:
    return " ".join(repr(float(value)) for value in values)
