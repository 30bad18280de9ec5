# SPDX-License-Identifier: Apache-2.0
"""Zstandard, of the standard library where it has one: messages, and whole files to a folder."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from sac_ros.utils.errors import BagError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ZstdError = zstd.ZstdError

MAGIC = b"\x28\xb5\x2f\xfd"
"""The first bytes of a frame; no CDR message begins like it."""

LARGEST_MESSAGE = 2**20
"""Bytes of a message that is unpacked at most; joint states have some hundred."""

LARGEST_CHUNK = 2**28
"""Bytes of a chunk that is unpacked at most; writers' chunks have some megabytes."""

_LARGEST_FILE = 2**28  # bytes of an unpacked file, or, where that is more:
_LARGEST_RATIO = 100  # times its packed size; joint states shrink to a third, zeros to a 30000th
_RESERVE = 2**28  # bytes of the disk that stay free

_BLOCK = 2**20


def decompress(message: bytes) -> bytes:
    """Decompress a message of at most `LARGEST_MESSAGE`.

    Raises:
        ZstdError: it is damaged, cut off, or larger; the text is the reason why it is dropped.
    """
    decompressor = zstd.ZstdDecompressor()
    try:
        plain: bytes = decompressor.decompress(message, LARGEST_MESSAGE + 1)
    except zstd.ZstdError as error:
        raise zstd.ZstdError("damaged zstd") from error
    if len(plain) > LARGEST_MESSAGE:
        raise zstd.ZstdError(f"larger than {LARGEST_MESSAGE} bytes unpacked")
    if not decompressor.eof:
        raise zstd.ZstdError("damaged zstd")
    return plain


def decompress_some(data: bytes, largest: int) -> bytes:
    """Decompress as much of a frame as is there, and at most ``largest`` bytes."""
    plain: bytes = zstd.ZstdDecompressor().decompress(data, largest)
    return plain


def largest_unpacked(packed_bytes: int) -> int:
    """Return how many bytes may come out of a file of a size."""
    return max(_LARGEST_FILE, _LARGEST_RATIO * packed_bytes)


def decompress_file(path: Path, folder: Path) -> Path:
    """Decompress a file into a folder, under its name without the last ending.

    Raises:
        BagError: it is damaged, expands beyond all measure, or there is no room.
    """
    target = folder / path.stem
    try:
        packed_bytes = path.stat().st_size
        largest = largest_unpacked(packed_bytes)
        room = shutil.disk_usage(folder).free - _RESERVE
        with zstd.open(path, "rb") as packed, target.open("wb") as plain:
            size = 0
            while block := packed.read(_BLOCK):
                size += len(block)
                if size > largest:
                    raise BagError(
                        f"bag {path} must unpack to at most {largest} bytes, the larger of "
                        f"{_LARGEST_FILE} and {_LARGEST_RATIO} times its size of {packed_bytes}; "
                        "it has more: unpack it with zstd -d if its source is reliable"
                    )
                if size > room:
                    raise BagError(
                        f"bag {path} must unpack to at most {max(room, 0)} bytes, what is free in "
                        f"{folder.parent} without a reserve of {_RESERVE}; it has more"
                    )
                plain.write(block)
    except (zstd.ZstdError, EOFError) as error:
        raise BagError(f"bag {path} is damaged: {error}") from error
    except OSError as error:
        raise BagError(f"bag {path} cannot be decompressed: {error.strerror}") from error
    return target
