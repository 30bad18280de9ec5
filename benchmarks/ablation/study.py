# SPDX-License-Identifier: Apache-2.0
"""An ablation: which runs it has, and the results of those that are finished."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.ablation.runs import Run
from benchmarks.ablation.summary import TIME, RunResult, by_label
from benchmarks.ablation.variants import DEFAULT, VARIANTS, Skipped, Variant, applicable
from benchmarks.figure import Figure
from benchmarks.result import describe
from sac_ros.utils.atomic_write import atomic_write

NAME = "ablation"


@dataclass(frozen=True)
class Study:
    """Every variant with every seed.

    Attributes:
        seeds: runs of each variant, with the seeds 0 to `seeds` - 1.
        steps: env steps of a run, its `total_steps`.
        jobs: processes at once.
        final_episodes: goals that a finished run's policy file is measured on.
        evaluation_interval: env steps between two points of a learning curve.
        variants: what is tried beside the default configuration.
        base: parameters that all of them have changed, by name.
    """

    seeds: int = 3
    steps: int = 75_000
    jobs: int = 2
    final_episodes: int = 200
    evaluation_interval: int = 5000
    variants: Sequence[Variant] = VARIANTS
    base: dict[str, Any] = field(default_factory=dict)

    @property
    def shared(self) -> dict[str, Any]:
        """The parameters that all runs have, by name."""
        return {
            "total_steps": self.steps,
            "collector": "in_process",
            "record_video": False,
            "evaluation_interval": self.evaluation_interval,
            # None on the way: a checkpoint ends the episodes of a run in one process.
            "checkpoint_interval": self.steps + 1,
            **self.base,
        }

    def plan(self) -> tuple[list[Run], list[Skipped]]:
        """All runs, seed by seed so that an unfinished study compares, and what is left out."""
        usable, skipped = applicable(self.variants, self.shared)
        runs = []
        for seed in range(self.seeds):
            for variant in (DEFAULT, *usable):
                values = {**self.shared, **variant.changes, "seed": seed}
                config = variant.config({**self.shared, "seed": seed})
                runs.append(Run(variant, values, config, self.final_episodes))
        return runs, skipped

    def result(self, directory: Path) -> dict[str, Any]:
        """The result, see `benchmarks.result`, of the runs that are finished in `directory`."""
        runs, skipped = self.plan()
        order = [DEFAULT.label, *(variant.label for variant in self.variants)]
        found = [result for run in runs if (result := run.result(directory)) is not None]
        found.sort(key=lambda result: (order.index(result["label"]), result["seed"]))
        shared = self.shared
        settings = {
            "seeds": self.seeds,
            "steps": self.steps,
            "jobs": self.jobs,
            "final_episodes": self.final_episodes,
            "evaluation_interval": shared["evaluation_interval"],
            "evaluation_episodes": runs[0].config.evaluation_episodes,
            "base": self.base,
            "skipped": {each.variant.label: each.reason for each in skipped},
        }
        title = f"CPU seconds of learning to 95 % of {settings['evaluation_episodes']} goals"
        return describe(NAME, title, _figures(found), settings, found)


def _figures(found: Sequence[RunResult]) -> list[Figure]:
    return [
        Figure(label, "s", TIME.figure(runs).repetitions)
        for label, runs in by_label(found).items()
    ]


def save_result(result: dict[str, Any], directory: Path) -> Path:
    """Writes `<directory>/ablation.json`, a line for every run; returns where."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{NAME}.json"
    head = json.dumps({**result, "details": []}, indent=2)
    lines = ",\n".join(f"    {json.dumps(run)}" for run in result["details"])
    content = head.removesuffix("[]\n}") + f"[\n{lines}\n  ]\n}}\n"
    with atomic_write(path) as file:
        file.write_text(content, encoding="utf-8")
    return path
