# SPDX-License-Identifier: Apache-2.0
"""Writes a rosbag2 folder message by message, without ROS 2's own recorder."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from rosbags.interfaces import Connection
from rosbags.rosbag2 import Reader, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, String

from sac_ros.bags.reader.bag import Bag
from sac_ros.utils.errors import BagError, ConfigurationError, SacRosError


class RecordedTopic(NamedTuple):
    """One topic of a recording."""

    name: str  # as the nodes use it: relative, or absolute where they do
    message: Any  # the class of its messages
    latched: bool = False  # whether the last messages are kept for late subscribers

    @property
    def msgtype(self) -> str:
        """The type as bags name it, such as ``sensor_msgs/msg/JointState``."""
        return f"{self.message.__module__.partition('.')[0]}/msg/{self.message.__name__}"


RECORDED = (
    RecordedTopic("joint_states", JointState),
    RecordedTopic("goal_pose", PoseStamped),
    RecordedTopic("commands", Float64MultiArray),
    RecordedTopic("policy_node/policy_torque", JointState),
    RecordedTopic("policy_node/applied_torque", JointState),
    RecordedTopic("policy_node/events", String, latched=True),
    RecordedTopic("policy_node/policy_spec", String, latched=True),
    RecordedTopic("robot_description", String, latched=True),
    RecordedTopic("/diagnostics", DiagnosticArray),
    RecordedTopic("/clock", Clock),
)


def absolute(name: str, namespace: str) -> str:
    """Return a topic's full name in a namespace such as ``/left``, ``left`` or an empty text."""
    if name.startswith("/"):
        return name
    parts = [part for part in (*namespace.split("/"), name) if part]
    return "/" + "/".join(parts)


STORAGES = ("mcap", "sqlite3")


class BagWriteError(SacRosError):
    """A message could not be written; the sentence names where and why."""


def new_bag_name(prefix: str = "sac_ros") -> str:
    """Return a name with the time, such as ``sac_ros_2026_11_22-23_31_46``, as ros2 bag does."""
    return time.strftime(f"{prefix}_%Y_%m_%d-%H_%M_%S")


@dataclass
class _Sum:
    """The messages of one topic, in any order: a reader sorts by time, a clock may step back."""

    count: int = 0
    checksum: int = 0

    def add(self, time_ns: int, cdr: bytes) -> None:
        self.count += 1
        self.checksum += crc32(cdr, crc32(time_ns.to_bytes(8, "little", signed=True)))


class BagWriter:
    """A bag that is being written; of one that is cut off, all up to the last `flush` is there.

    Every method raises `BagWriteError` where the disk is full, or gone.

    Attributes:
        path: the bag's folder.
    """

    def __init__(self, path: Path, topics: Iterable[RecordedTopic], storage: str = "mcap") -> None:
        """Makes the folder and declares the topics, whose names must be absolute.

        Raises:
            ConfigurationError: something is there already, or the folder cannot be made.
        """
        self.path = path
        if path.exists():
            raise ConfigurationError(
                f"bag {path} exists already; a recording never writes over another"
            )
        types = get_typestore(Stores.LATEST)
        self._writer = Writer(path, version=9, storage_plugin=StoragePlugin[storage.upper()])
        try:
            self._writer.open()
            self._connections: dict[str, Connection] = {
                topic.name: self._writer.add_connection(topic.name, topic.msgtype, typestore=types)
                for topic in topics
            }
        except OSError as error:
            raise ConfigurationError(f"bag {path} cannot be written: {error.strerror}") from error
        self._sums = {name: _Sum() for name in self._connections}

    @property
    def count(self) -> int:
        """How many messages were written."""
        return sum(each.count for each in self._sums.values())

    def write(self, topic: str, time_ns: int, cdr: bytes) -> None:
        """Write a serialised message that was received at ``time_ns``, ns since 1970."""
        with self._refusing("written"):
            self._writer.write(self._connections[topic], time_ns, cdr)
        self._sums[topic].add(time_ns, cdr)

    def flush(self) -> None:
        """Hand over to the operating system what was written so far.

        ``rosbags`` itself does so for each megabyte, half a minute of a slow robot, and has no
        call for it: a version that names its parts otherwise goes by the megabyte again.
        """
        storage: Any = self._writer.storage
        with self._refusing("written"):
            if isinstance(connection := getattr(storage, "conn", None), sqlite3.Connection):
                connection.commit()
            elif hasattr(storage, "close_chunk") and storage.chunk.msgs:
                storage.close_chunk()
                storage.bio.flush()

    def close(self) -> None:
        """Write the index and the metadata; without them the bag is not whole."""
        with self._refusing("closed"):
            self._writer.close()

    def mismatch(self) -> str:
        """Read the closed bag back; return one sentence if it is not what was written, else "".

        Compares the metadata's counts, and each topic's count and checksum of times and messages.
        The ``rosbags`` library's reader streams the bag through its index, as other tools do.
        """
        found = {name: _Sum() for name in self._sums}
        try:
            with Reader(self.path) as reader:
                total = reader.message_count
                listed = {each.topic: each.msgcount for each in reader.connections}
                for connection, time_ns, cdr in reader.messages():
                    found[connection.topic].add(time_ns, cdr)
        except Exception as error:  # the library lets everything through that damage can cause
            reason = " ".join(str(error).split()) or type(error).__name__
            return f"bag {self.path} cannot be read back: {reason}"
        for name, written in self._sums.items():
            must = f"bag {self.path} must have the {written.count} messages written to {name}"
            if not listed[name] == found[name].count == written.count:
                return f"{must}; it has {found[name].count}, its metadata.yaml has {listed[name]}"
            if found[name] != written:
                return f"{must}; it has as many, but others"
        if total != self.count:
            return f"bag {self.path} has {self.count} messages; its metadata.yaml has {total}"
        return ""

    def miscount(self) -> str:
        """Compare only how many messages the closed bag's index and metadata have; as `mismatch`.

        A million messages take MCAP some 20 ms, sqlite3, which counts its rows, some 2 s.
        """
        try:
            with Bag(self.path) as bag:
                found, odd = bag.topics, bag.warnings
        except BagError as error:
            return f"what was recorded cannot be read back: {error}"
        for name, written in self._sums.items():
            if (count := found[name].messages if name in found else 0) != written.count:
                return (
                    f"bag {self.path} must have the {written.count} messages written to {name}; "
                    f"its index has {count}"
                )
        return f"bag {self.path}: {'; '.join(odd)}" if odd else ""

    @contextlib.contextmanager
    def _refusing(self, what: str) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error) as error:  # of the two storages
            raise BagWriteError(f"bag {self.path} cannot be {what}: {error}") from error
