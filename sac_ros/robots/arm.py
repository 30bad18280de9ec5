# SPDX-License-Identifier: Apache-2.0
"""An arm: a URDF, a few lines of YAML, and what follows from both."""

from __future__ import annotations

import hashlib
import math
import os
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from sac_ros.robots.defaults import Defaults
from sac_ros.robots.dynamics import Bodies
from sac_ros.robots.kinematics import Chain
from sac_ros.robots.urdf import Urdf, UrdfJoint
from sac_ros.utils.errors import ConfigurationError
from sac_ros.utils.package_share import share_path

Array = NDArray[np.float64]

FASTEST = math.pi  # rad/s, used where a URDF has more: many hold 10 or 100 as placeholders
_KEYS = (
    "urdf", "base_link", "tip_link", "position_limit", "velocity_limit", "torque_limit", "damping",
    "friction", "armature", "action_scale", "control_damping", "home", "goal_low", "goal_high",
)  # fmt: skip
_MAXIMUM_BYTES = 2**14  # an arm is some 1 kB, and YAML may take a time that grows with its square
_MAXIMUM_JOINTS = 24


@dataclass(frozen=True, eq=False)
class Arm:
    """An arm of n revolute joints. SI units, radians; every per-joint array in joint order.

    Attributes:
        name: `iiwa`, or the robot's name in its URDF.
        reference: what `load_arm` was asked for.
        urdf: the robot's description.
        base_link: frame of goals and of the end effector's pose.
        tip_link: the end effector, whose origin reaches for the goal.
        joint_names: [n] the joints from base to end_effector.
        position_limit: [n, 2] rad; ±π where the URDF has none (`continuous`).
        velocity_limit: [n] rad/s.
        torque_limit: [n] N·m, never above the URDF's effort limit.
        damping: [n] N·m·s/rad, viscous friction.
        friction: [n] N·m, Coulomb friction.
        armature: [n] kg·m², rotor inertia seen at the joint.
        action_scale: [n] N·m at action 1.
        home: [n] rad, where a simulated robot starts.
        goal_low, goal_high: [3] m, corners of the goal box in `base_link`.
        control_damping: [n] N·m·s/rad that a policy's torque adds to its actions.
        stop_damping: [n] N·m·s/rad of a controlled stop.
        brake_limit: [n] N·m, the most that a stop brakes with.
        chain: kinematics from base to end_effector.
        bodies: what the joints move.
        origin: where each value came from, by its attribute's name.
        notes: sentences on what was found odd and how it is taken.
    """

    name: str
    reference: str
    urdf: Urdf
    base_link: str
    tip_link: str
    joint_names: tuple[str, ...]
    position_limit: Array
    velocity_limit: Array
    torque_limit: Array
    damping: Array
    friction: Array
    armature: Array
    action_scale: Array
    home: Array
    goal_low: Array
    goal_high: Array
    control_damping: Array
    stop_damping: Array
    brake_limit: Array
    chain: Chain
    bodies: Bodies
    origin: Mapping[str, str]
    notes: tuple[str, ...]

    @property
    def joints(self) -> int:
        """The number of joints, n."""
        return len(self.joint_names)

    @property
    def urdf_sha256(self) -> str:
        """Of the URDF's text, in hex."""
        return hashlib.sha256(ElementTree.tostring(self.urdf.root)).hexdigest()

    def gravity_torque(self, position: Array) -> Array:
        """g(q) [..., n] N·m at positions [..., n] rad."""
        torque: Array = self.bodies.gravity_torque(self.chain, self.chain.frames_at(position))
        return torque


def arm_names() -> list[str]:
    """The arms of the package: one per file in `config/arms/`."""
    return sorted(path.stem for path in share_path("config", "arms").glob("*.yaml"))


def load_arm(reference: str, base_link: str = "", tip_link: str = "") -> Arm:
    """The arm that `reference` names.

    Args:
        reference: a name in `config/arms/`; the path of a YAML; the path or `package://` of a
            URDF; or a URDF's text, as in the topic `robot_description`.
        base_link: where the arm starts; empty: as in the YAML, else the URDF's root.
        tip_link: the end effector; empty: as in the YAML, else the end of the only chain.

    Raises:
        ConfigurationError: there is no such arm, or it cannot be simulated; one sentence that
            names the link, the joint or the key.
    """
    given = {key: link for key, link in (("base_link", base_link), ("tip_link", tip_link)) if link}
    if reference.lstrip().startswith("<"):
        urdf = Urdf.from_text(reference, "robot_description")
        return _build(urdf.root.get("name") or "robot", reference, urdf, given, urdf.source)
    path = resolve(reference) if "://" in reference else Path(reference)
    if path.suffix.lower() in (".urdf", ".xml", ".xacro"):
        urdf = Urdf.from_file(path)
        return _build(urdf.root.get("name") or path.stem, reference, urdf, given, f"URDF {path}")
    if path.suffix.lower() not in (".yaml", ".yml"):
        path = share_path("config", "arms", f"{reference}.yaml")
        if reference not in arm_names():
            raise ConfigurationError(
                f"arm must be one of {', '.join(arm_names())}, or the path of a .yaml or .urdf; "
                f"got {reference!r}"
            )
    keys = _read_yaml(path)
    urdf = Urdf.from_file(_urdf_beside(path, str(keys.pop("urdf"))))
    return _build(path.stem, reference, urdf, {**keys, **given}, str(path))


def resolve(uri: str, directory: Path | None = None) -> Path:
    """The file that a URDF's mesh name or an arm's `package://` names; it need not exist.

    A package is looked up in AMENT_PREFIX_PATH and ROS_PACKAGE_PATH, and above `directory`.

    Raises:
        ConfigurationError: a package is in none of these.
    """
    scheme, _, rest = uri.partition("://")
    if not rest:
        return (directory or Path()) / uri
    if scheme != "package":
        return Path(rest)
    package, _, inside = rest.partition("/")
    places = [
        Path(prefix, "share", package)
        for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
        if prefix
    ]
    places += [
        Path(prefix, package)
        for prefix in os.environ.get("ROS_PACKAGE_PATH", "").split(os.pathsep)
        if prefix
    ]
    if directory is not None:
        places += [parent for parent in directory.parents if parent.name == package]
        places += [parent / package for parent in (directory, *directory.parents)]
    for place in places:
        if (place / inside).exists():
            return place / inside
    above = "" if directory is None else f", nor above {directory}"
    raise ConfigurationError(
        f"{uri} is not found: the package {package!r} with {inside} is in none of "
        f"AMENT_PREFIX_PATH and ROS_PACKAGE_PATH{above}"
    )


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MAXIMUM_BYTES:
            raise ConfigurationError(f"arm {path} must be at most {_MAXIMUM_BYTES} bytes")
        keys = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"arm {path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigurationError(
            f"arm {path} is not YAML: {' '.join(str(error).split())}"
        ) from error
    if not isinstance(keys, dict) or not isinstance(keys.get("urdf"), str):
        raise ConfigurationError(f"arm {path} must have the key 'urdf', the name of a URDF")
    for key in keys:
        if key not in _KEYS:
            raise ConfigurationError(
                f"arm {path}: the key {key!r} is not known; an arm has {', '.join(_KEYS)}"
            )
    return keys


def _urdf_beside(path: Path, name: str) -> Path:
    if "://" in name:
        return resolve(name, path.resolve().parent)
    beside = path.resolve().parent / name
    return beside if beside.is_file() else share_path("urdf", name)


def _build(name: str, reference: str, urdf: Urdf, given: Mapping[str, Any], source: str) -> Arm:
    return _Builder(name, reference, urdf, given, source).arm()


class _Builder:
    """Puts an arm together: each value as given, else from the URDF, else computed."""

    def __init__(
        self, name: str, reference: str, urdf: Urdf, given: Mapping[str, Any], source: str
    ) -> None:
        self._name, self._reference, self._urdf = name, reference, urdf
        self._given, self._source = given, source
        self._origin: dict[str, str] = {}
        self._notes: list[str] = []

    def arm(self) -> Arm:
        urdf, given = self._urdf, self._given
        base = str(given.get("base_link") or urdf.root_link)
        end_effector = str(given.get("tip_link") or urdf.only_end_effector(base))
        path = urdf.path(base, end_effector)
        joints = [joint for joint in path if joint.moving]
        self._check_joints(joints, base, end_effector)
        names, n = tuple(joint.name for joint in joints), len(joints)
        self._note_fixed(names)
        bodies = Bodies.of(urdf, names, self._notes.append)
        chain = Chain.of(path)
        position_limit = self._position_limit(joints)
        effort = np.array([joint.effort_limit for joint in joints])
        effort[~(effort > 0.0)] = np.inf  # then the YAML has a torque_limit
        torque_limit = self._value("torque_limit", n, lambda: effort)
        velocity_limit = self._value("velocity_limit", n, lambda: self._velocity(joints))
        damping = self._value("damping", n, lambda: np.array([j.damping for j in joints]))
        friction = self._value("friction", n, lambda: np.array([j.friction for j in joints]))
        armature = self._value(
            "armature", n, lambda: np.zeros(n), "assumed: the URDF has no field"
        )
        for key, values in (("torque_limit", torque_limit), ("velocity_limit", velocity_limit)):
            self._check(key, names, values, above=0.0)
        for key, values in (("damping", damping), ("friction", friction), ("armature", armature)):
            self._check(key, names, values, minimum=0.0)
        self._check("torque_limit", names, torque_limit, maximum=effort, what="the URDF's effort")
        defaults = Defaults(chain, bodies, position_limit, urdf.source)
        scale = self._value(
            "action_scale",
            n,
            lambda: defaults.action_scale(velocity_limit, damping, friction, torque_limit),
            "computed: mean diag M · v_max / 0.3 s + damping · v_max + friction",
        )
        self._check("action_scale", names, scale, above=0.0)
        self._check("action_scale", names, scale, maximum=torque_limit, what="its torque_limit")
        control_damping = self._value(
            "control_damping",
            n,
            defaults.control_damping,
            "computed: half the stop damping, at most Λ / 40 ms",
        )
        self._check("control_damping", names, control_damping, minimum=0.0)
        home = self._value(
            "home", n, defaults.home, "computed: dexterous, in front, off the table"
        )
        for index, joint in enumerate(names):
            lower, upper = position_limit[index]
            if not lower <= home[index] <= upper:
                raise ConfigurationError(
                    f"{self._source}: home of {joint} must lie in [{lower:g}, {upper:g}] rad; "
                    f"got {home[index]:g}"
                )
        low, high = self._goal_box(defaults, home)
        self._origin |= {
            "stop_damping": "computed: mean diag M / 0.3 s",
            "brake_limit": "computed: max diag M · v_max / 0.1 s, at most half the torque limit",
        }
        return Arm(
            name=self._name,
            reference=self._reference,
            urdf=urdf,
            base_link=base,
            tip_link=end_effector,
            joint_names=names,
            position_limit=position_limit,
            velocity_limit=velocity_limit,
            torque_limit=torque_limit,
            damping=damping,
            friction=friction,
            armature=armature,
            action_scale=scale,
            home=home,
            goal_low=low,
            goal_high=high,
            control_damping=control_damping,
            stop_damping=defaults.stop_damping(),
            brake_limit=defaults.brake_limit(velocity_limit, torque_limit),
            chain=chain,
            bodies=bodies,
            origin=self._origin,
            notes=tuple(self._notes),
        )

    def _check_joints(self, joints: Sequence[UrdfJoint], base: str, end_effector: str) -> None:
        where = f"URDF {self._urdf.source}"
        if not joints:
            raise ConfigurationError(
                f"{where}: no joint between {base!r} and {end_effector!r} moves"
            )
        if len(joints) > _MAXIMUM_JOINTS:
            raise ConfigurationError(
                f"{where}: an arm must have at most {_MAXIMUM_JOINTS} joints; from {base!r} to "
                f"{end_effector!r} there are {len(joints)}"
            )
        for joint in joints:
            if joint.kind == "prismatic":
                raise ConfigurationError(
                    f"{where}: the joint {joint.name!r} slides, and sac_ros takes revolute joints "
                    "only: fix it, or choose another tip_link"
                )
            if joint.mimic:
                raise ConfigurationError(
                    f"{where}: the joint {joint.name!r} follows another (mimic) and cannot be "
                    "one of the arm's: choose another tip_link"
                )
            if not 0.5 < math.hypot(*joint.axis) < 2.0:
                raise ConfigurationError(
                    f"{where}: the axis of joint {joint.name!r} must be a unit vector; "
                    f"got {joint.axis}"
                )
            if not joint.effort_limit > 0.0 and "torque_limit" not in self._given:
                raise ConfigurationError(
                    f"{where}: the joint {joint.name!r} must have an effort limit above 0 N·m, or "
                    f"a YAML must have torque_limit; got {_known(joint.effort_limit)}"
                )

    def _note_fixed(self, names: Sequence[str]) -> None:
        others = [
            joint.name
            for joint in self._urdf.joints.values()
            if joint.moving and joint.name not in names
        ]
        if others:
            self._notes.append(
                f"joints that are not the arm's are held at zero: {', '.join(others)}"
            )

    def _position_limit(self, joints: Sequence[UrdfJoint]) -> Array:
        described = np.array([joint.position_limit for joint in joints])
        limit = self._value("position_limit", len(joints), lambda: described, shape=(2,))
        endless = [joint.name for joint in joints if joint.kind == "continuous"]
        if "position_limit" not in self._given and endless:
            self._notes.append(f"continuous joints are used within ±π rad: {', '.join(endless)}")
            limit = np.where(np.isinf(limit), [-math.pi, math.pi], limit)
        for joint, (low, high) in zip(joints, limit, strict=True):
            if not -100.0 < low < high < 100.0:
                raise ConfigurationError(
                    f"URDF {self._urdf.source}: the joint {joint.name!r} must have position "
                    f"limits lower < upper, in rad; got {_known(low)} and {_known(high)}"
                )
        return limit

    def _velocity(self, joints: Sequence[UrdfJoint]) -> Array:
        for joint in joints:
            if not joint.velocity_limit > 0.0:
                raise ConfigurationError(
                    f"URDF {self._urdf.source}: the joint {joint.name!r} must have a velocity "
                    "limit above 0 rad/s, or a YAML must have velocity_limit; got "
                    f"{_known(joint.velocity_limit)}"
                )
        described = np.array([joint.velocity_limit for joint in joints])
        fast = [joint.name for joint in joints if joint.velocity_limit > FASTEST + 1e-3]
        if fast:
            self._notes.append(
                f"velocity limits above {FASTEST:.3g} rad/s are taken as that, a YAML with "
                f"velocity_limit lifts it: {', '.join(fast)}"
            )
        return np.minimum(described, FASTEST)

    def _goal_box(self, defaults: Defaults, home: Array) -> tuple[Array, Array]:
        if ("goal_low" in self._given) != ("goal_high" in self._given):
            raise ConfigurationError(f"{self._source}: goal_low and goal_high belong together")
        if "goal_low" in self._given:
            low, high = (self._value(key, 3, lambda: home) for key in ("goal_low", "goal_high"))
        else:
            low, high = defaults.goal_box(home)
            self._origin["goal_low"] = self._origin["goal_high"] = (
                "computed: middle of the places in front, off the table, within 95 % of the reach"
            )
        if not np.all(low < high):
            raise ConfigurationError(
                f"{self._source}: goal_low must be below goal_high in x, y and z; "
                f"got {low.tolist()} and {high.tolist()}"
            )
        return low, high

    def _value(
        self,
        key: str,
        size: int,
        otherwise: Any,
        origin: str = "URDF",
        shape: tuple[int, ...] = (),
    ) -> Array:
        """[size, *shape] of the YAML's `key`, else of `otherwise`."""
        if key not in self._given:
            self._origin[key] = origin
            return np.asarray(otherwise(), dtype=np.float64)
        self._origin[key] = Path(self._source).name
        value = self._given[key]
        try:
            vector = np.array(value, dtype=np.float64)
        except (TypeError, ValueError):
            vector = np.empty(0)
        if vector.shape != (size, *shape) or not np.all(np.isfinite(vector)):
            kind = "pairs [lower, upper]" if shape else "finite numbers"
            raise ConfigurationError(f"{self._source}: {key} must be {size} {kind}; got {value!r}")
        return vector

    def _check(
        self,
        key: str,
        names: Sequence[str],
        values: Array,
        *,
        above: float | None = None,
        minimum: float | None = None,
        maximum: Array | None = None,
        what: str = "",
    ) -> None:
        for index, (joint, value) in enumerate(zip(names, values, strict=True)):
            if maximum is not None and not value <= maximum[index]:
                raise ConfigurationError(
                    f"{self._source}: {key} of {joint} must be at most {what}, "
                    f"{maximum[index]:g}; got {value:g}"
                )
            if above is not None and not value > above:
                raise ConfigurationError(
                    f"{self._source}: {key} of {joint} must be above {above:g}; got {value:g}"
                )
            if minimum is not None and not value >= minimum:
                raise ConfigurationError(
                    f"{self._source}: {key} of {joint} must be at least {minimum:g}; got {value:g}"
                )


def _known(value: float) -> str:
    return f"{value:g}" if math.isfinite(value) else "none"
