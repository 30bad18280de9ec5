# SPDX-License-Identifier: Apache-2.0
"""What an arm looks like: the shapes of its URDF as triangles, one mesh per link and colour."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sac_ros.robots.arm import Arm
from sac_ros.robots.kinematics import rotation_of
from sac_ros.sim.description import visible_description

Colour = tuple[int, int, int]

_MESHES = (".obj", ".stl")
_GREY: Colour = (158, 163, 168)
_SEGMENTS = 48  # of a circle


@dataclass(frozen=True, eq=False)
class LinkMesh:
    """A mesh of one colour that moves with one link.

    Attributes:
        link: 0 is the base, i + 1 is what joint i moves.
        vertices: [v, 3] m, in the link's frame.
        faces: [f, 3] indices of vertices.
        colour: red, green and blue, 0 to 255.
        flat: whether its edges are sharp.
    """

    link: int
    vertices: NDArray[np.float32]
    faces: NDArray[np.uint32]
    colour: Colour
    flat: bool


def link_meshes(arm: Arm) -> list[LinkMesh]:
    """The meshes of an arm; a shape whose file cannot be read is left out."""
    import trimesh  # noqa: PLC0415 - comes with viser

    root = ElementTree.fromstring(visible_description(arm, _MESHES))
    colours = _named_colours(root)
    parts: dict[tuple[int, Colour, bool], list[Any]] = defaultdict(list)
    for link, element in enumerate(root.findall("link")):
        for visual in element.findall("visual"):
            mesh = _shape(trimesh, visual.find("geometry/*"))
            if mesh is None:
                continue
            mesh.apply_transform(_placement(visual.find("origin")))
            flat = visual.find("geometry/mesh") is None
            parts[link, _colour(visual.find("material"), colours), flat].append(mesh)
    found = []
    for (link, colour, flat), meshes in parts.items():
        joined = trimesh.util.concatenate(meshes)
        vertices, faces = joined.vertices.astype(np.float32), joined.faces.astype(np.uint32)
        found.append(LinkMesh(link, vertices, faces, colour, flat))
    return found


def _shape(trimesh: Any, geometry: ElementTree.Element | None) -> Any:
    """A `Trimesh`, or None where there is nothing to see or to read."""
    if geometry is None:
        return None
    if geometry.tag == "box":
        return trimesh.creation.box(extents=_numbers(geometry, "size"))
    if geometry.tag == "sphere":
        return trimesh.creation.icosphere(radius=_numbers(geometry, "radius")[0])
    if geometry.tag in ("cylinder", "capsule"):
        (radius,), (length,) = _numbers(geometry, "radius"), _numbers(geometry, "length")
        if geometry.tag == "capsule":
            return trimesh.creation.capsule(length, radius)
        return trimesh.creation.cylinder(radius, length, sections=_SEGMENTS)
    if geometry.tag != "mesh":
        return None
    try:
        mesh = trimesh.load_mesh(geometry.get("filename", ""))
        mesh.apply_scale([float(word) for word in geometry.get("scale", "1 1 1").split()])
    except Exception:  # whatever the reader of a file format makes of a bad file
        return None
    return mesh if len(mesh.faces) else None


def _placement(origin: ElementTree.Element | None) -> NDArray[np.float64]:
    placement = np.eye(4)
    if origin is not None:
        placement[:3, :3] = rotation_of(_numbers(origin, "rpy"))
        placement[:3, 3] = _numbers(origin, "xyz")
    return placement


def _numbers(element: ElementTree.Element, key: str) -> list[float]:
    return [float(word) for word in element.get(key, "0 0 0").split()]


def _named_colours(root: ElementTree.Element) -> dict[str, Colour]:
    return {
        each.get("name", ""): _colour(each, {})
        for each in root.iter("material")
        if each.find("color") is not None
    }


def _colour(material: ElementTree.Element | None, named: dict[str, Colour]) -> Colour:
    if material is None:
        return _GREY
    element = material.find("color")
    if element is None:
        return named.get(material.get("name", ""), _GREY)
    try:
        red, green, blue = (
            round(255 * min(max(float(word), 0.0), 1.0))
            for word in element.get("rgba", "").split()[:3]
        )
    except ValueError:
        return _GREY
    return red, green, blue
