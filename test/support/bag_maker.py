# SPDX-License-Identifier: Apache-2.0
"""Bags for tests, written by the ``rosbags`` library: a tiny arm, its commands and its goals."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore
from tiny_policy import JOINTS, tiny_action, tiny_spec

TYPES = get_typestore(Stores.LATEST)
START_NS = 1_700_000_000_000_000_000
STATES, COMMANDS, GOALS = "/joint_states", "/commands", "/goal_pose"
TYPE_OF = {
    "states": "sensor_msgs/msg/JointState",
    "numbers": "std_msgs/msg/Float64MultiArray",
    "pose": "geometry_msgs/msg/PoseStamped",
    "text": "std_msgs/msg/String",
    "trajectory": "trajectory_msgs/msg/JointTrajectory",
}


@dataclass
class Entry:
    """One message: topic, a key of `TYPE_OF`, when it was recorded, and its CDR."""

    topic: str
    kind: str
    time_ns: int
    cdr: bytes


def header(stamp_ns: int, frame: str = "") -> Any:
    time = TYPES.types["builtin_interfaces/msg/Time"](
        sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9
    )
    return TYPES.types["std_msgs/msg/Header"](stamp=time, frame_id=frame)


def joint_state(
    stamp_ns: int,
    names: Sequence[str],
    position: Any = (),
    velocity: Any = (),
    effort: Any = (),
) -> bytes:
    kind = TYPE_OF["states"]
    fields = [np.asarray(each, dtype=float) for each in (position, velocity, effort)]
    message = TYPES.types[kind](header(stamp_ns), list(names), *fields)
    return bytes(TYPES.serialize_cdr(message, kind))


def numbers(values: Any) -> bytes:
    kind = TYPE_OF["numbers"]
    layout = TYPES.types["std_msgs/msg/MultiArrayLayout"](dim=[], data_offset=0)
    message = TYPES.types[kind](layout, np.ascontiguousarray(values, dtype=float))
    return bytes(TYPES.serialize_cdr(message, kind))


def trajectory(stamp_ns: int, names: Sequence[str], *points: dict[str, Any]) -> bytes:
    """A JointTrajectory; each point by its fields, such as ``{"effort": [1.0]}``."""
    kind, fields = TYPE_OF["trajectory"], ("positions", "velocities", "accelerations", "effort")
    duration = TYPES.types["builtin_interfaces/msg/Duration"](sec=0, nanosec=5)
    each = [
        TYPES.types["trajectory_msgs/msg/JointTrajectoryPoint"](
            *(np.asarray(point.get(name, ()), dtype=float) for name in fields), duration
        )
        for point in points
    ]
    message = TYPES.types[kind](header(stamp_ns), list(names), each)
    return bytes(TYPES.serialize_cdr(message, kind))


def pose(x: float, y: float, z: float, frame: str = "base", stamp_ns: int = 0) -> bytes:
    kind = TYPE_OF["pose"]
    geometry = "geometry_msgs/msg"
    point = TYPES.types[f"{geometry}/Point"](x, y, z)
    turn = TYPES.types[f"{geometry}/Quaternion"](0.0, 0.0, 0.0, 1.0)
    message = TYPES.types[kind](
        header(stamp_ns, frame), TYPES.types[f"{geometry}/Pose"](point, turn)
    )
    return bytes(TYPES.serialize_cdr(message, kind))


def text(data: str) -> bytes:
    kind = TYPE_OF["text"]
    return bytes(TYPES.serialize_cdr(TYPES.types[kind](data), kind))


def write_bag(path: Path, entries: Iterable[Entry], storage: str = "sqlite3") -> Path:
    """Write a rosbag2 folder."""
    with Writer(path, version=9, storage_plugin=StoragePlugin[storage.upper()]) as writer:
        connections: dict[str, Any] = {}
        for each in sorted(entries, key=lambda each: each.time_ns):
            if each.topic not in connections:
                connections[each.topic] = writer.add_connection(
                    each.topic, TYPE_OF[each.kind], typestore=TYPES
                )
            writer.write(connections[each.topic], each.time_ns, each.cdr)
    return path


@dataclass
class Motion:
    """A recording of the tiny arm, which `entries` turns into messages.

    Attributes:
        names: of the joints in the bag.
        rate_hz: of states and commands.
        count: of states.
        goal: the only one, recorded before the first state; None: none.
        delay_ns: from a state to its command.
        stamps: state number to header stamp; default: when it was recorded.
        factor: seconds of stamps to one of the recorder's.
        torque: (position, velocity) to the recorded torque; default: that of the tiny policy.
    """

    names: Sequence[str] = JOINTS
    rate_hz: float = 100.0
    count: int = 300
    goal: tuple[float, float, float] | None = (0.3, 0.0, 0.2)
    delay_ns: int = 1_000_000
    stamps: Callable[[int], int] | None = None
    factor: float = 1.0
    torque: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None

    def time_ns(self, i: int) -> int:
        return START_NS + round(i * 1e9 / self.rate_hz)

    def state(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        """Position and velocity, as the float32 that a policy takes."""
        t = i / self.rate_hz
        rate = 2 * np.pi * 0.175  # rad/s
        phase = rate * t + np.arange(len(self.names))
        position, velocity = 0.8 * np.sin(phase), 0.8 * rate / self.factor * np.cos(phase)
        return position.astype(np.float32), velocity.astype(np.float32)

    def command(self, i: int) -> np.ndarray:
        position, velocity = self.state(i)
        if self.torque is not None:
            return self.torque(position, velocity)
        scale = np.asarray(tiny_spec().action_scale)
        return scale * tiny_action(position, velocity, np.float32(self.goal or (0.0, 0.0, 0.0)))

    def states(self) -> list[Entry]:
        entries = []
        for i in range(self.count):
            stamp = self.stamps(i) if self.stamps else self.time_ns(i)
            position, velocity = self.state(i)
            cdr = joint_state(stamp, self.names, position, velocity, 0.1 * position)
            entries.append(Entry(STATES, "states", self.time_ns(i), cdr))
        return entries

    def commands(self) -> list[Entry]:
        return [
            Entry(COMMANDS, "numbers", self.time_ns(i) + self.delay_ns, numbers(self.command(i)))
            for i in range(self.count)
        ]

    def goals(self) -> list[Entry]:
        if self.goal is None:
            return []
        return [Entry(GOALS, "pose", START_NS - 5_000_000, pose(*self.goal))]

    def entries(self) -> list[Entry]:
        return [*self.states(), *self.commands(), *self.goals()]


def damaged(motion: Motion, generator: np.random.Generator) -> list[Entry]:
    """2000 joint states at 400 Hz of which 5 % are lost, with holes, swapped and with faults."""
    count = 2000
    lost = set(np.flatnonzero(generator.uniform(size=count) < 0.05).tolist())
    for hole in (300, 700, 1100, 1500):
        lost |= {hole, hole + 1, hole + 2}  # 8 ms
    lost |= set(range(1300, 1340))  # 100 ms: the watchdog
    kept = [i for i in range(count) if i not in lost]
    for place in range(40, len(kept) - 1, 61):
        kept[place], kept[place + 1] = kept[place + 1], kept[place]
    entries = []
    for place, i in enumerate(kept):
        position, velocity = (each.astype(float) for each in motion.state(i))
        names = JOINTS
        if 500 <= i < 505:
            position[1] = np.nan
        if 900 <= i < 903:
            names = ("another", *JOINTS[1:])
        if i in (600, 601):
            position[0] += 1.0
        stamp = motion.time_ns(i - (i % 113 == 0))  # some repeat the stamp before
        cdr = joint_state(stamp, names, position, velocity)
        entries.append(Entry(STATES, "states", motion.time_ns(place), cdr))
    return entries
