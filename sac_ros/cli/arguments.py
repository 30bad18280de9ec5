# SPDX-License-Identifier: Apache-2.0
"""Kinds of command-line arguments that several commands have."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable


def number(low: float, high: float, words: str, *, above: bool = False) -> Callable[[str], float]:
    """Reads a finite number from `low`, or `above` it, to `high`; `words` name the range."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high or math.isinf(value) or (above and value == low):
            raise argparse.ArgumentTypeError(f"must be {words}; got {text!r}")
        return value

    return read


seconds = number(0.0, math.inf, "seconds, 0 or more")


def add_links(parser: argparse.ArgumentParser) -> None:
    """Adds where an arm starts and ends, of those whose description leaves it open."""
    for name, words in (("base-link", "base link"), ("tip-link", "end effector link")):
        parser.add_argument(
            f"--{name}", default="", metavar="L", help=f"{words}, if not as in the description"
        )
