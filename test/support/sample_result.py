# SPDX-License-Identifier: Apache-2.0
"""An `Evaluation` with something in every field, for tests of what is made from one."""

from __future__ import annotations

import dataclasses
import types
from typing import Any, Union, get_args, get_origin, get_type_hints

from sac_ros.bags.result import SCHEMA, SCHEMA_VERSION, Evaluation


def sample_evaluation(optional: bool = True) -> Evaluation:
    """Every field filled by its type; with ``optional`` False, None wherever that is allowed."""
    filled = _fill(Evaluation, "evaluation", optional)
    return dataclasses.replace(filled, schema=SCHEMA, schema_version=SCHEMA_VERSION)


def _fill(kind: Any, name: str, optional: bool) -> Any:
    if dataclasses.is_dataclass(kind):
        hints = get_type_hints(kind)
        return kind(**{each: _fill(hints[each], each, optional) for each in hints})
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _fill(arguments[0], name, optional) if optional else None
    if origin is tuple:
        kinds = [arguments[0]] * 2 if arguments[-1] is ... else arguments
        return tuple(_fill(each, name, optional) for each in kinds)
    if origin is dict:
        return {"a reason": _fill(arguments[1], name, optional)}
    return {str: name, float: 0.1 + len(name), int: len(name), bool: True, Any: 1.5}[kind]
