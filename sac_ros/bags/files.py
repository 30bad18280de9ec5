# SPDX-License-Identifier: Apache-2.0
"""The files of an evaluation, each written whole or not at all.

``summary.json`` is an `Evaluation`, ``series.npz`` the arrays that the report draws. They have
m rows, one for each joint state that carries figures, and n columns in the joint order of the
first model, unless another is named.

| name | shape | what |
|---|---|---|
| `time_s` | [m] float64 | s since the recording's first joint state |
| `received_ns` | [m] int64 | ns since 1970, when each was recorded |
| `position`, `velocity` | [m, n] float32 | rad, rad/s (m, m/s if prismatic) |
| `goal` | [m, k] float32 | by the policy's task; NaN before the first goal |
| `recorded_torque` | [m, n] float32 | N·m, the command that answers this state, or NaN |
| `recorded_effort` | [m, n] float32 | N·m as measured, from the joint states |
| `segment` | [m] int32 | counts up after every gap: never draw a line from one to the next |
| `policy_torque_<i>` | [m, n] float32 | N·m, model i before the safety filter, or NaN |
| `published_torque_<i>` | [m, n] float32 | N·m, after the safety filter |
| `interventions_<i>` | [m] uint16 | guards that acted: bit k is the k-th `Intervention` |
| `spectrum_hz` | [f] float64 | frequencies of the spectra, Hz |
| `spectrum_policy_<i>`, `spectrum_recorded` | [f, n] float64 | power density, (N·m)²/Hz |
| `lag_s` | [l] float64 | lags that were tried, s; positive: the policy is late |
| `lag_correlation_<i>` | [l, n] float64 | normalised cross-correlation, −1..1; NaN if undefined |

Without recorded torques `recorded_torque`, `spectrum_recorded`, `lag_s` and `lag_correlation_<i>`
are not there; without a measured effort (`effort_filled`) `recorded_effort` is not.
"""

from __future__ import annotations

import dataclasses
import json
import math
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

from sac_ros.bags.result import SCHEMA, SCHEMA_VERSION, Evaluation
from sac_ros.utils.atomic_write import atomic_write
from sac_ros.utils.errors import BagError

EXPORTS = ("mcap", "csv")
"""What ``--export`` takes; see `sac_ros.bags.export`."""

SUMMARY_FILE, SERIES_FILE = "summary.json", "series.npz"
"""The names of the files in an evaluation's folder."""


def save_series(arrays: Mapping[str, NDArray[Any]], folder: Path) -> None:
    """Write ``series.npz`` into an existing folder; memory-mapped arrays are copied in blocks."""
    with atomic_write(folder / SERIES_FILE) as partial, partial.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]  # numpy's stub has no mapping


def save_summary(evaluation: Evaluation, folder: Path) -> None:
    """Write ``summary.json`` into an existing folder."""
    with atomic_write(folder / SUMMARY_FILE) as partial:
        partial.write_text(summary_text(evaluation), encoding="utf-8")


def summary_text(evaluation: Evaluation) -> str:
    """Return the JSON text; numbers keep full precision, and what is not finite is null."""
    values = dataclasses.asdict(evaluation)
    ordered = {key: values.pop(key) for key in ("schema", "schema_version")}
    return json_text({**ordered, **values})


def json_text(value: Any) -> str:
    """Return plain values, or a dataclass of them, as JSON; what is not finite is null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    return json.dumps(_finite(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def load_summary(folder: Path) -> Evaluation:
    """Read the summary in a folder, or the file itself.

    Raises:
        BagError: there is none, it is not JSON, or it is of another schema version.
    """
    path = folder / SUMMARY_FILE if folder.is_dir() else folder
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BagError(f"evaluation {path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError):
        raise BagError(f"evaluation {path} must be a JSON file; it is not") from None
    if not isinstance(values, dict) or values.get("schema") != SCHEMA:
        raise BagError(f"evaluation {path} must be of the schema {SCHEMA}; it is not")
    if values.get("schema_version") != SCHEMA_VERSION:
        raise BagError(
            f"evaluation {path} must be of schema version {SCHEMA_VERSION}; "
            f"got {values.get('schema_version')!r}"
        )
    try:
        loaded = _read(Evaluation, values, "summary")
    except (TypeError, ValueError, KeyError) as error:
        raise BagError(f"evaluation {path} does not follow its schema: {error}") from error
    assert isinstance(loaded, Evaluation)
    return loaded


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _read(kind: Any, value: Any, where: str) -> Any:
    """Return a JSON value as the type of a field, the dataclasses of `result` among them."""
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any:
        return tuple(value) if isinstance(value, list) else value
    if origin in (Union, types.UnionType):
        return None if value is None else _read(arguments[0], value, where)
    if origin is tuple:
        _check(value, list, "a list", where)
        each = [arguments[0]] * len(value) if arguments[-1] is ... else list(arguments)
        pairs = zip(each, value, strict=True)
        return tuple(_read(k, v, f"{where}[{i}]") for i, (k, v) in enumerate(pairs))
    if origin is dict:
        _check(value, dict, "an object", where)
        return {key: _read(arguments[1], each, f"{where}.{key}") for key, each in value.items()}
    if dataclasses.is_dataclass(kind):
        _check(value, dict, "an object", where)
        hints = get_type_hints(kind)
        if missing := hints.keys() - value.keys():
            raise KeyError(f"{where} has no field {sorted(missing)[0]}")
        fields = {name: _read(hints[name], value[name], f"{where}.{name}") for name in hints}
        return kind(**fields)  # type: ignore[operator]  # mypy takes it for an instance
    if kind is float and type(value) is int:
        return float(value)
    _check(value, kind, f"of type {kind.__name__}", where)
    return value


def _check(value: Any, kind: type, words: str, where: str) -> None:
    if not isinstance(value, kind):
        raise TypeError(f"{where} must be {words}; got {value!r}")
