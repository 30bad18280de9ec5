# SPDX-License-Identifier: Apache-2.0
"""From a path on the command line to the storage files of a bag, however it was left behind.

What is in a file is told by its first bytes and not by its name. ``metadata.yaml`` is a help and
no need: it may be missing, or name files that were renamed since.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from sac_ros.utils.errors import BagError

METADATA = "metadata.yaml"
_NEWEST_METADATA = 9  # of ROS 2 Lyrical
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
        files: in any order; what they hold tells which comes first.
        expected: how many messages metadata.yaml promises; None where it is silent.
        warnings: what is odd about them.
        encodings: topic to serialisation, where metadata.yaml tells; older db3 files do not.
    """

    files: tuple[Path, ...]
    expected: int | None = None
    warnings: tuple[str, ...] = ()
    encodings: dict[str, str] = field(default_factory=dict)


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
    return _by_metadata(path, found, _read_metadata(metadata))


def storage_kind(path: Path) -> str:
    """Return ``sqlite3``, ``mcap``, ``ros1`` or ``zstd``, by the first bytes of a file.

    Raises:
        BagError: it is none of them, empty, or cannot be read.
    """
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


def _read_metadata(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        information = values["rosbag2_bagfile_information"]
        version = int(information["version"])
        information = dict(information)
    except OSError as error:
        raise BagError(f"{path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, KeyError, TypeError, ValueError, RecursionError):
        return {}  # as good as missing
    if version > _NEWEST_METADATA:
        raise BagError(f"{path} must be of version {_NEWEST_METADATA} or older; got {version}")
    return information


def _by_metadata(path: Path, found: tuple[Path, ...], metadata: dict[str, Any]) -> BagFiles:
    warnings = []
    if not metadata:
        warnings.append(f"{path / METADATA} cannot be understood")
    names = metadata.get("relative_file_paths")
    # Old recorders wrote the folder's name in front, which may have changed since.
    named = [path / PurePosixPath(str(name)).name for name in names or []]
    there = tuple(file for file in named if file.is_file())
    missing = [file.name for file in named if not file.is_file()]
    if missing and found:
        warnings.append(
            f"{METADATA} names {', '.join(missing)}, not in {path}; read instead what is: "
            f"{', '.join(file.name for file in found)}"
        )
        there = found
    files = there or found
    if not files:
        what = f"; {METADATA} names {', '.join(missing)}" if missing else ""
        raise BagError(f"bag {path} holds no .db3 or .mcap file{what}")
    count = metadata.get("message_count")
    encodings: dict[str, str] = {}
    with suppress(KeyError, TypeError):
        topics = [each["topic_metadata"] for each in metadata["topics_with_message_count"]]
        encodings = {str(topic["name"]): str(topic["serialization_format"]) for topic in topics}
    return BagFiles(files, count if isinstance(count, int) else None, tuple(warnings), encodings)
