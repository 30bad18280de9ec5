# SPDX-License-Identifier: Apache-2.0
"""The arrays of an evaluation, written as ``series.npz``: what the report draws.

All have m rows, one for each joint state that carries figures, and n columns in the joint order of
the first model, unless said otherwise.

| name | shape | what |
|---|---|---|
| `time_s` | [m] float64 | s since the recording's first joint state |
| `position`, `velocity` | [m, n] float32 | rad, rad/s (m, m/s if prismatic) |
| `goal` | [m, k] float32 | by the policy's task; NaN before the first goal |
| `recorded_torque` | [m, n] float32 | N·m, the command that answers this state, or NaN |
| `segment` | [m] int32 | counts up after every gap: never draw a line from one to the next |
| `policy_torque_<i>` | [m, n] float32 | N·m, model i before the safety filter, or NaN |
| `published_torque_<i>` | [m, n] float32 | N·m, after the safety filter |
| `spectrum_hz` | [f] float64 | frequencies of the spectra, Hz |
| `spectrum_policy_<i>`, `spectrum_recorded` | [f, n] float64 | power density, (N·m)²/Hz |
| `lag_s` | [l] float64 | lags that were tried, s; positive: the policy is late |
| `lag_correlation_<i>` | [l, n] float64 | normalised cross-correlation, −1..1; NaN if undefined |

Without recorded torques `recorded_torque`, `spectrum_recorded`, `lag_s` and `lag_correlation_<i>`
are not there.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sac_ros.utils.atomic_write import atomic_write

SERIES_FILE = "series.npz"
"""The name of the file in an evaluation's folder."""


def save_series(folder: Path, arrays: Mapping[str, NDArray[Any]]) -> Path:
    """Write the arrays whole or not at all; memory-mapped ones are copied in blocks."""
    path = folder / SERIES_FILE
    with atomic_write(path) as partial, partial.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]  # numpy's stub knows no mapping
    return path


def load_series(folder: Path) -> dict[str, NDArray[Any]]:
    """Read what `save_series` wrote."""
    with np.load(folder / SERIES_FILE, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}
