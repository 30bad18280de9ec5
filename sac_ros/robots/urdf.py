# SPDX-License-Identifier: Apache-2.0
"""Reads from a URDF what the arm models need: joints, their frames and limits, and masses."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

_ACTUATED = ("revolute", "continuous", "prismatic")


@dataclass(frozen=True)
class UrdfJoint:
    """One joint of a URDF.

    Attributes:
        name: the joint's name.
        kind: `revolute`, `continuous`, `prismatic` or `fixed`.
        parent: name of the parent link.
        child: name of the child link.
        xyz: m, origin of the joint in the parent link's frame.
        rpy: rad, its fixed-axis roll, pitch and yaw there.
        axis: unit axis in the joint's own frame.
        position_limit: rad or m; infinite for a continuous joint.
        effort_limit: N·m or N.
        velocity_limit: rad/s or m/s.
    """

    name: str
    kind: str
    parent: str
    child: str
    xyz: tuple[float, ...]
    rpy: tuple[float, ...]
    axis: tuple[float, ...]
    position_limit: tuple[float, float]
    effort_limit: float
    velocity_limit: float

    @property
    def actuated(self) -> bool:
        """Whether the joint can move."""
        return self.kind in _ACTUATED


@dataclass(frozen=True)
class UrdfMass:
    """What one link of a URDF weighs, and where.

    Attributes:
        mass: kg.
        centre: m, the centre of mass in the link's frame.
    """

    mass: float
    centre: tuple[float, ...]


def read_masses(path: Path) -> dict[str, UrdfMass | None]:
    """All links of the URDF at `path` by name, in the file's order; None without an inertial."""
    root = ElementTree.parse(path).getroot()
    return {element.get("name", ""): _mass(element) for element in root.findall("link")}


def read_joints(path: Path) -> dict[str, UrdfJoint]:
    """All joints of the URDF at `path` by name, in the file's order."""
    root = ElementTree.parse(path).getroot()
    joints = (_joint(element) for element in root.findall("joint"))
    return {joint.name: joint for joint in joints}


def _joint(element: ElementTree.Element) -> UrdfJoint:
    kind = element.get("type", "fixed")
    limit = element.find("limit")
    bounded = limit is not None and kind in ("revolute", "prismatic")
    return UrdfJoint(
        name=element.get("name", ""),
        kind=kind,
        parent=_required(element, "parent").get("link", ""),
        child=_required(element, "child").get("link", ""),
        xyz=_triple(element.find("origin"), "xyz", (0.0, 0.0, 0.0)),
        rpy=_triple(element.find("origin"), "rpy", (0.0, 0.0, 0.0)),
        axis=_triple(element.find("axis"), "xyz", (1.0, 0.0, 0.0)),
        position_limit=(
            (float(limit.get("lower", 0.0)), float(limit.get("upper", 0.0)))
            if limit is not None and bounded
            else (-math.inf, math.inf)
        ),
        effort_limit=float(limit.get("effort", math.inf)) if limit is not None else math.inf,
        velocity_limit=float(limit.get("velocity", math.inf)) if limit is not None else math.inf,
    )


def _mass(link: ElementTree.Element) -> UrdfMass | None:
    inertial = link.find("inertial")
    if inertial is None:
        return None
    mass = inertial.find("mass")
    return UrdfMass(
        mass=float(mass.get("value", 0.0)) if mass is not None else 0.0,
        centre=_triple(inertial.find("origin"), "xyz", (0.0, 0.0, 0.0)),
    )


def _required(element: ElementTree.Element, tag: str) -> ElementTree.Element:
    child = element.find(tag)
    if child is None:
        raise ValueError(f"the URDF joint {element.get('name')!r} has no <{tag}>")
    return child


def _triple(
    element: ElementTree.Element | None, key: str, default: tuple[float, ...]
) -> tuple[float, ...]:
    if element is None or element.get(key) is None:
        return default
    return tuple(float(number) for number in str(element.get(key)).split())
