# SPDX-License-Identifier: Apache-2.0
"""From a path on the command line to the storage files of a bag, however it was left behind.

What is in a file follows from its first bytes and not from its name. ``metadata.yaml`` is a help
and no need: it may be missing, name files that were renamed since, or hold anything at all.
"""

from __future__ import annotations

import os
import reprlib
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from sac_ros.utils.errors import BagError

METADATA = "metadata.yaml"
_NEWEST_METADATA = 9  # of ROS 2 Lyrical
_LARGEST_METADATA = 2**20  # bytes; a hundred topics take some 100 kB
_ENDINGS = (".db3", ".mcap", ".bag", ".zstd", ".zst")
_MAGIC = {
    b"SQLite format 3\0": "sqlite3",
    b"\x89MCAP0\r\n": "mcap",
    b"#ROSBAG V2.0\n": "ros1",
    b"\x28\xb5\x2f\xfd": "zstd",
}


@dataclass(frozen=True)
class BagFiles:
    """The storage files of one bag.

    Attributes:
        files: in any order; what they hold decides which comes first.
        expected: how many messages metadata.yaml promises; None where it is silent.
        warnings: what is odd about them.
        encodings: topic to serialisation, where metadata.yaml has it; older db3 files do not.
        promised: topic to how many messages metadata.yaml promises, where it does.
    """

    files: tuple[Path, ...]
    expected: int | None = None
    warnings: tuple[str, ...] = ()
    encodings: dict[str, str] = field(default_factory=dict)
    promised: dict[str, int] = field(default_factory=dict)


class _NoAliases(yaml.SafeLoader):
    """A loader that refuses aliases: nested, a kilobyte of them is gigabytes of values."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it has an alias, which no recorder writes")
        return super().compose_node(parent, index)


def find_bag_files(path: Path) -> BagFiles:
    """Return the storage files of a bag folder, a bare storage file or a metadata.yaml.

    Raises:
        BagError: nothing is there, or nothing that is a bag.
    """
    if not path.exists():
        raise BagError(f"bag {path} does not exist")
    if path.name == METADATA:
        path = path.parent
    if not path.is_dir():
        return BagFiles((path,))
    found = tuple(sorted(f for f in path.iterdir() if f.is_file() and f.suffix in _ENDINGS))
    metadata = path / METADATA
    if not metadata.is_file():
        if not found:
            raise BagError(f"bag {path} holds no metadata.yaml and no .db3 or .mcap file")
        return BagFiles(found, warnings=(f"no {METADATA} in {path}",))
    return _by_metadata(path, found)


def storage_kind(path: Path) -> str:
    """Return ``sqlite3``, ``mcap``, ``ros1`` or ``zstd``, by the first bytes of a file.

    Raises:
        BagError: it is none of them, empty, or cannot be read.
    """
    if not path.is_file():  # to open a pipe waits for who writes into it
        raise BagError(f"bag {path} must be a folder or a file; it is neither")
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except OSError as error:
        raise BagError(f"bag {path} cannot be read: {error.strerror}") from error
    if not start:
        raise BagError(f"bag {path} is empty: 0 bytes")
    for magic, kind in _MAGIC.items():
        if start.startswith(magic):
            return kind
    raise BagError(f"bag {path} must be sqlite3, mcap or a ROS 1 bag; it begins with {start!r}")


def _read_metadata(path: Path, odd: list[str]) -> dict[str, Any]:
    """Return what metadata.yaml has; nothing, and why, where it cannot be read."""
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST_METADATA + 1)
    except OSError as error:
        raise BagError(f"{path} cannot be read: {error.strerror}") from error
    if len(text) > _LARGEST_METADATA:
        odd.append(f"{path} must have at most {_LARGEST_METADATA} bytes; it is left out")
        return {}
    try:
        information = yaml.load(text, _NoAliases)["rosbag2_bagfile_information"]
        version, information = information["version"], dict(information)
    except Exception as error:  # of YAML, or whatever Python raises at an odd number or date
        why = " ".join(str(error).split())[:200]
        odd.append(f"{path} cannot be understood: {why or type(error).__name__}")
        return {}
    if _count(version) is None:
        odd.append(f"{path} cannot be understood: its version is {_shown(version)}")
        return {}
    if version > _NEWEST_METADATA:
        raise BagError(f"{path} must be of version {_NEWEST_METADATA} or older; got {version}")
    return information


def _list(values: dict[str, Any], key: str, odd: list[str]) -> list[Any]:
    """Return a list of metadata.yaml; an empty one, and why, where it has something else."""
    found = values.get(key)
    if found is None or isinstance(found, list):
        return found or []
    odd.append(f"{METADATA}: {key} must be a list; got {_shown(found)}")
    return []


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value < 2**63 else None


def _read_topics(values: dict[str, Any], odd: list[str]) -> tuple[dict[str, str], dict[str, int]]:
    """Return the serialisation of the topics in metadata.yaml, and their messages, if any."""
    encodings: dict[str, str] = {}
    promised: dict[str, int] = {}
    key = "topics_with_message_count"
    for each in _list(values, key, odd):
        about = each.get("topic_metadata") if isinstance(each, dict) else None
        about = about if isinstance(about, dict) else {}
        name = about.get("name")
        if not isinstance(name, str):
            odd.append(f"{METADATA}: {key} must name topics; got {_shown(each)}")
            break  # one such sentence is enough
        if isinstance(encoding := about.get("serialization_format"), str):
            encodings[name] = _shown(encoding)
        if (count := _count(each.get("message_count"))) is not None:
            promised[name] = count
    return encodings, promised


def _shown(value: Any) -> str:
    """Return a value in a few printable characters."""
    text = value if isinstance(value, str) else type(value).__name__
    if not isinstance(value, (str, int)):
        text = reprlib.repr(value)
    elif isinstance(value, int) and abs(value) < 2**63:
        text = str(value)
    return "".join(each if each.isprintable() else "?" for each in text)[:100]


def _by_metadata(path: Path, found: tuple[Path, ...]) -> BagFiles:
    odd: list[str] = []
    metadata = _read_metadata(path / METADATA, odd)
    names = _list(metadata, "relative_file_paths", odd)
    if wrong := [name for name in names if not isinstance(name, str)]:
        odd.append(f"{METADATA}: relative_file_paths must be texts; got {_shown(wrong[0])}")
    # Old recorders wrote the folder's name in front, which may have changed since.
    named = [path / PurePosixPath(name).name for name in names if isinstance(name, str)]
    # Unlike `Path.is_file`, this is silent on names that no file can have.
    there = tuple(file for file in dict.fromkeys(named) if os.path.isfile(file))
    absent = [_shown(file.name) for file in named if file not in there]
    missing = ", ".join(absent[:3]) + (f" and {len(absent) - 3} more" if absent[3:] else "")
    if missing and found:
        odd.append(
            f"{METADATA} names {missing}, not in {path}; read instead what is: "
            f"{', '.join(file.name for file in found)}"
        )
        there = found
    files = there or found
    if not files:
        what = f"; {METADATA} names {missing}" if missing else ""
        raise BagError(f"bag {path} holds no .db3 or .mcap file{what}")
    count = metadata.get("message_count")
    if count is not None and _count(count) is None:
        odd.append(f"{METADATA}: message_count must be a count; got {_shown(count)}")
    topics = _read_topics(metadata, odd)
    return BagFiles(files, _count(count), tuple(odd), *topics)
