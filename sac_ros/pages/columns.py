# SPDX-License-Identifier: Apache-2.0
"""The numbers of the page's plots, as compact JSON that the page's own script reads."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_DIGITS = 5  # significant: more than a screen can show
_TICK = 1e-5  # s, or whatever an x axis counts: its values are whole numbers of these
_ESCAPED = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&"}


class Columns:
    """Columns of numbers, each kept once however many lines share it."""

    def __init__(self) -> None:
        self._number: dict[str, int] = {}

    def values(self, values: Array) -> int:
        """Keep values to five digits, what is not finite as null; return the column's number."""
        values = np.asarray(values, dtype=float)
        values = np.where(np.isfinite(values), values, np.nan) + 0.0  # no -0
        text = ",".join([f"%.{_DIGITS}g"] * len(values)) % tuple(values.tolist())
        return self._keep(f"[{text.replace('nan', 'null')}]")

    def places(self, places: Array) -> int:
        """Keep ascending places on an x axis as their steps, which are short."""
        ticks = np.round(np.asarray(places, dtype=float) / _TICK).astype(np.int64)
        return self._keep(f"[{','.join(map(str, np.diff(ticks, prepend=0).tolist()))}]")

    def json(self) -> str:
        """Return all columns, in the order of their numbers."""
        return f"[{','.join(self._number)}]"

    def _keep(self, text: str) -> int:
        return self._number.setdefault(text, len(self._number))


def json_for_script(value: Any, columns: Columns) -> str:
    """Return what a ``<script type="application/json">`` holds.

    Names come from bags that others made: no text can end the element or begin another.
    """
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return f'{{"tick":{_TICK!r},"columns":{columns.json()},"figures":{text.translate(_ESCAPED)}}}'
