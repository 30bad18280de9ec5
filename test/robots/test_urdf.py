# SPDX-License-Identifier: Apache-2.0
"""What the arm models read from a URDF."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from sac_ros.robots.arm import load_arm
from sac_ros.robots.urdf import UrdfJoint, read_joints


def read(tmp_path: Path, joints: str) -> dict[str, UrdfJoint]:
    path = tmp_path / "arm.urdf"
    path.write_text(f"<robot name='r'>{joints}</robot>")
    return read_joints(path)


def test_a_joint_is_read_with_its_frame_axis_and_limits(tmp_path: Path) -> None:
    joint = read(
        tmp_path,
        """<joint name="j" type="revolute">
             <parent link="a"/><child link="b"/>
             <origin xyz="1 2 3" rpy="0.1 0.2 0.3"/><axis xyz="0 0 1"/>
             <limit lower="-1.5" upper="2.5" effort="30" velocity="4"/>
           </joint>""",
    )["j"]
    assert joint == UrdfJoint(
        name="j",
        kind="revolute",
        parent="a",
        child="b",
        xyz=(1.0, 2.0, 3.0),
        rpy=(0.1, 0.2, 0.3),
        axis=(0.0, 0.0, 1.0),
        position_limit=(-1.5, 2.5),
        effort_limit=30.0,
        velocity_limit=4.0,
    )
    assert joint.actuated


def test_what_a_urdf_leaves_out_has_the_defaults_of_the_format(tmp_path: Path) -> None:
    joint = read(
        tmp_path, "<joint name='j' type='fixed'><parent link='a'/><child link='b'/></joint>"
    )["j"]
    assert joint.xyz == joint.rpy == (0.0, 0.0, 0.0)
    assert joint.axis == (1.0, 0.0, 0.0)
    assert not joint.actuated
    assert joint.effort_limit == joint.velocity_limit == math.inf


def test_a_continuous_joint_has_no_position_limit_whatever_its_limit_tag_says(
    tmp_path: Path,
) -> None:
    joint = read(
        tmp_path,
        """<joint name="j" type="continuous"><parent link="a"/><child link="b"/>
             <limit lower="-1" upper="1" effort="5" velocity="2"/></joint>""",
    )["j"]
    assert joint.position_limit == (-math.inf, math.inf)
    assert (joint.effort_limit, joint.velocity_limit) == (5.0, 2.0)


def test_a_joint_without_a_child_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'elbow' has no <child>"):
        read(tmp_path, "<joint name='elbow' type='fixed'><parent link='a'/></joint>")


def test_joints_come_in_the_order_of_the_file() -> None:
    arm = load_arm("iiwa")
    actuated = [joint.name for joint in read_joints(arm.urdf).values() if joint.actuated]
    assert tuple(actuated) == arm.joint_names
