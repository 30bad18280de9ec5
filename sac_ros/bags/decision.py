# SPDX-License-Identifier: Apache-2.0
"""May this policy go on the robot: go, in shadow first, or no, with the reasons."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sac_ros.bags.figures import FIGURES, figures_of
from sac_ros.bags.report.verdict import causes
from sac_ros.bags.result import DECISIONS, Decision, Evaluation, ModelResult
from sac_ros.pages.finding import BAD
from sac_ros.pages.format import number
from sac_ros.utils.errors import ConfigurationError
from sac_ros.utils.package_share import share_path

_FILE = ("config", "evaluation.yaml")
_LONGEST_FILE = 2**20  # bytes


@dataclass(frozen=True)
class Bounds:
    """The largest value of each figure, by its name, before a policy goes.

    Attributes:
        no_go: beyond any of these it does not.
        shadow: beyond any of these it goes in shadow first.
    """

    no_go: Mapping[str, float]  # not "no", which YAML takes for false
    shadow: Mapping[str, float]


def read_bounds(path: Path | None = None) -> Bounds:
    """Read bounds from a YAML file, or those that the package comes with.

    Raises:
        ConfigurationError: it cannot be read, or is not of that form.
    """
    path = path or share_path(*_FILE)
    try:
        with path.open("rb") as file:
            values = yaml.safe_load(file.read(_LONGEST_FILE))
    except OSError as error:
        raise ConfigurationError(f"thresholds {path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, RecursionError):
        raise ConfigurationError(f"thresholds {path} must be YAML; it is not") from None
    if not isinstance(values, dict) or not values.keys() <= {"no_go", "shadow"}:
        raise ConfigurationError(
            f"thresholds {path} must have the sections no_go and shadow alone"
        )
    return Bounds(*(_section(path, name, values.get(name) or {}) for name in ("no_go", "shadow")))


def _section(path: Path, section: str, values: Any) -> dict[str, float]:
    if not isinstance(values, dict):
        raise ConfigurationError(f"thresholds {path}: {section} must hold names and numbers")
    for name, value in values.items():
        where = f"thresholds {path}: {section}.{name}"
        if name not in FIGURES or name == "verdict":
            raise ConfigurationError(f"{where} must be one of {', '.join(FIGURES)}")
        number_like = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number_like or not math.isfinite(value):
            raise ConfigurationError(f"{where} must be a number; got {value!r}")
    return {name: float(value) for name, value in values.items()}


def decide(evaluation: Evaluation, model: ModelResult, bounds: Bounds) -> Decision:
    """Return whether a policy may go on the robot, with the reasons against it, worst first.

    A figure that is unknown is no reason, but that nothing was recorded to compare with is one
    for shadow: nobody has seen what the policy does.
    """
    figures = figures_of(evaluation, model)
    against = [each.words for each in causes(model) if each.meaning == BAD]
    against += _beyond(figures, bounds.no_go)
    doubts = [each for each in _beyond(figures, bounds.shadow) if each not in against]
    if not model.errors:
        doubts.append("no torque was recorded that could be compared with the policy's")
    decision = DECISIONS[2] if against else DECISIONS[1] if doubts else DECISIONS[0]
    return Decision(decision, tuple(against + doubts))


def _beyond(figures: Mapping[str, float | None], largest: Mapping[str, float]) -> list[str]:
    found = []
    for name, limit in largest.items():
        value = figures[name]
        if value is not None and value > limit:
            found.append(f"{name} {number(value)}, at most {limit:g}: {FIGURES[name]}")
    return found
