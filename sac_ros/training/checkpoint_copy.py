# SPDX-License-Identifier: Apache-2.0
"""Checkpoints beside this machine: on any file system of pyarrow."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from sac_ros.training.checkpoint import PATTERN, checkpoints_in
from sac_ros.utils.atomic_write import atomic_write
from sac_ros.utils.errors import ConfigurationError

_CONFIGURATION = "train.yaml"
_BLOCK = 2**20  # bytes


class CheckpointCopies:
    """The files of one run that `resume` needs, in a directory of a file system.

    A file is written under another name and then renamed, where the file system can; an object
    store shows a file when it is whole.
    """

    def __init__(self, location: str, run: Path, number: int) -> None:
        """Of the run in the directory `run`; keeps its `number` newest checkpoints.

        Args:
            location: a URI such as s3://BUCKET/DIRECTORY, gs://, hdfs:// or file:///, or a path.
            run: the run's directory, whose name is that of its directory at `location`.
            number: of checkpoints.

        Raises:
            ConfigurationError: pyarrow is not installed, or has no such `location`.
        """
        try:
            from pyarrow import fs  # noqa: PLC0415
        except ImportError as error:
            raise ConfigurationError(
                f"checkpoint_copy needs pyarrow: pip install 'sac_ros[ray]' ({error})"
            ) from error
        try:
            # A path of this machine may be a relative one.
            uri = location if "://" in location else Path(location).expanduser().resolve().as_uri()
            self._system, root = fs.FileSystem.from_uri(uri)
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                "checkpoint_copy must be a path, or a URI of pyarrow.fs, such as "
                f"s3://BUCKET/DIRECTORY; got {location!r}: {' '.join(str(error).split())}"
            ) from error
        self._selector = fs.FileSelector
        self._run, self._number = run, number
        self._path = f"{root.rstrip('/')}/{run.name}"

    def save(self, checkpoint: Path) -> None:
        """Copies a checkpoint and the run's parameters, then removes what is older than is kept.

        Raises:
            OSError: it could not be written.
        """
        self._system.create_dir(self._path, recursive=True)
        for each in (self._run / _CONFIGURATION, checkpoint):
            partial = f"{self._path}/{each.name}.partial"
            with each.open("rb") as source, self._system.open_output_stream(partial) as target:
                shutil.copyfileobj(source, target, _BLOCK)
            self._system.move(partial, f"{self._path}/{each.name}")
        for name in self._names()[: -self._number]:
            self._system.delete_file(f"{self._path}/{name}")

    def fetch(self) -> bool:
        """Brings the newest checkpoint and the parameters to the run's directory, if any.

        Raises:
            OSError: it could not be read, or written here.
        """
        names = self._names()
        if not names:
            return False
        self._run.mkdir(parents=True, exist_ok=True)
        for name in (_CONFIGURATION, names[-1]):
            with (
                self._system.open_input_stream(f"{self._path}/{name}") as source,
                atomic_write(self._run / name) as partial,
                partial.open("wb") as target,
            ):
                shutil.copyfileobj(source, target, _BLOCK)
        return True

    def _names(self) -> list[str]:
        """Of the checkpoints there, oldest first: their numbers have leading zeros."""
        selector = self._selector(self._path, allow_not_found=True)
        found: list[Any] = self._system.get_file_info(selector)
        return sorted(each.base_name for each in found if Path(each.base_name).match(PATTERN))


def fetch_if_missing(location: str, run: Path) -> None:
    """Brings a run's newest checkpoint from `location` where this machine has none of it.

    Raises:
        ConfigurationError: `location` cannot be used or read.
    """
    if checkpoints_in(run):
        return
    try:
        CheckpointCopies(location, run, 1).fetch()
    except OSError as error:
        raise ConfigurationError(
            f"checkpoint_copy {location!r} cannot be read: {' '.join(str(error).split())}"
        ) from error
