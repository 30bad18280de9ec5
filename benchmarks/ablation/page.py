# SPDX-License-Identifier: Apache-2.0
"""docs/ablation.md, from the ablation's result."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.ablation.runs import slug
from benchmarks.ablation.summary import MEASURES, RunResult, by_label, time_ratio
from benchmarks.ablation.variants import DEFAULT
from benchmarks.figure import Figure

BEGIN = "<!-- written by hand, kept by `make ablation`: begin -->"
END = "<!-- written by hand: end -->"


def page(result: dict[str, Any], before: str = "") -> str:
    """Markdown: conditions, table, curves, and what stood between the marks in `before`.

    Args:
        result: the content of `results/ablation.json`.
        before: the page as it is, empty if there is none.
    """
    settings, machine = result["settings"], result["machine"]
    runs: list[RunResult] = result["details"]
    revisions = ", ".join(f"`{each}`" for each in sorted({run["revision"] for run in runs}))
    days = sorted({run["date"][:10] for run in runs})
    versions = ", ".join(
        f"{name} {version}"
        for name, version in result["versions"].items()
        if name in ("torch", "numpy", "pybullet")
    )
    return f"""# What each choice gives

This page shows what single settings contribute: every row trains with the default configuration
but for one change. `make ablation` writes the page and keeps its first section.

## What we take from it
{BEGIN}
{_by_hand(before)}
{END}

## How it was measured
- Command: `make ablation ARGS="--seeds {settings["seeds"]} --steps {settings["steps"]}"`
- {settings["seeds"]} seeds of each, {settings["steps"]:,} env steps. They are the run's
  `total_steps`, so the learning rate has fallen to its end by then; a longer run falls later,
  and ends more precise.
- One process and one thread a run (`collector: in_process`), {settings["jobs"]} runs at a time.
  Repeatable bit for bit. Collecting and learning take turns, so that the CPU seconds are those of
  both together; evaluations do not count.
- Solved: {settings["evaluation_episodes"]} held-out goals, 95 % of them within 5 cm in three
  evaluations in a row. One is made every {settings["evaluation_interval"]:,} steps; what counts is
  the first of the three.
- The rest of the table: the exported policy file on {settings["final_episodes"]} other goals,
  which no training and no evaluation has seen.
- Machine: {machine["processor"]}, {machine["cores"]} cores, Python {machine["python"]}, {versions}
- Source: revision {revisions}; {" to ".join(dict.fromkeys([days[0], days[-1]]))}

## Table
Medians over the seeds, the smallest and the largest in brackets. *x default* is the ratio of the
median CPU times; below 1 is faster. A run that did not solve the task counts as slower than all
others. *RMS Δτ of action 1* divides each joint's torque by its torque at action 1, so that a wrist
counts as a shoulder does; *torque above 10 Hz* is the share of such torques' power; *overspeed* is
the share of joint samples above the velocity limit.

{_table(runs)}

## Curves
Each line is one seed, the default configuration in grey.

{_curves(runs)}"""


def groups(runs: Sequence[RunResult]) -> list[str]:
    """The factors that were changed, in the order of the runs."""
    return list(dict.fromkeys(run["group"] for run in runs if run["label"] != DEFAULT.label))


def figure_name(group: str) -> str:
    """The file of a group's curves."""
    return f"ablation_{slug(group)}.png"


def write_page(result: dict[str, Any], path: Path) -> None:
    """Writes the page, keeping what was written by hand."""
    before = path.read_text(encoding="utf-8") if path.is_file() else ""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(result, before), encoding="utf-8")


def _by_hand(before: str) -> str:
    if BEGIN in before and END in before:
        return before.partition(BEGIN)[2].partition(END)[0].strip("\n")
    return "Not written yet."


def _table(runs: Sequence[RunResult]) -> str:
    header = ["factor", "change", "x default"]
    header += [f"{measure.name} ({measure.unit})" for measure in MEASURES]
    variants = by_label(runs)
    default = variants.get(DEFAULT.label, [])
    rows = [header, ["---"] * 3 + ["---:"] * len(MEASURES)]
    for label, mine in variants.items():
        relative = time_ratio(mine, default)
        group = "" if label == DEFAULT.label else mine[0]["group"]
        row = [group, label, "-" if relative is None else f"{relative:.2f}"]
        rows.append(row + [_cell(measure.figure(mine)) for measure in MEASURES])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cell(figure: Figure) -> str:
    known = [each for each in figure.repetitions if each is not None]
    if not known:
        return "never"
    missing = len(figure.repetitions) - len(known)
    last = f", {missing} of {len(figure.repetitions)} never" if missing else ""
    median = "never" if figure.median is None else _short(figure.median)
    return f"{median} ({_short(min(known))} to {_short(max(known))}{last})"


def _short(value: float) -> str:
    """Three significant digits, and no more than the figure has."""
    return f"{value:.0f}" if abs(value) >= 100.0 else f"{value:.3g}"


def _curves(runs: Sequence[RunResult]) -> str:
    sections = []
    for group in groups(runs):
        title = group[0].upper() + group[1:]
        sections.append(f"### {title}\n![{title}: learning curves](images/{figure_name(group)})\n")
    return "\n".join(sections)
