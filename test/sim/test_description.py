# SPDX-License-Identifier: Apache-2.0
"""`robot_description` can be read by a program that runs anywhere."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest

from sac_ros.robots.arm import arm_names, load_arm
from sac_ros.sim.description import ros_description


@pytest.mark.parametrize("name", arm_names())
def test_every_mesh_is_an_absolute_uri_of_a_file_that_exists(name: str) -> None:
    root = ElementTree.fromstring(ros_description(load_arm(name)))
    uris = [urlparse(mesh.get("filename", "")) for mesh in root.iter("mesh")]
    assert uris
    assert {uri.scheme for uri in uris} == {"file"}
    assert all(Path(unquote(uri.path)).is_file() for uri in uris)


def test_the_description_names_every_joint_and_link_of_the_arm() -> None:
    arm = load_arm("iiwa")
    root = ElementTree.fromstring(ros_description(arm))
    joints = {joint.get("name") for joint in root.iter("joint")}
    links = {link.get("name") for link in root.iter("link")}
    assert set(arm.joint_names) <= joints
    assert {arm.base_link, arm.tip_link} <= links
