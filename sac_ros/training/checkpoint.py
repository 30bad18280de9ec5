# SPDX-License-Identifier: Apache-2.0
"""Checkpoint files: written whole or not at all, read without running what is in them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from sac_ros.utils.errors import ConfigurationError

FORMAT = 4  # 4: joint positions in the replay, success rates with their tolerances


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Writes `content` (tensors, numbers, texts, lists, dicts) to `path`.

    It goes to a temporary name beside it and is renamed, so that `path` always holds a whole
    checkpoint: the old one or the new one.

    Raises:
        OSError: it could not be written; nothing of it is left.
    """
    partial = path.with_suffix(".partial")
    try:
        with partial.open("wb") as file:
            torch.save({"format": FORMAT, **content}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException as error:
        # On a full disk even half a checkpoint is in the way of the next one.
        partial.unlink(missing_ok=True)
        # torch's writer still closes its archive after a failed write, and raises about that.
        if isinstance(error, RuntimeError) and isinstance(error.__context__, OSError):
            raise error.__context__ from error
        raise


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Reads what `save_checkpoint` wrote, with `weights_only`: no code in the file is run.

    Raises:
        ConfigurationError: no such file, or not a checkpoint of this format.
    """
    if not path.is_file():
        raise ConfigurationError(f"no checkpoint at {path}, so there is nothing to resume")
    try:
        content = torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # torch raises a dozen kinds without a common base
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ConfigurationError(f"{path} is not a whole checkpoint: {reason}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        found = content.get("format") if isinstance(content, dict) else type(content).__name__
        raise ConfigurationError(f"{path}: checkpoint format must be {FORMAT}; got {found!r}")
    return content
