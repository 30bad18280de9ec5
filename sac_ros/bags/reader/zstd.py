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

MAGIC = b"\x28\xb5\x2f\xfd"
"""The first bytes of a frame; no CDR message begins like it."""

_LARGEST_MESSAGE = 2**26  # bytes; joint states have some hundred


def decompress(message: bytes) -> bytes:
    """Decompress a message of at most 64 MiB.

    Raises:
        ZstdError: it is damaged, cut off, or larger.
    """
    decompressor = zstd.ZstdDecompressor()
    plain: bytes = decompressor.decompress(message, _LARGEST_MESSAGE)
    if not decompressor.eof:
        raise zstd.ZstdError("the frame is cut off or too large")
    return plain


def decompress_some(data: bytes, largest: int) -> bytes:
    """Decompress as much of a frame as is there, and at most ``largest`` bytes."""
    plain: bytes = zstd.ZstdDecompressor().decompress(data, largest)
    return plain


def decompress_file(path: Path, folder: Path) -> Path:
    """Decompress a file into a folder, under its name without the last ending.

    Raises:
        BagError: it is damaged, or there is no room.
    """
    target = folder / path.stem
    try:
        with zstd.open(path, "rb") as packed, target.open("wb") as plain:
            shutil.copyfileobj(packed, plain, 2**20)
    except (zstd.ZstdError, EOFError) as error:
        raise BagError(f"bag {path} is damaged: {error}") from error
    except OSError as error:
        raise BagError(f"bag {path} cannot be decompressed: {error.strerror}") from error
    return target
