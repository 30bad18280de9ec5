# SPDX-License-Identifier: Apache-2.0
"""The latest checkpoints of a run: kept, found again, and passed over when torn."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sac_ros.training.checkpoint import load_checkpoint, save_checkpoint
from sac_ros.utils.errors import ConfigurationError

PATTERN = "checkpoint_*.pt"
_NAME = re.compile(r"checkpoint_(\d+)\.pt")


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
    """Reads the newest checkpoint that can be read; `say` is told which ones cannot.

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
