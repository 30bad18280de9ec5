# SPDX-License-Identifier: Apache-2.0
"""Typed access to an untrusted JSON object; every refusal names source, field, value, expected."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from sac_ros.utils.errors import PolicyFileError


def parse_object(text: str, source: str) -> JsonFields:
    """Parse one JSON object, refusing the NaN and Infinity that Python's parser would let in.

    Args:
        text: the JSON text.
        source: where it came from, for the errors.

    Raises:
        PolicyFileError: not JSON, not an object, or a number that is not finite.
    """

    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is not a finite number")

    def finite(digits: str) -> float:
        number = float(digits)
        return number if math.isfinite(number) else refuse(digits)

    try:
        value = json.loads(text, parse_constant=refuse, parse_float=finite)
    except (ValueError, RecursionError) as error:
        raise PolicyFileError(f"{source} must hold one JSON object: {error}") from None
    if not isinstance(value, dict):
        raise PolicyFileError(f"{source} must hold one JSON object; got {_short(value)}")
    return JsonFields(source, "", value)


class JsonFields:
    """The fields of one JSON object, each read with its expected type and size.

    Every reading method raises `PolicyFileError` when the field is missing or not as expected.
    """

    def __init__(self, source: str, path: str, values: dict[str, Any]) -> None:
        self._source = source
        self._path = path
        self._values = values
        self._unread = set(values)

    def refuse(self, key: str, expected: str) -> NoReturn:
        """Raise for one field, naming where it is, what was expected and what was found."""
        where = f"{self._source}: field {self._path}{key}"
        if key not in self._values:
            raise PolicyFileError(f"{where} is missing, it must be {expected}")
        raise PolicyFileError(f"{where} must be {expected}; got {_short(self._values[key])}")

    def refuse_unread(self) -> None:
        """Raise when a field was never read: another schema, or a misspelt name."""
        if self._unread:
            names = ", ".join(sorted(self._unread))
            valid = ", ".join(sorted(set(self._values) - self._unread))
            raise PolicyFileError(
                f"{self._source}: field {self._path}{names} is unknown (fields: {valid})"
            )

    def text(self, key: str, choices: tuple[str, ...] = ()) -> str:
        """Read a text that is not empty, and one of ``choices`` where given."""
        value = self._get(key)
        if not isinstance(value, str) or not value or (choices and value not in choices):
            expected = "one of " + ", ".join(choices) if choices else "a text that is not empty"
            self.refuse(key, expected)
        return value

    def integer(self, key: str, minimum: int) -> int:
        """Read a whole number of at least ``minimum``."""
        value = self._get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
            self.refuse(key, f"a whole number of at least {minimum}")
        return value

    def positive(self, key: str) -> float:
        """Read a number above zero."""
        value = self._get(key)
        if not _is_number(value) or value <= 0:
            self.refuse(key, "a number above 0")
        return float(value)

    def texts(self, key: str) -> tuple[str, ...]:
        """Read a list of different texts, at least one."""
        value = self._get(key)
        if (
            not isinstance(value, list)
            or not value
            or not all(isinstance(item, str) and item for item in value)
            or len(set(value)) != len(value)
        ):
            self.refuse(key, "a list of different texts, at least one")
        return tuple(value)

    def numbers(self, key: str, length: int, *, positive: bool = False) -> tuple[float, ...]:
        """Read a list of exactly ``length`` numbers, each above zero when ``positive``."""
        value = self._get(key)
        if not _is_row(value, length) or (positive and min(value) <= 0):
            self.refuse(key, f"a list of {length} numbers{' above 0' if positive else ''}")
        return tuple(float(item) for item in value)

    def pairs(self, key: str, length: int) -> tuple[tuple[float, float], ...]:
        """Read a list of exactly ``length`` pairs [low, high] with low < high."""
        rows = self.rows(key, 2)
        if len(rows) != length or any(low >= high for low, high in rows):
            self.refuse(key, f"a list of {length} pairs [low, high] with low < high")
        return tuple((low, high) for low, high in rows)

    def rows(self, key: str, width: int) -> tuple[tuple[float, ...], ...]:
        """Read a list of rows, at least one, each of ``width`` numbers; 0: of equally many."""
        value = self._get(key)
        if not isinstance(value, list) or not value or not isinstance(value[0], list):
            value = [()]  # which is no row
        if not all(_is_row(row, width or len(value[0])) for row in value):
            number = width or "equally many"
            self.refuse(key, f"a list of rows of {number} numbers, at least one row")
        return tuple(tuple(float(item) for item in row) for row in value)

    def mapping(self, key: str) -> dict[str, Any]:
        """Read an object whose content is free."""
        value = self._get(key)
        if not isinstance(value, dict):
            self.refuse(key, "an object")
        return value

    def is_null(self, key: str) -> bool:
        """Return whether a field that may be left out is missing or null."""
        return self._get(key) is None

    def nested(self, key: str) -> JsonFields:
        """Read an object whose fields are read in turn."""
        return JsonFields(self._source, f"{self._path}{key}.", self.mapping(key))

    def objects(self, key: str) -> list[JsonFields]:
        """Read a list of objects, at least one."""
        value = self._get(key)
        if not isinstance(value, list) or not value or not all(isinstance(v, dict) for v in value):
            self.refuse(key, "a list of objects, at least one")
        return [
            JsonFields(self._source, f"{self._path}{key}[{index}].", item)
            for index, item in enumerate(value)
        ]

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def _get(self, key: str) -> Any:
        self._unread.discard(key)
        return self._values.get(key)


def _is_number(value: object) -> bool:
    """Return whether a JSON value is a number that fits a float64."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def _is_row(value: object, width: int) -> bool:
    return isinstance(value, list) and len(value) == width and all(map(_is_number, value))


def _short(value: object) -> str:
    """Quote a value in an error without letting a file fill the screen."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
