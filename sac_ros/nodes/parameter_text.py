# SPDX-License-Identifier: Apache-2.0
"""Settings as text: what a launch argument says about one, and what its user wrote for it."""

from __future__ import annotations

from typing import Any

import yaml

from sac_ros.utils.errors import ConfigurationError
from sac_ros.utils.settings import Leaf


def describe(leaf: Leaf, node: str) -> str:
    """Say what a setting of a node is: meaning, valid set, unit, and what it is when left out.

    Args:
        leaf: the setting.
        node: whose parameter file it may stand in; empty: there is none.
    """
    file = f"as in {node}'s parameter file, or else " if node else ""
    left_out = f"{file}{_written(leaf.default) or 'empty'}"
    return f"{leaf.rule.description} ({leaf.expected()}). Left out: {left_out}."


def read(leaf: Leaf, text: str) -> Any:
    """The value that ``text`` writes, as YAML: ``0.05``, ``true``, ``[10, 5]``, ``[a, b]``.

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
        # ROS cannot tell an empty list's type, so a parameter cannot be set to one.
        raise ConfigurationError(f"{what}{leaf.name} must not be an empty list; leave it out")
    return checked


def _written(value: Any) -> str:
    """A value as `read` takes it."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(str, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)
