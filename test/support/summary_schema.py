# SPDX-License-Identifier: Apache-2.0
"""The JSON Schema (2020-12) of ``summary.json``, made from the dataclasses that are written.

``sac_ros/bags/summary.schema.json`` is for readers in any language. It is made again by

    PYTHONPATH=. python test/support/summary_schema.py > sac_ros/bags/summary.schema.json
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import sys
import types
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from sac_ros.bags import result
from sac_ros.bags.result import SCHEMA, SCHEMA_VERSION, Evaluation

SCHEMA_FILE = Path(result.__file__).with_name("summary.schema.json")
"""The schema as it is installed."""

_UNITS = (
    "Arrays of joints are in the order of the first model. Times are seconds since the first "
    "joint state of the recording, on the clock that recording.clock names. Torques are N·m. "
    "What is unknown is null."
)
_PLAIN = {str: "string", float: "number", int: "integer", bool: "boolean"}


def summary_schema() -> dict[str, Any]:
    """Return the schema: every field is required, and no other is allowed."""
    definitions: dict[str, Any] = {}
    _schema_of(Evaluation, definitions)
    whole = definitions.pop(Evaluation.__name__)
    whole["properties"]["schema"]["const"] = SCHEMA
    whole["properties"]["schema_version"]["const"] = SCHEMA_VERSION
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "summary.json of evaluate_bag",
        **whole,
        "description": f"{whole['description']} {_UNITS}",
        "$defs": dict(sorted(definitions.items())),
    }


def schema_text() -> str:
    """Return the text of `SCHEMA_FILE`."""
    return json.dumps(summary_schema(), indent=1, ensure_ascii=False) + "\n"


def _schema_of(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a field's type; the dataclasses that it names go to ``definitions``."""
    if kind is Any:
        return {}
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        if kind.__name__ not in definitions:
            definitions[kind.__name__] = _object(kind, definitions)
        return {"$ref": f"#/$defs/{kind.__name__}"}
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return {"anyOf": [_schema_of(each, definitions) for each in arguments]}
    if kind is type(None):
        return {"type": "null"}
    if origin is tuple and arguments[-1] is ...:
        return {"type": "array", "items": _schema_of(arguments[0], definitions)}
    if origin is tuple:
        places = [_schema_of(each, definitions) for each in arguments]
        return {"type": "array", "prefixItems": places, "items": False, "minItems": len(places)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _schema_of(arguments[1], definitions)}
    return {"type": _PLAIN[kind]}


def _object(kind: type, definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a dataclass, each field of which is ``Annotated`` with what it is."""
    hints = get_type_hints(kind, include_extras=True)
    return {
        "type": "object",
        "description": inspect.cleandoc(kind.__doc__ or "").splitlines()[0],
        "properties": {
            name: {
                "description": hint.__metadata__[0],
                **_schema_of(hint.__origin__, definitions),
            }
            for name, hint in hints.items()
        },
        "required": list(hints),
        "additionalProperties": False,
    }


if __name__ == "__main__":
    sys.stdout.write(schema_text())
