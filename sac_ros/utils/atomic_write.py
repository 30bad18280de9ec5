# SPDX-License-Identifier: Apache-2.0
"""Files that appear under their name whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yields a temporary name beside `path` to write to, which is then renamed to `path`.

    After an error in the block nothing is renamed and the temporary file is removed.
    """
    partial = path.with_suffix(".partial")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
