# SPDX-License-Identifier: Apache-2.0
"""The identified world as a parameter file of train_node."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from sac_ros.identification.findings import Estimate, Findings
from sac_ros.robots.arm import Arm
from sac_ros.sim.randomization import TERMS
from sac_ros.utils.atomic_write import atomic_write
from sac_ros.utils.errors import ConfigurationError

if TYPE_CHECKING:  # it reads recordings, which a world file alone does not need
    from sac_ros.identification.identify import Source

# Half of a range is never less: a robot warms up, and a policy that was trained in one world
# only relies on it.
_LEAST_SHARE = 0.05  # of a friction or inertia
_LEAST = {
    "torque_gain": 0.01,
    "torque_bias_fraction": 0.001,
    "payload_kg": 0.05,
    "gravity_scale": 0.01,
    "command_latency_ms": 1.0,
}

_HEAD = """\
Each range is the 95 % interval, and at least ±5 % of a friction or inertia, ±0.01 of a gain or
gravity scale, ±0.1 % of a torque limit, ±50 g, ±1 ms. To be given after others:
  make train ARGS="--params-file config/robust.yaml --params-file THIS"
"""

_TERM_OF = {"torque_bias": "torque_bias_fraction", "delay_s": "command_latency_ms"}
_PLACES = 5  # significant ones
_NODES = ("/**/train_node", "/train_node", "train_node", "/**")
_SECTIONS = ("ros__parameters",), ("env",), ("randomization",)
_LONGEST_FILE = 2**20  # bytes


def world_ranges(arm: Arm, findings: Findings) -> dict[str, tuple[float, ...]]:
    """Return the ranges of `sac_ros.sim.randomization` by name, of all that was estimated.

    A range is the 95 % interval, or wider where that is narrower than what differs from day to
    day. Of a term that is drawn per joint, [2 n], a joint that was not estimated stays as
    described.
    """
    ranges: dict[str, tuple[float, ...]] = {}
    for name in dict.fromkeys(each.name for each in findings.estimates):
        term, estimates = _TERM_OF.get(name, name), findings.of(name)
        if not any(each.estimated for each in estimates) or (
            name == "delay_s" and findings.measured
        ):
            continue
        scales = _scales(arm, name)
        pairs = [_pair(term, each, scale) for each, scale in zip(estimates, scales, strict=False)]
        ranges[term] = tuple(value for pair in pairs for value in pair)
        if term == "command_latency_ms":
            ranges["latency_ms"] = (0.0, 0.0)
    return ranges


def world_text(
    arm: Arm, findings: Findings, source: Source, gravity_compensation: str, written: str
) -> str:
    """Return the parameter file.

    Args:
        arm: that was identified.
        findings: of it.
        source: what they are from.
        gravity_compensation: robot or policy, as the recording was read.
        written: by which command, and when.
    """
    ranges = world_ranges(arm, findings)
    lines = [
        f"# What identify_robot found of {arm.name} in {', '.join(source.bags)}:",
        f"#   {_one_line(written)}",
        f"# {source.seconds:.0f} s, torques of {source.torque_topic}.",
        *(f"# {line}" for line in _HEAD.splitlines()),
        *(f"# {sentence}" for sentence in findings.not_estimated),
        "/**/train_node:",
        "  ros__parameters:",
        f"    arm: {_quoted(arm.reference)}",
        "    env:",
        f"      gravity_compensation: {gravity_compensation}",
    ]
    if ranges:
        lines.append("      randomization:")
    for term, values in ranges.items():
        lines += [f"        {line}" for line in _term_lines(arm, findings, term, values)]
    return "\n".join(map(_one_line, lines)) + "\n"


def save_world(text: str, path: Path, *, force: bool) -> None:
    """Write a parameter file, whole or not at all.

    Raises:
        ConfigurationError: there is one already, without ``force``; or it cannot be written.
    """
    if path.exists() and not force:
        raise ConfigurationError(
            f"--output must be a new file; {path} exists already: --force writes over it"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as partial:
            partial.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(
            f"--output must be a file; {path} cannot be written: {error.strerror}"
        ) from error


def read_world(path: Path) -> dict[str, Any]:
    """Return `env.randomization` of a parameter file of train_node, such as `save_world` writes.

    Raises:
        ConfigurationError: it cannot be read, or has no `env.randomization`.
    """
    try:
        with path.open("rb") as file:
            found = yaml.safe_load(file.read(_LONGEST_FILE))
    except OSError as error:
        raise ConfigurationError(f"world {path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError):
        raise ConfigurationError(f"world {path} must be YAML; it is not") from None
    for names in (_NODES, *_SECTIONS):
        sections = found if isinstance(found, Mapping) else {}
        found = next((sections[name] for name in names if name in sections), None)
    if not isinstance(found, Mapping):
        raise ConfigurationError(
            f"world {path} must be a parameter file of train_node with env.randomization, such as "
            "identify_robot writes; it has none"
        )
    return dict(found)


def _term_lines(arm: Arm, findings: Findings, term: str, values: Sequence[float]) -> Iterator[str]:
    """The line of a term, with what it is from behind it; of several joints, a line for each."""
    names = {value: key for key, value in _TERM_OF.items()}
    estimates = findings.of(names.get(term, term))
    if term == "latency_ms":
        yield f"{term}: [0.0, 0.0]  # the delay is whole in command_latency_ms"
        return
    if not TERMS[term].per_joint:
        yield f"{term}: [{values[0]!r}, {values[1]!r}]  # {_comment(estimates[0])}"
        return
    unit = "of the torque limit" if term == "torque_bias_fraction" else TERMS[term].unit
    yield f"{term}:  # {unit or 'factor'}, low and high of each joint in turn"
    pairs = list(zip(values[::2], values[1::2], strict=True))
    for i, (low, high) in enumerate(pairs):
        begin, end = "[" if i == 0 else " ", "]" if i == len(pairs) - 1 else ","
        yield f"  {begin}{low!r}, {high!r}{end}  # {arm.joint_names[i]}: {_comment(estimates[i])}"


def _comment(each: Estimate) -> str:
    if not each.estimated:
        return "taken as 1" if each.assumed else "not estimated: as described"
    value, low, high = each.told_values
    interval = f"{value:.4g}, {low:.4g} to {high:.4g} {each.unit}".rstrip()
    return interval + (" (commands to motion)" if each.name == "delay_s" else "")


def _scales(arm: Arm, name: str) -> list[float]:
    """Of an estimate's unit to that of its term, joint by joint."""
    if name == "torque_bias":
        return [1.0 / limit for limit in arm.torque_limit.tolist()]
    return [1e3] if name == "delay_s" else [1.0] * arm.joints


def _pair(term: str, each: Estimate, scale: float) -> tuple[float, float]:
    """Low and high of a range, within what can be simulated."""
    bounds = TERMS[term].minimum, TERMS[term].maximum
    if not each.estimated:
        value = float(np.clip(each.described * scale, *bounds))
        return value, value
    value, low, high = (number * scale for number in each.told_values)
    least = _LEAST.get(term, _LEAST_SHARE * abs(value))
    low, high = min(low, value - least), max(high, value + least)
    low, high = (float(np.clip(_rounded(value), *bounds)) for value in (low, high))
    return low, high


def _rounded(value: float) -> float:
    return float(f"{value:.{_PLACES}g}")


def _quoted(text: str) -> str:
    """A YAML string in double quotes."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{_one_line(escaped)}"'


def _one_line(text: str) -> str:
    """A text that no bag's name can break out of a comment with."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
