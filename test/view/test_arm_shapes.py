# SPDX-License-Identifier: Apache-2.0
"""Every arm has shapes to look at, where its own kinematics puts them."""

from __future__ import annotations

import copy
import dataclasses
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

from sac_ros.robots.arm import Arm, arm_names, load_arm
from sac_ros.robots.urdf import Urdf
from sac_ros.view.arm_shapes import link_meshes

BOX = '<geometry><box size="0.2 0.4 0.6"/></geometry>'


def arm_with(shapes: str) -> Arm:
    """The iiwa with nothing to see or to hit except `shapes` on its first moving link."""
    arm = load_arm("iiwa")
    root = copy.deepcopy(arm.urdf.root)
    for link in root.findall("link"):
        for shape in (*link.findall("visual"), *link.findall("collision")):
            link.remove(shape)
        if link.get("name") == arm.urdf.joints[arm.joint_names[0]].child:
            link.extend(ElementTree.fromstring(f"<all>{shapes}</all>"))
    return dataclasses.replace(arm, urdf=Urdf(root, "test", None))


@pytest.mark.parametrize("name", arm_names())
def test_an_arm_of_the_package_has_shapes_on_every_moving_link_but_few(name: str) -> None:
    arm = load_arm(name)
    meshes = link_meshes(arm)
    assert {mesh.link for mesh in meshes} >= set(range(arm.joints))
    assert len(meshes) < 30
    assert max(abs(mesh.vertices).max() for mesh in meshes) < 1.0, "m, in the link's own frame"


def test_where_there_is_nothing_to_see_the_shapes_that_collide_are_shown() -> None:
    shape = f'<collision name="hull"><origin xyz="1 0 0"/>{BOX}</collision>'
    (mesh,) = link_meshes(arm_with(shape))
    assert mesh.link == 1
    assert mesh.vertices.max(axis=0) == pytest.approx([1.1, 0.2, 0.3])


def test_a_mesh_that_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "torn.stl").write_bytes(b"solid" + bytes(100))
    torn = f'<visual><geometry><mesh filename="file://{tmp_path}/torn.stl"/></geometry></visual>'
    colour = '<material name="m"><color rgba="1 0.5 0 1"/></material>'
    (mesh,) = link_meshes(arm_with(f"{torn}<visual>{BOX}{colour}</visual>"))
    assert mesh.colour == (255, 128, 0)
    assert np.isfinite(mesh.vertices).all()
