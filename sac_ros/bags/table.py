# SPDX-License-Identifier: Apache-2.0
"""Evaluations of many bags side by side: a row for each bag and policy."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sac_ros.bags.discovery import OWN_TORQUES, last_part
from sac_ros.bags.figures import FIGURES, figures_of
from sac_ros.bags.reader.bag import Bag
from sac_ros.bags.result import DECISIONS, Evaluation
from sac_ros.cdr import JOINT_STATE
from sac_ros.utils.atomic_write import atomic_write
from sac_ros.utils.errors import BagError

TABLE_FILE = "table.csv"
"""The name of the table in the folder of the evaluations."""

_SHOWN = (
    *("verdict", "rmse", "rmse_authority", "saturation", "violations", "faults", "unanswered"),
    *("outside", "lag", "dropped"),
)


def each_has_states(paths: Sequence[Path]) -> bool:
    """Return whether bags are several recordings: all that can be read have joint states."""
    found = []
    for path in paths:
        try:
            with Bag(path) as bag:
                found.append(any(map(_is_states, bag.topics.items())))
        except BagError:
            continue
    return all(found)


def _is_states(topic: tuple[str, object]) -> bool:
    name, about = topic
    is_state = getattr(about, "type", "") == JOINT_STATE and getattr(about, "messages", 0) > 0
    return is_state and last_part(name) not in OWN_TORQUES


def unlike_names(paths: Sequence[Path]) -> list[str]:
    """Return a name for each bag that no other has: its own, with as many folders as it takes."""
    parts = [path.resolve().parts for path in paths]
    for count in range(1, max(map(len, parts)) + 1):
        names = ["_".join(part.strip("/") for part in each[-count:]) for each in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{i}_{path.name}" for i, path in enumerate(paths, 1)]


def _rows(evaluations: Mapping[str, Evaluation]) -> Iterator[dict[str, str | float | None]]:
    for name, evaluation in evaluations.items():
        for model in evaluation.models:
            yield {"bag": name, "policy": model.label, **figures_of(evaluation, model)}


def save_table(evaluations: Mapping[str, Evaluation], folder: Path) -> None:
    """Write every figure of every bag and policy as CSV; what is unknown is empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, ["bag", "policy", *FIGURES])
    writer.writeheader()
    writer.writerows(_rows(evaluations))
    with atomic_write(folder / TABLE_FILE) as partial:
        partial.write_text(text.getvalue(), encoding="utf-8")


def _cell(name: str, value: str | float | None) -> str:
    if value is None:
        return "unknown"
    return DECISIONS[int(value)] if name == "verdict" else f"{value:.4g}"


def table_text(evaluations: Mapping[str, Evaluation]) -> str:
    """Return the figures that matter for a terminal."""
    rows = [["bag", "policy", *_SHOWN]]
    for row in _rows(evaluations):
        cells = (_cell(name, row[name]) for name in _SHOWN)
        rows.append([str(row["bag"]), str(row["policy"]), *cells])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place < 2 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
