# SPDX-License-Identifier: Apache-2.0
"""A run's checkpoints: written whole or not at all, read without running what is in them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sac_ros.utils.atomic_write import atomic_write
from sac_ros.utils.errors import ConfigurationError

FORMAT = 4  # 4: joint positions in the replay, success rates with their tolerances
PATTERN = "checkpoint_*.pt"
_NAME = re.compile(r"checkpoint_(\d+)\.pt")


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Writes `content` (tensors, numbers, texts, lists, dicts) to `path`.

    Raises:
        OSError: it could not be written; nothing of it is left.
    """
    import torch  # noqa: PLC0415 - takes seconds, and a run's directory is looked at without it

    try:
        with atomic_write(path) as partial, partial.open("wb") as file:
            torch.save({"format": FORMAT, **content}, file)
    except RuntimeError as error:
        # torch's writer still closes its archive after a failed write, and raises about that.
        if isinstance(error.__context__, OSError):
            raise error.__context__ from error
        raise


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Reads what `save_checkpoint` wrote, with `weights_only`: no code in the file is run.

    Raises:
        ConfigurationError: no such file, or not a checkpoint of this format.
    """
    import torch  # noqa: PLC0415 - see above

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


def checkpoints_in(run: Path) -> list[Path]:
    """The checkpoint files in the directory of a run, newest first, whole or not."""
    steps = {
        path: int(match[1])
        for path in run.glob(PATTERN)
        if (match := _NAME.fullmatch(path.name)) is not None
    }
    return sorted(steps, key=steps.__getitem__, reverse=True)


def keep_checkpoint(run: Path, content: dict[str, Any], number: int) -> Path:
    """Writes `content` as the checkpoint of its `env_steps`; keeps the `number` newest.

    Raises:
        OSError: it could not be written; all that were there are there still.
    """
    path = run / f"checkpoint_{content['env_steps']:010d}.pt"
    save_checkpoint(path, content)
    for old in checkpoints_in(run)[number:]:
        old.unlink(missing_ok=True)
    return path


def newest_whole(run: Path, say: Callable[[str], object]) -> dict[str, Any]:
    """Reads the newest checkpoint that can be read; `say` is called with those that cannot.

    Those are renamed to `*.torn`: they must not count as the newest of the run that goes on.

    Raises:
        ConfigurationError: there is none, or all are torn.
    """
    torn: list[Path] = []
    reasons: list[str] = []
    for path in checkpoints_in(run):
        try:
            content = load_checkpoint(path)
        except ConfigurationError as error:
            torn.append(path)
            reasons.append(str(error))
            continue
        for each, reason in zip(torn, reasons, strict=True):
            each.rename(each.with_suffix(".torn"))
            say(f"{reason}; it is now {each.stem}.torn, and the run goes on from {path.name}")
        return content
    if not torn:
        raise ConfigurationError(f"no checkpoint in {run}/, so there is nothing to resume")
    others = f"; nor is any of the {len(torn) - 1} before it" if len(torn) > 1 else ""
    raise ConfigurationError(f"{reasons[0]}{others}")
