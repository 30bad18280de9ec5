# SPDX-License-Identifier: Apache-2.0
"""Arrays that grow without filling the memory: beyond some size they live in a temporary file.

The file is deleted as soon as it is open, so nothing is left behind whatever ends the process.
The kernel keeps as much of it in memory as there is room for.
"""

from __future__ import annotations

import math
import mmap
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal
from weakref import WeakSet

import numpy as np
from numpy.typing import DTypeLike, NDArray

from sac_ros.utils.errors import BagError

Array = NDArray[np.float64]

_BLOCK = 2**13  # rows handled at a time: seven doubles of each fit into a processor's cache
_IN_MEMORY = 2**20  # bytes of an array that is not worth a file


class Spool:
    """Where large arrays go.

    ``folder`` should not be one that lives in memory itself, as ``/tmp`` does on some machines;
    None is Python's choice of a temporary folder.
    """

    def __init__(self, folder: Path | None = None, in_memory: int = _IN_MEMORY) -> None:
        self._folder = folder
        self._in_memory = in_memory
        self._maps: WeakSet[mmap.mmap] = WeakSet()

    def empty(self, shape: tuple[int, ...], kind: DTypeLike = np.float64) -> NDArray[Any]:
        """Return an array with undefined content."""
        size = math.prod(shape) * np.dtype(kind).itemsize
        if size <= self._in_memory:
            return np.empty(shape, dtype=kind)
        with self.written(), tempfile.TemporaryFile(dir=self._folder) as file:
            os.posix_fallocate(file.fileno(), 0, size)  # or else a full disk ends the process
            return self.mapped(file, kind, "w+", shape)

    @contextmanager
    def written(self) -> Iterator[None]:
        """Turn the error of a disk without room for a file into a sentence."""
        try:
            yield
        except OSError as error:
            folder = self._folder or tempfile.gettempdir()
            raise BagError(f"large arrays need room in {folder}: {error.strerror}") from error

    def mapped(
        self, file: Any, kind: DTypeLike, mode: Literal["r+", "w+"], shape: tuple[int, ...]
    ) -> NDArray[Any]:
        """Return a file's content as a plain array: of a memmap each single row takes longer.

        What was touched of all others is let go of: it is in the file, and comes back when it is
        asked for.
        """
        for other in self._maps:
            other.madvise(mmap.MADV_DONTNEED)
        content = np.memmap(file, dtype=kind, mode=mode, shape=shape)
        self._maps.add(content._mmap)  # type: ignore[attr-defined]  # numpy's own tests use it
        return content.view(np.ndarray)


class Column:
    """Rows that are appended block by block and then read as one array."""

    def __init__(self, spool: Spool, width: int = 0, kind: DTypeLike = np.float64) -> None:
        """An empty one, of rows [width], or of single values where width is 0."""
        self._spool = spool
        self._tail = (width,) if width else ()
        self._kind = np.dtype(kind)
        self._blocks: list[NDArray[Any]] = []
        self._held = 0
        self._file: Any = None
        self._rows = 0

    def append(self, rows: NDArray[Any]) -> None:
        """Append rows [k, width] or values [k]."""
        block = np.array(rows, dtype=self._kind).reshape(-1, *self._tail)
        self._blocks.append(block)
        self._rows += len(block)
        self._held += block.nbytes
        if self._held > self._spool._in_memory:
            self._flush()

    def array(self) -> NDArray[Any]:
        """Return everything that was appended: [rows, width] or [rows]."""
        shape = (self._rows, *self._tail)
        if self._file is None:
            whole = np.concatenate(self._blocks) if self._blocks else np.empty(0, self._kind)
            self._blocks = [whole.reshape(shape)]  # or each value would be held twice
            return self._blocks[0]
        self._flush()
        return self._spool.mapped(self._file, self._kind, "r+", shape)

    def _flush(self) -> None:
        with self._spool.written():
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self._spool._folder)  # noqa: SIM115 - stays
            for block in self._blocks:
                self._file.write(block)
            self._file.flush()
        self._blocks.clear()
        self._held = 0


def blocks(rows: int, size: int = _BLOCK) -> Iterator[slice]:
    """Yield slices that cover so many rows."""
    for start in range(0, rows, size):
        yield slice(start, min(start + size, rows))


def take_rows(spool: Spool, array: NDArray[Any], index: NDArray[np.intp]) -> NDArray[Any]:
    """Return ``array[index]`` without a second copy in memory; all of it is the array itself."""
    if len(index) == len(array) and np.array_equal(index, np.arange(len(array))):
        return array
    taken = spool.empty((len(index), *array.shape[1:]), array.dtype)
    for part in blocks(len(index)):
        taken[part] = array[index[part]]
    return taken


def finite_rows(array: NDArray[np.floating], largest: float = np.inf) -> NDArray[np.bool_]:
    """Return which rows of [m, n] are finite, and in absolute value below ``largest``."""
    finite = np.ones(len(array), dtype=bool)
    for part in blocks(len(array)):
        each = np.abs(array[part]) < largest
        if not each.all():  # short rows one by one take ten times as long as all in one
            finite[part] = each.all(axis=1)
    return finite
