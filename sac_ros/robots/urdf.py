# SPDX-License-Identifier: Apache-2.0
"""Reads a URDF: links with their masses and shapes, joints with their limits."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sac_ros.utils.errors import ConfigurationError

Array = NDArray[np.float64]

MOVING = ("revolute", "continuous", "prismatic")
_KINDS = (*MOVING, "fixed", "floating", "planar")
_MAXIMUM_BYTES = 16 * 2**20  # a URDF is some 20 kB; the bound keeps a wrong file out of memory
_MAXIMUM_LINKS = 500  # a humanoid with hands has some 150
_HAND_BEHIND = 4  # joints that several chains share, so that they are fingers and not arms
SHAPES: dict[str, dict[str, int]] = {
    "box": {"size": 3},
    "cylinder": {"radius": 1, "length": 1},
    "sphere": {"radius": 1},
    "capsule": {"radius": 1, "length": 1},
    "mesh": {},
}
"""The geometries that are read, with their attributes in m and how many numbers each has."""

_TIP_NAMES = ("tool0", "tcp", "ee_link", "tool", "flange", "link_ee", "end_effector")


@dataclass(frozen=True)
class UrdfJoint:
    """One joint of a URDF.

    Attributes:
        name: the joint's name.
        kind: `revolute`, `continuous`, `prismatic`, `fixed`, `floating` or `planar`.
        parent: name of the parent link.
        child: name of the child link.
        xyz: m, origin of the joint in the parent link's frame.
        rpy: rad, its fixed-axis roll, pitch and yaw there.
        axis: axis in the joint's own frame, as written.
        position_limit: rad or m; infinite where the URDF has none.
        effort_limit: N·m or N; NaN where the URDF has none.
        velocity_limit: rad/s or m/s; NaN where the URDF has none.
        damping: viscous friction, N·m·s/rad.
        friction: Coulomb friction, N·m.
        mimic: whether it follows another joint.
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
    damping: float
    friction: float
    mimic: bool

    @property
    def moving(self) -> bool:
        """Whether the joint can move."""
        return self.kind in MOVING


@dataclass(frozen=True, eq=False)
class UrdfInertial:
    """What one link of a URDF weighs.

    Attributes:
        mass: kg.
        xyz: m, centre of mass in the link's frame.
        rpy: rad, orientation of the inertia's axes in the link's frame.
        inertia: [3, 3] kg·m² about the centre of mass, in those axes.
    """

    mass: float
    xyz: tuple[float, ...]
    rpy: tuple[float, ...]
    inertia: Array


@dataclass(frozen=True, eq=False)
class Urdf:
    """A parsed URDF.

    Attributes:
        root: the XML, with mesh names as written.
        source: where it came from, for the errors.
        directory: where relative mesh names start; None for a description without a file.
    """

    root: ElementTree.Element
    source: str
    directory: Path | None

    @classmethod
    def from_file(cls, path: Path) -> Urdf:
        """Reads the file at `path`.

        Raises:
            ConfigurationError: no such file, or no URDF.
        """
        try:
            if path.stat().st_size > _MAXIMUM_BYTES:
                raise ConfigurationError(f"URDF {path} must be at most {_MAXIMUM_BYTES} bytes")
            text = path.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:  # no such file; not UTF-8, or no name of a file
            reason = getattr(error, "strerror", None) or "it is not text"
            raise ConfigurationError(f"URDF {path} cannot be read: {reason}") from error
        return cls.from_text(text, str(path), path.resolve().parent)

    @classmethod
    def from_text(cls, text: str, source: str, directory: Path | None = None) -> Urdf:
        """Reads a description, such as the text of the topic `robot_description`.

        Raises:
            ConfigurationError: no URDF, one with entities, or one that contradicts itself.
        """
        if "<!DOCTYPE" in text or "<!ENTITY" in text:
            raise ConfigurationError(f"URDF {source} must have no DOCTYPE and no entities")
        try:
            root = ElementTree.fromstring(text)
        except (ElementTree.ParseError, UnicodeEncodeError) as error:
            raise ConfigurationError(f"URDF {source} is not XML: {error}") from error
        if any("xacro" in e.tag or "${" in "".join(e.attrib.values()) for e in root.iter()):
            raise ConfigurationError(
                f"URDF {source} is a xacro file: expand it first, with `xacro FILE > robot.urdf`"
            )
        if root.tag != "robot":
            raise ConfigurationError(f"URDF {source} must have a <robot>; got <{root.tag[:40]}>")
        urdf = cls(root, source, directory)
        urdf._check_tree()
        urdf._check_shapes()
        return urdf

    @cached_property
    def joints(self) -> dict[str, UrdfJoint]:
        """All joints by name, in the file's order."""
        return {joint.name: joint for joint in map(self._joint, self.root.findall("joint"))}

    @cached_property
    def links(self) -> dict[str, UrdfInertial | None]:
        """What every link weighs, by name, in the file's order; None without an <inertial>."""
        return {link.get("name", ""): self._inertial(link) for link in self.root.findall("link")}

    @cached_property
    def joint_above(self) -> dict[str, UrdfJoint]:
        """The joint that carries a link, by the link's name; the root link has none."""
        return {joint.child: joint for joint in self.joints.values()}

    def path(self, base_link: str, tip_link: str) -> list[UrdfJoint]:
        """The joints, fixed ones included, from one link up to another.

        Raises:
            ConfigurationError: a link is unknown, or no joints lead from one to the other.
        """
        for what, link in (("base_link", base_link), ("tip_link", tip_link)):
            if link not in self.links:
                raise ConfigurationError(
                    f"{what} must be a link of {self.source} ({', '.join(self.links)}); "
                    f"got {link!r}"
                )
        path: list[UrdfJoint] = []
        link = tip_link
        while link != base_link:
            if link not in self.joint_above:
                raise ConfigurationError(
                    f"no joints of {self.source} lead from base_link {base_link!r} to tip_link "
                    f"{tip_link!r}"
                )
            path.insert(0, self.joint_above[link])
            link = path[0].parent
        return path

    @property
    def root_link(self) -> str:
        """The link that no joint carries."""
        return next(link for link in self.links if link not in self.joint_above)

    def only_end_effector(self, base_link: str) -> str:
        """The end effector of the one arm that starts at `base_link`.

        The arm is the longest sequence of revolute joints; a gripper's sliding and following
        joints do not count, nor does a joint that others follow, nor do the fingers of a hand,
        which branch off behind the fourth joint or later. Behind its last joint, a link with a
        usual name for a tool's frame is preferred, then the only end, then the link that the last
        joint moves.

        Raises:
            ConfigurationError: there are several arms, so that `tip_link` must be given.
        """
        followed = {mimic.get("joint") for mimic in self.root.iter("mimic")}
        chains = {}
        for link in self.links:
            path = self._path_or_none(base_link, link)
            if path is not None:
                moving = [joint for joint in path if joint.moving]
                if all(
                    not joint.mimic and joint.kind != "prismatic" and joint.name not in followed
                    for joint in moving
                ):
                    chains[link] = tuple(joint.name for joint in moving)
        longest = max(chains.values(), key=len, default=())
        if not longest:
            raise ConfigurationError(
                f"no revolute joints of {self.source} lead away from base_link {base_link!r}: "
                "name the links where the arm starts and ends with base_link and tip_link"
            )
        rivals = [link for link, c in chains.items() if c != longest[: len(c)]]
        steps = zip(longest, *(chains[link] for link in rivals), strict=False)
        shared = tuple(takewhile(lambda step: len(set(step)) == 1, steps))
        if rivals and len(shared) >= _HAND_BEHIND:
            longest = longest[: len(shared)]
        elif rivals:
            raise ConfigurationError(
                f"{self.source} has more than one arm: name one with tip_link, such as "
                f"{next(k for k, c in chains.items() if c == longest)!r} or {rivals[-1]!r}"
            )
        behind = [link for link, chain in chains.items() if chain == longest]
        parents = {joint.parent for joint in self.joints.values() if joint.child in behind}
        ends = [link for link in behind if link not in parents]
        for name in _TIP_NAMES:
            found = [link for link in behind if link == name or link.endswith(f"_{name}")]
            if len(found) == 1:
                return found[0]
        return ends[0] if len(ends) == 1 else self.joints[longest[-1]].child

    def _path_or_none(self, base_link: str, link: str) -> list[UrdfJoint] | None:
        try:
            return self.path(base_link, link)
        except ConfigurationError:
            return None

    def _check_tree(self) -> None:
        names = [link.get("name", "") for link in self.root.findall("link")]
        joints = self.root.findall("joint")
        if max(len(names), len(joints)) > _MAXIMUM_LINKS:
            raise ConfigurationError(
                f"URDF {self.source} must have at most {_MAXIMUM_LINKS} links and joints; got "
                f"{len(names)} and {len(joints)}"
            )
        for what, all_names in (("link", names), ("joint", [j.get("name", "") for j in joints])):
            for name in all_names:
                if not name or all_names.count(name) > 1:
                    raise ConfigurationError(
                        f"URDF {self.source}: every {what} must have a name of its own; "
                        f"got {name!r} {all_names.count(name)} times"
                    )
        carried: dict[str, str] = {}
        for joint in self.joints.values():
            for end, link in (("parent", joint.parent), ("child", joint.child)):
                if link not in names:
                    raise ConfigurationError(
                        f"URDF {self.source}: the {end} of joint {joint.name!r} must be a link of "
                        f"it; got {link!r}"
                    )
            if joint.child in carried:
                raise ConfigurationError(
                    f"URDF {self.source}: the link {joint.child!r} is carried by two joints, "
                    f"{carried[joint.child]!r} and {joint.name!r}: a closed chain is no arm"
                )
            carried[joint.child] = joint.name
        roots = [link for link in names if link not in carried]
        if len(roots) != 1:
            found = ", ".join(map(repr, roots)) or "a ring of joints"
            raise ConfigurationError(
                f"URDF {self.source} must have one link that no joint carries; got {found}"
            )
        for name in names:
            link, seen = name, set()
            while link in carried:
                if link in seen:
                    raise ConfigurationError(
                        f"URDF {self.source}: the link {link!r} carries itself: a closed chain is "
                        "no arm"
                    )
                seen.add(link)
                link = self.joint_above[link].parent

    def _check_shapes(self) -> None:
        for link in self.root.findall("link"):
            what = f"a shape of link {link.get('name', '')!r}"
            for shape in (*link.findall("collision"), *link.findall("visual")):
                for key in ("xyz", "rpy"):
                    self._triple(shape.find("origin"), key, (0.0, 0.0, 0.0), what)
                for geometry in shape.findall("geometry/*"):
                    for key, size in SHAPES.get(geometry.tag, {}).items():
                        if min(self._numbers(geometry, key, size, what)) < 0.0:
                            raise ConfigurationError(
                                f"URDF {self.source}: {key} of {what} must not be below 0 m; "
                                f"got {geometry.get(key)!r}"
                            )

    def _joint(self, element: ElementTree.Element) -> UrdfJoint:
        name = element.get("name", "")
        what = f"joint {name!r}"
        kind = element.get("type", "")
        if kind not in _KINDS:
            raise ConfigurationError(
                f"URDF {self.source}: the type of {what} must be one of {', '.join(_KINDS)}; "
                f"got {kind!r}"
            )
        ends = {}
        for tag in ("parent", "child"):
            child = element.find(tag)
            if child is None:
                raise ConfigurationError(f"URDF {self.source}: {what} has no <{tag}>")
            ends[tag] = child.get("link", "")
        limit, dynamics = element.find("limit"), element.find("dynamics")
        lower = upper = None
        if kind in ("revolute", "prismatic") and limit is not None:
            lower, upper = (self._number(limit, key, 0.0, what) for key in ("lower", "upper"))
        return UrdfJoint(
            name=name,
            kind=kind,
            parent=ends["parent"],
            child=ends["child"],
            xyz=self._triple(element.find("origin"), "xyz", (0.0, 0.0, 0.0), what),
            rpy=self._triple(element.find("origin"), "rpy", (0.0, 0.0, 0.0), what),
            axis=self._triple(element.find("axis"), "xyz", (1.0, 0.0, 0.0), what),
            position_limit=(
                (-math.inf, math.inf) if lower is None or upper is None else (lower, upper)
            ),
            effort_limit=self._number(limit, "effort", math.nan, what),
            velocity_limit=self._number(limit, "velocity", math.nan, what),
            damping=self._number(dynamics, "damping", 0.0, what),
            friction=self._number(dynamics, "friction", 0.0, what),
            mimic=element.find("mimic") is not None,
        )

    def _inertial(self, link: ElementTree.Element) -> UrdfInertial | None:
        inertial = link.find("inertial")
        if inertial is None:
            return None
        what = f"link {link.get('name', '')!r}"
        tensor = inertial.find("inertia")
        xx, xy, xz, yy, yz, zz = (
            self._number(tensor, key, 0.0, what)
            for key in ("ixx", "ixy", "ixz", "iyy", "iyz", "izz")
        )
        return UrdfInertial(
            mass=self._number(inertial.find("mass"), "value", 0.0, what),
            xyz=self._triple(inertial.find("origin"), "xyz", (0.0, 0.0, 0.0), what),
            rpy=self._triple(inertial.find("origin"), "rpy", (0.0, 0.0, 0.0), what),
            inertia=np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]),
        )

    def _number(
        self, element: ElementTree.Element | None, key: str, default: float, what: str
    ) -> float:
        if element is None or element.get(key) is None:
            return default
        return self._numbers(element, key, 1, what)[0]

    def _triple(
        self,
        element: ElementTree.Element | None,
        key: str,
        default: tuple[float, ...],
        what: str,
    ) -> tuple[float, ...]:
        if element is None or element.get(key) is None:
            return default
        return self._numbers(element, key, 3, what)

    def _numbers(
        self, element: ElementTree.Element, key: str, size: int, what: str
    ) -> tuple[float, ...]:
        text = element.get(key, "")
        try:
            numbers = tuple(float(word) for word in text.split())
        except ValueError:
            numbers = ()
        if len(numbers) != size or not all(map(math.isfinite, numbers)):
            raise ConfigurationError(
                f"URDF {self.source}: {key} of {what} must be {size} finite "
                f"number{'s' if size > 1 else ''}; got {text[:80]!r}"
            )
        return numbers
