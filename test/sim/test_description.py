# SPDX-License-Identifier: Apache-2.0
"""`robot_description` can be read by a program that runs anywhere, and engines read their own."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from urllib.parse import unquote, urlparse

import numpy as np
import pytest
from plain_urdf import of_link, spoilt

from sac_ros.robots.arm import arm_names, load_arm
from sac_ros.sim.description import engine_description, link_names, ros_description

BOX = '<origin xyz="0 0 0.15"/><geometry><box size="0.05 0.05 0.2"/></geometry>'


@pytest.fixture
def meshes(tmp_path: Path) -> Path:
    """A URDF with a mesh beside it, and one in a package above it."""
    package = tmp_path / "arm description"
    (package / "urdf").mkdir(parents=True)
    for name in ("urdf/forearm.stl", "upper.stl"):
        (package / name).touch()
    path = package / "urdf" / "plain.urdf"
    path.write_text(
        spoilt(
            of_link("forearm", BOX, "<geometry><mesh filename='forearm.stl'/></geometry>"),
            of_link(
                "upper_arm",
                BOX,
                "<geometry><mesh filename='package://arm description/upper.stl'/></geometry>",
            ),
        )
    )
    return path


def test_every_mesh_beside_the_urdf_becomes_an_absolute_uri_of_a_file_that_exists(
    meshes: Path,
) -> None:
    root = ElementTree.fromstring(ros_description(load_arm(str(meshes))))
    uris = [urlparse(mesh.get("filename", "")) for mesh in root.iter("mesh")]
    assert [uri.scheme for uri in uris] == ["package", "file"]
    assert Path(unquote(uris[1].path)).is_file()


def test_an_engine_reads_meshes_by_their_place_and_only_of_its_kinds(meshes: Path) -> None:
    arm = load_arm(str(meshes))
    root = ElementTree.fromstring(engine_description(arm, arm.bodies, meshes=(".stl",)))
    found = [mesh.get("filename", "") for mesh in root.iter("mesh")]
    assert len(found) == 2
    assert all(Path(name).is_absolute() and Path(name).is_file() for name in found)
    none = engine_description(arm, arm.bodies, meshes=(".obj",))
    assert "<mesh" not in none


def test_a_mesh_that_is_not_there_is_left_out(meshes: Path) -> None:
    (meshes.parent / "forearm.stl").unlink()
    arm = load_arm(str(meshes))
    root = ElementTree.fromstring(engine_description(arm, arm.bodies, meshes=(".stl",)))
    assert len(list(root.iter("mesh"))) == 1


@pytest.mark.parametrize("name", arm_names())
def test_the_description_names_every_joint_and_link_of_the_arm(name: str) -> None:
    arm = load_arm(name)
    root = ElementTree.fromstring(ros_description(arm))
    joints = {joint.get("name") for joint in root.iter("joint")}
    links = {link.get("name") for link in root.iter("link")}
    assert set(arm.joint_names) <= joints
    assert {arm.base_link, arm.tip_link} <= links


@pytest.mark.parametrize("name", arm_names())
def test_an_engines_arm_has_a_link_per_joint_with_its_body_and_its_shapes(name: str) -> None:
    arm = load_arm(name)
    root = ElementTree.fromstring(engine_description(arm, arm.bodies, meshes=()))
    links = root.findall("link")
    assert [link.get("name") for link in links] == link_names(arm)
    assert len(links) == arm.joints + 1
    masses = [float(mass.get("value", "")) for mass in root.iter("mass")]
    np.testing.assert_array_equal(masses, arm.bodies.mass)
    assert [joint.get("name") for joint in root.findall("joint")] == list(arm.joint_names)
    # Links that share a body share its shapes.
    shapes = len(list(arm.urdf.root.iter("collision")))
    assert len(list(root.iter("collision"))) == shapes > arm.joints
