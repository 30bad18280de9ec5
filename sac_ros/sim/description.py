# SPDX-License-Identifier: Apache-2.0
"""The arm's URDF as ROS tools want it."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

from sac_ros.robots.arm import ArmModel


def ros_description(arm: ArmModel) -> str:
    """The URDF's text with mesh paths made absolute, for the topic `robot_description`.

    Bullet resolves a mesh beside the URDF; RViz wants `file://` or `package://`.
    """
    root = ElementTree.parse(arm.urdf).getroot()
    for mesh in root.iter("mesh"):
        name = mesh.get("filename", "")
        if "://" not in name:
            mesh.set("filename", (arm.urdf.parent / name).resolve().as_uri())
    return ElementTree.tostring(root, encoding="unicode")
