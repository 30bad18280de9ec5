# SPDX-License-Identifier: Apache-2.0
"""Configuration as frozen dataclasses whose fields carry their own description and valid set.

One declaration serves the ROS parameters (`sac_ros.ros.parameters`), the command lines and the
tests, so a range cannot be right in one of them and missing in another::

    @dataclass(frozen=True)
    class SacConfig:
        learning_rate: float = setting(3e-3, "Step size of Adam", above=0.0)

        def __post_init__(self) -> None:
            validate(self)
"""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Collection, Iterator, Mapping
from dataclasses import MISSING, dataclass
from typing import Any

from sac_ros.utils.errors import ConfigurationError

_RULE = "sac_ros.rule"
_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


@dataclass(frozen=True)
class Rule:
    """What is known about one setting: its meaning and its valid set.

    The bounds apply to a number, or to each number of a tuple; ``choices`` likewise.

    Attributes:
        description: one phrase for the user, without its unit.
        minimum: smallest valid number, itself included.
        above: largest number that is already too small.
        maximum: largest valid number, itself included.
        choices: the valid values, where they can be listed.
        unit: unit of the number, such as ``"s"`` or ``"N·m"``; empty for pure numbers.
        live: whether a running node lets the parameter be set.
    """

    description: str = ""
    minimum: float | None = None
    above: float | None = None
    maximum: float | None = None
    choices: Collection[Any] = ()
    unit: str = ""
    live: bool = False

    def accepts(self, value: Any) -> bool:
        """Return whether one scalar of the right type lies in the valid set."""
        if self.choices and value not in self.choices:
            return False
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            # NaN compares false with every bound, so it must be refused by name.
            return (
                math.isfinite(value)
                and (self.minimum is None or value >= self.minimum)
                and (self.above is None or value > self.above)
                and (self.maximum is None or value <= self.maximum)
            )
        return True

    def valid_set(self) -> str:
        """Return the valid set in words, such as ``above 0 and at most 1``, or ""."""
        if self.choices:
            return "one of " + ", ".join(str(choice) for choice in self.choices)
        bounds = (("above", self.above), ("at least", self.minimum), ("at most", self.maximum))
        return " and ".join(f"{word} {bound:g}" for word, bound in bounds if bound is not None)


@dataclass(frozen=True)
class Leaf:
    """One setting of a configuration class, nested classes flattened.

    Attributes:
        name: dotted path from the root class, such as ``sac.learning_rate``.
        type: the scalar's type, or that of a tuple's elements.
        length: None for a scalar, -1 for a tuple of any length, else the tuple's exact length.
        default: the value when nothing else is given, or `dataclasses.MISSING`.
        rule: meaning and valid set.
    """

    name: str
    type: type
    length: int | None
    default: Any
    rule: Rule

    def check(self, value: Any, what: str = "") -> Any:
        """Return ``value`` as the setting's own type, or refuse it.

        Whole numbers are taken as floats where a float is required (YAML writes ``1`` for
        ``1.0``), and lists as tuples.

        Args:
            value: the candidate.
            what: word put before the name in the error, such as ``"parameter "``.

        Raises:
            ConfigurationError: wrong type, wrong length or outside the valid set.
        """
        if self.length is None:
            checked = self._scalar(value)
            valid = checked is not None and self.rule.accepts(checked)
        else:
            items = list(value) if isinstance(value, (list, tuple)) else None
            scalars = [self._scalar(item) for item in items or ()]
            valid = (
                items is not None
                and self.length in (-1, len(scalars))
                and all(item is not None and self.rule.accepts(item) for item in scalars)
            )
            checked = tuple(scalars)
        if not valid:
            raise ConfigurationError(f"{what}{self.name} must be {self.expected()}; got {value!r}")
        return checked

    def expected(self) -> str:
        """Return type and valid set in words, such as ``a number above 0 (s)``."""
        words = _WORDS[self.type]
        if self.length is not None:
            count = "" if self.length == -1 else f"{self.length} "
            words = f"a list of {count}values, each {words}"
        valid_set = self.rule.valid_set()
        unit = f" ({self.rule.unit})" if self.rule.unit else ""
        return (valid_set if self.rule.choices else f"{words} {valid_set}".rstrip()) + unit

    def _scalar(self, value: Any) -> Any:
        """Return ``value`` as `type`, or None where it is of another type."""
        if self.type is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if isinstance(value, bool) and self.type is not bool:
            return None
        return value if isinstance(value, self.type) else None


def setting(
    default: Any,
    description: str,
    *,
    minimum: float | None = None,
    above: float | None = None,
    maximum: float | None = None,
    choices: Collection[Any] = (),
    unit: str = "",
    live: bool = False,
) -> Any:
    """Declare one field of a configuration dataclass; see `Rule` for the arguments."""
    rule = Rule(description, minimum, above, maximum, choices, unit, live)
    return dataclasses.field(default=default, metadata={_RULE: rule})


def leaves(config_class: type, prefix: str = "") -> Iterator[Leaf]:
    """Yield every setting of a configuration class in its order, nested classes flattened.

    Raises:
        TypeError: a field's type is not bool, int, float, str, a tuple of one of them, or another
            configuration dataclass. That is a mistake in the class, not of the user.
    """
    hints = typing.get_type_hints(config_class)
    for field in dataclasses.fields(config_class):
        annotation, name = hints[field.name], prefix + field.name
        if dataclasses.is_dataclass(annotation):
            yield from leaves(typing.cast(type, annotation), f"{name}.")
            continue
        scalar, length = _shape_of(annotation)
        if scalar not in _WORDS:
            raise TypeError(f"{config_class.__name__}.{name}: {annotation} cannot be a setting")
        default = field.default
        if field.default_factory is not MISSING:
            default = field.default_factory()
        yield Leaf(name, scalar, length, default, field.metadata.get(_RULE, Rule()))


def validate(config: Any) -> None:
    """Check every setting of a configuration object, nested ones included.

    Call it from ``__post_init__`` of a frozen dataclass. Whole numbers given for floats, and lists
    given for tuples, are converted in place, so that equal configurations compare equal.

    Raises:
        ConfigurationError: such as ``sac.learning_rate must be a number above 0; got -3``.
    """
    for leaf in leaves(type(config)):
        *path, attribute = leaf.name.split(".")
        owner = config
        for step in path:
            owner = getattr(owner, step)
        value = getattr(owner, attribute)
        checked = leaf.check(value)
        if type(checked) is not type(value):
            object.__setattr__(owner, attribute, checked)


def build(config_class: type, values: Mapping[str, Any]) -> Any:
    """Build a configuration object from flat dotted names; missing ones keep their defaults.

    Args:
        config_class: a configuration dataclass.
        values: such as ``{"sac.learning_rate": 1e-3}``; names that the class lacks are ignored,
            the caller has their source and refuses them with that.

    Raises:
        ConfigurationError: a value is outside its valid set.
    """
    hints = typing.get_type_hints(config_class)
    arguments: dict[str, Any] = {}
    for field in dataclasses.fields(config_class):
        if dataclasses.is_dataclass(hints[field.name]):
            inside = f"{field.name}."
            nested = {k[len(inside) :]: v for k, v in values.items() if k.startswith(inside)}
            arguments[field.name] = build(hints[field.name], nested)
        elif field.name in values:
            arguments[field.name] = values[field.name]
    return config_class(**arguments)


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The leaves of nested mappings by dotted name: what `build` takes."""
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        leaves |= flat(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
    return leaves


def _shape_of(annotation: Any) -> tuple[Any, int | None]:
    """Split ``tuple[float, ...]`` into (float, -1), ``tuple[float, float]`` into (float, 2)."""
    if typing.get_origin(annotation) is not tuple:
        return annotation, None
    arguments = typing.get_args(annotation)
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return arguments[0], -1
    if len(set(arguments)) != 1:
        return annotation, None
    return arguments[0], len(arguments)
