# SPDX-License-Identifier: Apache-2.0
"""Runs of the ablation: what each is, where its result is kept, and several of them at once."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.ablation import one_run
from benchmarks.ablation.variants import Variant
from sac_ros.training.config import TrainConfig

_ROOT = Path(__file__).parents[2]
_POLL = 0.2  # s
_GRACE = 20.0  # s that an interrupted run has to remove its files
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Run:
    """One training: a variant with a seed.

    Attributes:
        variant: what is changed.
        values: the changes, those that all variants share and the seed; parameters by name.
        config: the whole configuration that follows.
        final_episodes: number of goals of the final figures.
    """

    variant: Variant
    values: dict[str, Any]
    config: TrainConfig
    final_episodes: int

    @property
    def key(self) -> str:
        """Of the whole configuration: a run whose defaults have changed since is another run."""
        content = json.dumps([asdict(self.config), self.final_episodes], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:12]

    def path(self, directory: Path) -> Path:
        """Where its result is kept."""
        return directory / f"{slug(self.variant.label)}_seed{self.config.seed}_{self.key}.json"

    def result(self, directory: Path) -> dict[str, Any] | None:
        """What it found, None if it has not been run."""
        path = self.path(directory)
        if not path.is_file():
            return None
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found

    def order(self) -> dict[str, Any]:
        """What the process that runs it reads."""
        return {
            "group": self.variant.group,
            "label": self.variant.label,
            "changes": dict(self.variant.changes),
            "seed": self.config.seed,
            "values": self.values,
            "final_episodes": self.final_episodes,
        }


def slug(label: str) -> str:
    """`label` as a part of a file's name."""
    return re.sub(r"[^a-z0-9.-]+", "_", label.lower())


def run_all(
    runs: Sequence[Run], directory: Path, jobs: int, tell: Callable[[Run, float], None]
) -> list[Run]:
    """Runs `jobs` at once, a process each; returns those that failed.

    A failed one leaves what it printed beside where its result would be, as `.log`.  When this is
    interrupted, the processes that are under way end too; results that are there stay.

    Args:
        runs: in the order in which they begin.
        directory: of the results.
        jobs: processes at once.
        tell: is called with every run that has ended, well or not, and its seconds.
    """
    directory.mkdir(parents=True, exist_ok=True)
    waiting, failed = list(runs), []
    running: list[_Process] = []
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                running.append(_Process(waiting.pop(0), directory))
            time.sleep(_POLL)
            for process in [each for each in running if each.ended]:
                running.remove(process)
                if not process.finish():
                    failed.append(process.run)
                tell(process.run, process.seconds)
    finally:
        for process in running:
            process.interrupt()
    return failed


class _Process:
    """A run in its process, on one thread."""

    def __init__(self, run: Run, directory: Path) -> None:
        self.run = run
        self._result = run.path(directory)
        self._order = self._result.with_suffix(".order")
        self._log = self._result.with_suffix(".log")
        self._order.write_text(json.dumps(run.order()), encoding="utf-8")
        self._started = time.monotonic()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", one_run.__name__, str(self._order), str(self._result)],
                cwd=_ROOT,
                env={**os.environ, **_ONE_THREAD},
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C reaches only the parent, which then ends its runs one by one.
                start_new_session=True,
            )

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    def finish(self) -> bool:
        """Clears up after a run that has ended; returns whether it has a result."""
        self._order.unlink()
        if self._process.returncode == 0:
            self._log.unlink()
        return self._process.returncode == 0

    def interrupt(self) -> None:
        """Ends the run as Ctrl-C would, so that it removes its own files."""
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._order.unlink()
        self._log.unlink()
