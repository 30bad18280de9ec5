# SPDX-License-Identifier: Apache-2.0
"""The curves of a training, from the `evaluations.csv` that a run writes."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np

from sac_ros.view.state import Array

_COLUMNS = ("env_steps", "success_5cm", "success_2cm", "median_error_m")
_MOST_BYTES = 2**20


class EvaluationsFile:
    """Reads the curves of the run that train_node names, again only when the file has changed."""

    def __init__(self) -> None:
        self._seen: tuple[Path, int] | None = None
        self._curves: Array = np.zeros((0, len(_COLUMNS)))

    def read(self, run: str) -> Array:
        """Return [p, 4] the points of a run's directory; none where its file is not here.

        The run may be on another machine.
        """
        path = Path(run) / "evaluations.csv"
        try:
            about = path.stat()
            if not path.is_file() or about.st_size > _MOST_BYTES:
                return np.zeros((0, len(_COLUMNS)))
            if self._seen != (path, about.st_mtime_ns):
                self._curves = _points(path)
                self._seen = path, about.st_mtime_ns
        except (OSError, ValueError):
            return np.zeros((0, len(_COLUMNS)))
        return self._curves


def _points(path: Path) -> Array:
    points = []
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            try:
                point = [float(row[name]) for name in _COLUMNS]
            except (KeyError, TypeError, ValueError):
                continue
            if math.isfinite(point[0]):
                points.append(point)
    return np.array(points).reshape(-1, len(_COLUMNS))
