# SPDX-License-Identifier: Apache-2.0
"""What a sweep tries: a file of settings, ranges and seeds; see docs/scale.md."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sac_ros.training.config import TrainConfig
from sac_ros.training.ray_cluster import absolute
from sac_ros.utils.errors import ConfigurationError
from sac_ros.utils.settings import Leaf, build, flat, leaves

KINDS = ("uniform", "loguniform", "int", "choice", "grid")
_KEYS = ("params_file", "settings", "seeds", "trials", "space")
_OWN = ("seed", "name", "directory", "resume", "collector", "ray_address")  # the sweep's own
_LEAVES = {leaf.name: leaf for leaf in leaves(TrainConfig)}
_MAX_TRIALS = 100_000


@dataclass(frozen=True)
class Range:
    """The values of one setting.

    Attributes:
        kind: one of `KINDS`; all of a grid are tried, of the others Optuna draws.
        values: lowest and highest, or the choices.
    """

    kind: str
    values: tuple[Any, ...]

    def holds(self, value: Any) -> bool:
        """Whether `value` is one of them."""
        if self.kind in ("choice", "grid"):
            return value in self.values
        return bool(self.values[0] <= value <= self.values[1])


@dataclass(frozen=True)
class Space:
    """Settings that all trainings have, and those in which they differ.

    Attributes:
        settings: of every training, by dotted name.
        ranges: by dotted name; either all of them grids or none.
        seeds: a training each for every setting that is tried.
        trials: how many settings are tried; of grids, all.
    """

    settings: dict[str, Any]
    ranges: dict[str, Range]
    seeds: tuple[int, ...]
    trials: int

    @property
    def grid(self) -> bool:
        """Whether every combination is trained, to be used, and none is given up."""
        return all(each.kind == "grid" for each in self.ranges.values())

    def config(self, values: Mapping[str, Any], seed: int, directory: str = "runs") -> TrainConfig:
        """Of one training, with `values` of the ranges.

        Raises:
            ConfigurationError: they do not fit together.
        """
        own = {"seed": seed, "name": f"seed_{seed}", "directory": directory}
        config: TrainConfig = build(
            TrainConfig, {**self.settings, **values, **own, "collector": "in_process"}
        )
        return config

    @property
    def default(self) -> dict[str, Any] | None:
        """What the settings would be without the sweep; None where that is outside a range."""
        values = {
            name: self.settings.get(name, _plain(_LEAVES[name].default)) for name in self.ranges
        }
        inside = all(self.ranges[name].holds(value) for name, value in values.items())
        return values if inside else None


def read_space(path: Path, changes: Sequence[str] = ()) -> tuple[Space, str]:
    """The space in a YAML file, and the address of the Ray cluster that it is for.

    Args:
        path: of the file.
        changes: NAME:=VALUE, over the file's settings, `seeds` and `trials`.

    Raises:
        ConfigurationError: the file is missing or wrong.
    """
    document = _mapping(_read_yaml(path), str(path))
    _refuse_unknown(document, _KEYS, f"key in {path}")
    settings: dict[str, Any] = {}
    if document.get("params_file"):
        given = str(document["params_file"])
        beside = path.parent / given
        settings |= read_parameters(beside if beside.exists() else Path(given))
    settings |= flat(_mapping(document.get("settings") or {}, f"settings in {path}"))
    for change in changes:
        name, assigned, text = change.partition(":=")
        if not assigned:
            raise ConfigurationError(f"a change must be NAME:=VALUE; got {change!r}")
        chosen = document if name in ("seeds", "trials") else settings
        chosen[name] = yaml.safe_load(text)
    address = str(settings.pop("ray_address", ""))
    for name, value in settings.items():
        _leaf(name, f"settings of {path}").check(value)
    space = Space(
        settings={name: absolute(value) for name, value in settings.items() if name not in _OWN},
        ranges=dict(_ranges(_mapping(document.get("space") or {}, f"space in {path}"), path)),
        seeds=_seeds(document.get("seeds", [0]), path),
        trials=_trials(document.get("trials", 20), path),
    )
    if len({each.kind == "grid" for each in space.ranges.values()}) > 1:
        raise ConfigurationError(
            f"space in {path} must have grids alone, which are all trained, or none; got "
            + ", ".join(f"{name}: {each.kind}" for name, each in space.ranges.items())
        )
    space.config(space.default or {}, space.seeds[0])
    return space, address


def read_parameters(path: Path) -> dict[str, Any]:
    """The settings in a parameter file of `train_node`, by dotted name.

    Raises:
        ConfigurationError: there is no such file, or it is none.
    """
    document = _mapping(_read_yaml(path), str(path))
    for name in ("/**/train_node", "/train_node", "train_node", "/**"):
        if name in document:
            inside = _mapping(document[name], f"{name} in {path}").get("ros__parameters")
            return flat(_mapping(inside, f"ros__parameters of {name} in {path}"))
    raise ConfigurationError(
        f"params_file must hold parameters of train_node; {path} has {', '.join(document)}"
    )


def parameter_file(settings: Mapping[str, Any]) -> str:
    """The text of a parameter file of `train_node` with these settings."""
    tree: dict[str, Any] = {}
    for name, value in settings.items():
        *path, last = name.split(".")
        branch = tree
        for step in path:
            branch = branch.setdefault(step, {})
        branch[last] = json.loads(json.dumps(value))
    return yaml.safe_dump({"/**/train_node": {"ros__parameters": tree}}, sort_keys=False)


def _ranges(given: Mapping[str, Any], path: Path) -> Iterator[tuple[str, Range]]:
    for name, entry in _flat_ranges(given).items():
        where = f"space in {path}"
        leaf = _leaf(name, where)
        if name in _OWN:
            raise ConfigurationError(f"{name} cannot be varied; {where} has it")
        kind, values = next(iter(entry.items()))
        if len(entry) != 1 or not isinstance(values, list) or not values:
            raise ConfigurationError(
                f"{name} in {where} must be one of {', '.join(KINDS)} with a list; got {entry!r}"
            )
        if kind in ("choice", "grid"):
            for value in values:
                leaf.check(value)
            yield name, Range(kind, tuple(map(absolute, values)))
            continue
        _refuse_no_interval(name, leaf, kind, values, where)
        for value in values:
            leaf.check(value)
        yield name, Range(kind, tuple(values))


def _refuse_no_interval(name: str, leaf: Leaf, kind: str, values: list[Any], where: str) -> None:
    wanted = int if kind == "int" else float
    numbers = [v for v in values if isinstance(v, (int, float)) and not isinstance(v, bool)]
    if leaf.length is not None or leaf.type is not wanted:
        fitting = "int" if leaf.type is int and leaf.length is None else "choice"
        raise ConfigurationError(f"{name} in {where} takes {fitting}, not {kind}")
    ordered = len(numbers) == len(values) == 2 and all(map(math.isfinite, numbers))
    if not ordered or numbers[0] >= numbers[1] or (kind == "loguniform" and numbers[0] <= 0):
        above = " above 0" if kind == "loguniform" else ""
        raise ConfigurationError(
            f"{name} in {where} must have two numbers{above}, the lower one first; got {values!r}"
        )


def _flat_ranges(given: Mapping[str, Any], prefix: str = "") -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for key, value in given.items():
        name = f"{prefix}{key}"
        if not isinstance(value, dict) or not value:
            raise ConfigurationError(
                f"{name} in a space must be one of {', '.join(KINDS)} with a list, such as "
                f"{{choice: [1, 2]}}; got {value!r}"
            )
        if name not in _LEAVES and not set(value) & set(KINDS):
            found |= _flat_ranges(value, f"{name}.")
            continue
        if unknown := set(value) - set(KINDS):
            raise ConfigurationError(
                f"{name} in a space must be one of {', '.join(KINDS)}; got {min(unknown)!r}"
            )
        found[name] = value
    return found


def _leaf(name: str, where: str) -> Leaf:
    if name not in _LEAVES:
        raise ConfigurationError(
            f"{name!r}, in the {where}, is no parameter of train_node: "
            "`ros2 param list /train_node`, or config/train.yaml, has them all"
        )
    return _LEAVES[name]


def _seeds(given: Any, path: Path) -> tuple[int, ...]:
    seeds = given if isinstance(given, list) else [given]
    rule = _LEAVES["seed"]
    checked = tuple(rule.check(each) for each in seeds)
    if not checked or len(set(checked)) < len(checked):
        raise ConfigurationError(f"seeds in {path} must be a list, each once; got {given!r}")
    return checked


def _trials(given: Any, path: Path) -> int:
    if isinstance(given, bool) or not isinstance(given, int) or not 1 <= given <= _MAX_TRIALS:
        raise ConfigurationError(
            f"trials in {path} must be a whole number from 1 to {_MAX_TRIALS}; got {given!r}"
        )
    return given


def _read_yaml(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ConfigurationError(
            f"{path} must be a YAML file that can be read: {reason}"
        ) from error


def _mapping(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigurationError(f"{what} must be a mapping of names to values; got {value!r}")
    return {str(key): each for key, each in value.items()}


def _refuse_unknown(given: Mapping[str, Any], known: Sequence[str], what: str) -> None:
    for key in given:
        if key not in known:
            raise ConfigurationError(f"{key!r} is no {what}; it takes {', '.join(known)}")


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
