# SPDX-License-Identifier: Apache-2.0
"""An arm's URDF in the form of ROS tools, and in that of a physics engine."""

from __future__ import annotations

import copy
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sac_ros.robots.arm import Arm, resolve
from sac_ros.robots.dynamics import Bodies, place_of
from sac_ros.robots.kinematics import rotation_of, rpy_of
from sac_ros.robots.urdf import SHAPES
from sac_ros.utils.errors import ConfigurationError

Array = NDArray[np.float64]


def ros_description(arm: Arm) -> str:
    """The URDF's text with mesh paths made absolute, for the topic `robot_description`.

    Bullet resolves a mesh beside the URDF; RViz needs `file://` or `package://`.
    """
    root = copy.deepcopy(arm.urdf.root)
    for mesh in root.iter("mesh"):
        name = mesh.get("filename", "")
        if "://" not in name and arm.urdf.directory is not None:
            mesh.set("filename", (arm.urdf.directory / name).resolve().as_uri())
    return ElementTree.tostring(root, encoding="unicode")


def link_names(arm: Arm) -> list[str]:
    """The n + 1 links of `engine_description`: the base, and what each joint moves."""
    return [arm.base_link, *(arm.urdf.joints[name].child for name in arm.joint_names)]


def engine_description(
    arm: Arm, bodies: Bodies, *, meshes: Sequence[str], visual: bool = False
) -> str:
    """A URDF of n + 1 links with `bodies` for masses: what an engine simulates.

    Fixed links are merged into the link that carries them, shapes included. Joints have their
    limits and neither damping nor friction: the backends see to these.

    Args:
        arm: the arm.
        bodies: its masses.
        meshes: endings of the mesh files that the engine reads, such as `.stl`; others are left
            out, and so is a mesh that is not found.
        visual: with the shapes to look at, instead of those that collide.
    """
    names = link_names(arm)
    robot = ElementTree.Element("robot", name=arm.name)
    links = [ElementTree.SubElement(robot, "link", name=name) for name in names]
    for link, mass, centre, inertia in zip(
        links[1:], bodies.mass, bodies.centre, bodies.inertia, strict=True
    ):
        link.append(_inertial(float(mass), centre, inertia))
    _, root_rotation, root_place = place_of(arm.urdf, arm.base_link, arm.joint_names)
    for element in arm.urdf.root.findall("link"):
        mover, rotation, place = place_of(arm.urdf, element.get("name", ""), arm.joint_names)
        if mover is None:  # known in the root link's frame
            rotation = root_rotation.T @ rotation
            place = root_rotation.T @ (place - root_place)
        shapes = element.findall("visual") if visual else element.findall("collision")
        for shape in shapes:
            moved = _moved(arm, shape, rotation, place, meshes)
            if moved is not None:
                links[0 if mover is None else mover + 1].append(moved)
    if visual:
        robot.extend(arm.urdf.root.findall("material"))
    chain = arm.chain
    for index, name in enumerate(arm.joint_names):
        joint = ElementTree.SubElement(robot, "joint", name=name, type="revolute")
        ElementTree.SubElement(joint, "parent", link=names[index])
        ElementTree.SubElement(joint, "child", link=names[index + 1])
        joint.append(_origin(chain.rotation[index], chain.translation[index]))
        ElementTree.SubElement(joint, "axis", xyz=_text(chain.axis[index]))
        low, high = arm.position_limit[index].tolist()
        ElementTree.SubElement(
            joint, "limit", lower=repr(low), upper=repr(high), effort="1e6", velocity="100"
        )
    return ElementTree.tostring(robot, encoding="unicode")


def visible_description(arm: Arm, meshes: Sequence[str]) -> str:
    """`engine_description` with the shapes to look at, or where there are none with those that
    collide in their place.
    """
    description = engine_description(arm, arm.bodies, meshes=meshes, visual=True)
    if "<visual>" in description:
        return description
    colliding = engine_description(arm, arm.bodies, meshes=meshes)
    return colliding.replace("<collision", "<visual").replace("</collision", "</visual")


def _inertial(mass: float, centre: Array, inertia: Array) -> ElementTree.Element:
    """In principal axes: what every engine reads alike."""
    moments, axes = np.linalg.eigh(inertia)
    axes = axes * np.sign(np.linalg.det(axes))
    inertial = ElementTree.Element("inertial")
    inertial.append(_origin(axes, centre))
    ElementTree.SubElement(inertial, "mass", value=repr(mass))
    xx, yy, zz = (repr(float(moment)) for moment in moments)
    ElementTree.SubElement(inertial, "inertia", ixx=xx, iyy=yy, izz=zz, ixy="0", ixz="0", iyz="0")
    return inertial


def _moved(
    arm: Arm,
    shape: ElementTree.Element,
    rotation: Array,
    place: Array,
    meshes: Sequence[str],
) -> ElementTree.Element | None:
    """A copy of a shape in the frame of the link that carries it; None if none can read it."""
    moved = copy.deepcopy(shape)
    geometry = moved.find("geometry/*")
    if geometry is None or geometry.tag not in SHAPES:
        return None
    sizes = " ".join(geometry.get(key, "") for key in SHAPES[geometry.tag])
    if any(float(word) == 0.0 for word in sizes.split()):
        return None
    for mesh in moved.iter("mesh"):
        try:
            path = resolve(mesh.get("filename", ""), arm.urdf.directory)
        except ConfigurationError:
            return None
        if path.suffix.lower() not in meshes or not path.is_file():
            return None
        mesh.set("filename", str(path.resolve()))
    origin = moved.find("origin")
    own_place, own_turn = np.zeros(3), np.eye(3)
    if origin is not None:
        own_place = np.array([float(word) for word in origin.get("xyz", "0 0 0").split()])
        own_turn = rotation_of([float(word) for word in origin.get("rpy", "0 0 0").split()])
        moved.remove(origin)
    moved.append(_origin(rotation @ own_turn, place + rotation @ own_place))
    return moved


def _origin(rotation: Array, translation: Array) -> ElementTree.Element:
    return ElementTree.Element("origin", rpy=_text(rpy_of(rotation)), xyz=_text(translation))


def _text(values: Array) -> str:
    return " ".join(repr(float(value)) for value in values)
