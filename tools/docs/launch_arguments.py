# SPDX-License-Identifier: Apache-2.0
"""Arguments of the launch files, read without the package `launch`, which is not on PyPI."""

from __future__ import annotations

import ast
import importlib.util
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

_STOOD_IN_FOR = ("launch", "launch_ros", "ament_index_python")
_READS_LAUNCH = "sac_ros.ros.launch_support"


@dataclass(frozen=True)
class LaunchArgument:
    """One argument of a launch file."""

    name: str
    default_value: str
    description: str
    choices: tuple[str, ...] = ()


class _Anything:
    """In the place of every class of `launch` but the one that declares an argument."""

    def __init__(self, *given: Any, **_: Any) -> None:
        self.given = given

    def __class_getitem__(cls, _: Any) -> type:
        return cls


class _StandIn(types.ModuleType):
    """A package in which every name is a class."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name == "DeclareLaunchArgument":
            return _declare
        if name.endswith("Error"):
            return type(name, (Exception,), {})
        return _Anything


def _declare(
    name: str, default_value: Any, description: str, choices: Any = (), **_: Any
) -> LaunchArgument:
    if isinstance(default_value, _Anything):  # LaunchConfiguration: the value of another argument
        default_value = f"$(var {default_value.given[0]})"
    return LaunchArgument(name, default_value, description, tuple(choices))


class _Finder:
    """Finds the packages that are stood in for, and all that is imported from below them."""

    @staticmethod
    def find_spec(name: str, *_: Any) -> Any:
        if name.partition(".")[0] in _STOOD_IN_FOR:
            return importlib.util.spec_from_loader(name, _Finder, is_package=True)  # type: ignore[arg-type]
        return None

    @staticmethod
    def create_module(spec: Any) -> types.ModuleType:
        return _StandIn(spec.name)

    @staticmethod
    def exec_module(_: types.ModuleType) -> None:
        pass


@contextmanager
def _without_launch() -> Iterator[None]:
    def names() -> list[str]:
        tops = [name for name in sys.modules if name.partition(".")[0] in _STOOD_IN_FOR]
        return [*tops, *(name for name in [_READS_LAUNCH] if name in sys.modules)]

    kept = {name: sys.modules.pop(name) for name in names()}
    sys.meta_path.insert(0, _Finder)  # type: ignore[arg-type]
    try:
        yield
    finally:
        sys.meta_path.remove(_Finder)  # type: ignore[arg-type]
        for name in names():
            del sys.modules[name]
        sys.modules.update(kept)


@cache
def launch_arguments() -> dict[str, dict[str, LaunchArgument]]:
    """File name → argument name → argument, of every file in launch/."""
    found = {}
    with _without_launch():
        for file in sorted((ROOT / "launch").glob("*.launch.py")):
            spec = importlib.util.spec_from_file_location("launch_file_of_the_docs", file)
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            (entities,) = module.generate_launch_description().given
            found[file.name] = {
                each.name: each for each in entities if isinstance(each, LaunchArgument)
            }
    return found


def purpose(file_name: str) -> str:
    """What a launch file does: its docstring."""
    return ast.get_docstring(ast.parse((ROOT / "launch" / file_name).read_text())) or ""
