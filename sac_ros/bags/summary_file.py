# SPDX-License-Identifier: Apache-2.0
"""``summary.json``: an `Evaluation` as JSON, whole or not at all, and back."""

from __future__ import annotations

import dataclasses
import json
import math
import types
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from sac_ros.bags.result import SCHEMA, SCHEMA_VERSION, Evaluation
from sac_ros.utils.atomic_write import atomic_write
from sac_ros.utils.errors import BagError

SUMMARY_FILE = "summary.json"
"""The name of the file in an evaluation's folder."""


def save_summary(evaluation: Evaluation, folder: Path) -> Path:
    """Write ``summary.json`` into an existing folder and return its path."""
    path = folder / SUMMARY_FILE
    with atomic_write(path) as partial:
        partial.write_text(summary_text(evaluation), encoding="utf-8")
    return path


def summary_text(evaluation: Evaluation) -> str:
    """Return the JSON text; numbers keep full precision, and what is not finite is null."""
    values = _finite(dataclasses.asdict(evaluation))
    ordered = {key: values.pop(key) for key in ("schema", "schema_version")}
    return json.dumps({**ordered, **values}, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


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
