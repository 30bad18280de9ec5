# SPDX-License-Identifier: Apache-2.0
"""Figures and joint names as a person reads them."""

from __future__ import annotations

from collections.abc import Sequence

DASH = "–"
_MINUS = "−"
_SPACE = "\u00a0"  # a figure and its unit stay on one line
_SHORTEST = 4  # letters
_NOTHING = 1e-9  # what rounding leaves of zero


def number(value: float | None, digits: int = 3, unit: str = "") -> str:
    """Return a figure with so many significant digits; a dash where it is unknown."""
    if value is None:
        return DASH
    if abs(value) < _NOTHING:
        value = 0.0
    shown = f"{value:.{digits}g}" if abs(value) < 10**digits else f"{value:.0f}"
    return f"{shown}{_SPACE}{unit}".rstrip().replace("-", _MINUS)


def percent(share: float | None) -> str:
    """Return a share in percent; a dash where it is unknown."""
    if share is None:
        return DASH
    if 0.0 < abs(share) < 0.0001:
        return f"{'<' if share > 0 else f'>{_MINUS}'}0.01{_SPACE}%"
    return f"{share:.2%}".replace("%", f"{_SPACE}%").replace("-", _MINUS)


def short_names(joints: Sequence[str]) -> tuple[str, ...]:
    """Return names for the heads of columns: without the words that all joints begin with.

    One of them stays where next to nothing would be left: ``lbr_iiwa_joint_1`` is ``joint_1``.
    """
    words = [name.split("_") for name in joints]
    common = 0
    while len(joints) > 1 and all(
        len(each) > common + 1 and each[common] == words[0][common] for each in words
    ):
        common += 1
    if common and min(len("_".join(each[common:])) for each in words) < _SHORTEST:
        common -= 1
    return tuple("_".join(each[common:]) for each in words)
