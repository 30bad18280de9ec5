# SPDX-License-Identifier: Apache-2.0
"""Files that appear under their name whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yields a temporary name beside `path` to write to, which is then renamed to `path`.

    The content is on the disk before it gets its name, so that a power cut leaves the old file or
    the new one. After an error in the block nothing is renamed and the temporary file is removed.
    The temporary name keeps the suffix, by which some libraries choose a format.
    """
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
