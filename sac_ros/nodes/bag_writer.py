# SPDX-License-Identifier: Apache-2.0
"""Writes a rosbag2 folder message by message, without ROS 2's own recorder."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from rosbags.interfaces import Connection
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from sac_ros.errors import ConfigurationError, SacRosError
from sac_ros.nodes.recorded_topics import RecordedTopic

STORAGES = tuple(plugin.name.lower() for plugin in StoragePlugin)
"""``sqlite3`` and ``mcap``."""


class BagWriteError(SacRosError):
    """A message could not be written; the sentence says where and why."""


def new_bag_name() -> str:
    """Return a name that tells when the recording began, such as ``sac_ros_2026_11_22-23_31_46``.

    The pattern is that of ``ros2 bag record``.
    """
    return time.strftime("sac_ros_%Y_%m_%d-%H_%M_%S")


class BagWriter:
    """A bag that is being written, until `close`.

    MCAP is the better storage for a recording that may be cut off: what was written can be
    recovered. Of an sqlite3 bag that was not closed nothing is left.

    Attributes:
        path: the bag's folder.
        counts: messages written, by topic.
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
        plugin = StoragePlugin[storage.upper()]
        self._writer = Writer(path, version=9, storage_plugin=plugin)
        try:
            self._writer.open()
            self._connections: dict[str, Connection] = {
                topic.name: self._writer.add_connection(topic.name, topic.msgtype, typestore=types)
                for topic in topics
            }
        except OSError as error:
            raise ConfigurationError(f"bag {path} cannot be written: {error.strerror}") from error
        self.counts = dict.fromkeys(self._connections, 0)

    def write(self, topic: str, time_ns: int, cdr: bytes) -> None:
        """Write a serialised message that was received at ``time_ns``, ns since 1970.

        Raises:
            BagWriteError: the disk is full, or gone.
        """
        try:
            self._writer.write(self._connections[topic], time_ns, cdr)
        except OSError as error:
            raise BagWriteError(f"bag {self.path} cannot be written: {error.strerror}") from error
        self.counts[topic] += 1

    def close(self) -> None:
        """Write the index and the metadata; without them the bag is not whole.

        Raises:
            BagWriteError: the disk is full, or gone.
        """
        try:
            self._writer.close()
        except OSError as error:
            raise BagWriteError(f"bag {self.path} cannot be closed: {error.strerror}") from error
