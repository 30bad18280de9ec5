# SPDX-License-Identifier: Apache-2.0
"""ROS parameters from a configuration dataclass, read once: YAML → parameters → frozen object."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import yaml
from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.node import Node
from rclpy.parameter import Parameter

from sac_ros.utils.errors import ConfigurationError, SacRosError
from sac_ros.utils.settings import Leaf, build, leaves

ConfigT = TypeVar("ConfigT")

_ARRAY_TYPES = {
    bool: Parameter.Type.BOOL_ARRAY,
    int: Parameter.Type.INTEGER_ARRAY,
    float: Parameter.Type.DOUBLE_ARRAY,
    str: Parameter.Type.STRING_ARRAY,
}

# Parameters that rclpy itself reads; a launch file may set them on any node.
BUILT_IN = ("use_sim_time", "start_type_description_service", "enable_logger_service")
BUILT_IN_GROUPS = ("qos_overrides.", "diagnostic_updater.")

_INT64_MAX = 2**63 - 1


def declare(
    node: Node,
    config_class: type[ConfigT],
    settle: Callable[[dict[str, Any]], Mapping[str, Any]] | None = None,
) -> ConfigT:
    """Declare every setting of a configuration class as a ROS parameter and read them once.

    A nested class becomes a dotted group. Descriptions, units and ranges go into the parameter
    descriptors, so that ``ros2 param describe`` shows them; what is not ``live`` is read-only.
    The overrides come from ``--params-file`` and ``-p name:=value``. rclpy ignores those that
    nobody declares; here a misspelt one is refused, since it would leave its default.

    Args:
        node: whose parameters they are.
        config_class: the configuration class.
        settle: gets the value of every parameter, and returns those that shall be others.

    Raises:
        ConfigurationError: an override is unknown, of the wrong type or outside its valid set.
            The sentence names the parameter.
    """
    declared = {leaf.name: leaf for leaf in leaves(config_class)}
    overrides = node._parameter_overrides  # rclpy has no public way to see the undeclared ones
    for name in sorted(overrides):
        if name in declared or name in BUILT_IN or node.has_parameter(name):
            continue
        if name.startswith(BUILT_IN_GROUPS):
            continue
        raise ConfigurationError(
            f"parameter {name} is unknown to node {node.get_name()}{did_you_mean(name, declared)} "
            f"(valid parameters: {', '.join(sorted(declared))})"
        )
    values: dict[str, Any] = {}
    for name, leaf in declared.items():
        value = leaf.default
        if name in overrides:
            value = overrides[name].value
            # rclpy gives an empty YAML list as None, and arrays of numbers as array.array.
            if leaf.length is not None and not isinstance(value, (str, bool, int, float)):
                value = list(value or ())
            if (leaf.type, leaf.length) == (str, None) and not isinstance(value, str):
                raise ConfigurationError(
                    f"parameter {name} must be {leaf.expected()}; got {value!r}: YAML needs "
                    f"quotes around numbers, yes, no, y and n, as in -p {name}:=\"'7'\""
                )
            value = leaf.check(value, "parameter ")
        values[name] = value
    if settle is not None:
        values |= settle(values)
    for name, leaf in declared.items():
        _declare_one(node, leaf, values[name])
    config: ConfigT = build(config_class, values)
    return config


def did_you_mean(name: str, valid: Iterable[str], cutoff: float = 0.6) -> str:
    """The valid name that is most like ``name``, as a question; empty where none is."""
    close = difflib.get_close_matches(name, [*valid], n=1, cutoff=cutoff)
    return f", did you mean {close[0]}?" if close else ""


def named_parameters(arguments: Sequence[str]) -> set[str]:
    """The parameters that a command line names with `-p`; those of its files are not among them.

    rclpy merges both, so the arguments themselves distinguish them.
    """
    named: set[str] = set()
    in_ros, before = False, ""
    for argument in arguments:
        if argument in ("--ros-args", "--"):
            in_ros = argument == "--ros-args"
        elif in_ros and before in ("-p", "--param"):
            # NAME:=VALUE, or NODE:NAME:=VALUE
            named.add(argument.partition(":=")[0].rpartition(":")[2])
        before = argument
    return named


def on_change(node: Node, changes: Mapping[str, Callable[[Any], object]]) -> None:
    """Have live parameters change something; what that refuses is refused to the caller."""

    def change(parameters: list[Parameter]) -> SetParametersResult:
        for parameter in parameters:
            try:
                if parameter.name in changes:
                    changes[parameter.name](parameter.value)
            except SacRosError as error:
                node.get_logger().error(f"parameter {parameter.name} not changed: {error}")
                return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    node.add_on_set_parameters_callback(change)


def _declare_one(node: Node, leaf: Leaf, value: Any) -> None:
    """Declare one parameter with its already checked value."""
    if value == ():
        # rclpy takes the type from the value and would read an empty list as bytes: declare it
        # by type alone, which leaves it "not set" for ros2 param get.
        value = _ARRAY_TYPES[leaf.type]
    elif isinstance(value, tuple):
        value = list(value)
    node.declare_parameter(leaf.name, value, _descriptor(leaf), ignore_override=True)


def _descriptor(leaf: Leaf) -> ParameterDescriptor:
    """Describe a setting in ROS terms: description, unit, range, read-only."""
    rule = leaf.rule
    descriptor = ParameterDescriptor(
        description=f"{rule.description} [{rule.unit}]" if rule.unit else rule.description,
        additional_constraints=f"must be {leaf.expected()}",
        read_only=not rule.live,
    )
    low = rule.minimum if rule.minimum is not None else rule.above
    if leaf.length is not None or (low is None and rule.maximum is None):
        return descriptor
    if leaf.type is int:
        first = -_INT64_MAX if low is None else int(low) + (rule.minimum is None)
        last = _INT64_MAX if rule.maximum is None else int(rule.maximum)
        descriptor.integer_range = [IntegerRange(from_value=first, to_value=last, step=0)]
    elif leaf.type is float:
        start = -math.inf if low is None else float(low)
        end = math.inf if rule.maximum is None else float(rule.maximum)
        descriptor.floating_point_range = [FloatingPointRange(from_value=start, to_value=end)]
    return descriptor


def describe(leaf: Leaf, node: str) -> str:
    """Describe a setting: meaning, valid set, unit, and its value when left out.

    ``node`` is the one whose parameter file it may stand in; empty: there is none.
    """
    file = f"as in {node}'s parameter file, or else " if node else ""
    left_out = f"{file}{_written(leaf.default) or 'empty'}"
    return f"{leaf.rule.description} ({leaf.expected()}). Left out: {left_out}."


def read(leaf: Leaf, text: str) -> Any:
    """Return the value of a YAML text: ``0.05``, ``true``, ``[10, 5]``, ``[a, b]``.

    Raises:
        ConfigurationError: it is of another type, or outside the valid set.
    """
    what = "launch argument "
    if leaf.type is str and leaf.length is None:
        return leaf.check(text, what)
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        value = text
    checked = leaf.check(value, what)
    if checked == ():
        # ROS has no type for an empty list, so a parameter cannot be set to one.
        raise ConfigurationError(f"{what}{leaf.name} must not be an empty list; leave it out")
    return checked


def _written(value: Any) -> str:
    """A value as `read` takes it."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(str, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)
