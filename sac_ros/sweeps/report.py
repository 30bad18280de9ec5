# SPDX-License-Identifier: Apache-2.0
"""What a sweep found: the best setting, what mattered, and the spread over seeds."""

from __future__ import annotations

import math
import shutil
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sac_ros.sweeps.search import Trial, best_of, importances
from sac_ros.sweeps.space import Space, parameter_file
from sac_ros.utils.atomic_write import atomic_write

_SHOWN = 20  # trials in the table
_SCORE = (
    "The score is the success within 2 cm and still on held-out goals, 0 to 1, less the median "
    "error in m"
)


def write_report(space: Space, trials: list[Trial], directory: Path) -> str:
    """Writes `report.md`, `report.png` and `best.yaml`, or `models/`; returns the report.

    Raises:
        ConfigurationError: no trial was trained to the end.
    """
    text = _models(space, trials, directory) if space.grid else _search(space, trials, directory)
    with atomic_write(directory / "report.md") as file:
        file.write_text(text, encoding="utf-8")
    return text


def _search(space: Space, trials: list[Trial], directory: Path) -> str:
    best, matter = best_of(trials), importances(space, trials)
    with atomic_write(directory / "best.yaml") as file:
        file.write_text(parameter_file({**space.settings, **best.values}), encoding="utf-8")
    _draw(space, trials, best, matter, directory / "report.png")
    ended = sum(each.complete for each in trials)
    seeds = ", ".join(map(str, space.seeds))
    command = f"train_node --ros-args --params-file {directory / 'best.yaml'}"
    lines = [
        f"# {directory.name}",
        "",
        f"{len(trials)} settings, {ended} of them trained to the end; seeds {seeds}. The others",
        f"were ended when they lagged behind. {_SCORE}; ± is its standard deviation over seeds.",
        "",
        "![Scores over each setting](report.png)",
        "",
        f"Best: score {_spread(best)}. `{command}` trains with it.",
        "",
        "| setting | best | tried | importance |",
        "|---|---|---|---|",
    ]
    for name, each in space.ranges.items():
        share = f"{matter[name]:.0%}" if name in matter else "too few trials"
        tried = f"{each.kind} {', '.join(map(str, each.values))}"
        lines.append(f"| `{name}` | {_short(best.values[name])} | {tried} | {share} |")
    default = next((each for each in trials if each.values == space.default), None)
    if default is not None:
        lines += ["", f"Without the sweep: score {_spread(default)}."]
    lines += ["", *_table(list(space.ranges), trials)]
    return "\n".join(lines) + "\n"


def _models(space: Space, trials: list[Trial], directory: Path) -> str:
    """Copies the best seed's policy of every combination, with its card, to `models/`."""
    (directory / "models").mkdir(exist_ok=True)
    groups: dict[str, list[Trial]] = {}
    for each in trials:
        settings = {**space.settings, **each.values}
        named = [settings.get("arm", "iiwa"), settings.get("task", "reach")]
        others = [v for k, v in each.values.items() if k not in ("arm", "task", "seed")]
        name = "_".join(Path(str(part)).stem for part in [*named, *map(_short, others)])
        groups.setdefault(name, []).append(each)
    lines = [
        f"# {directory.name}",
        "",
        f"The best seed of each is in `models/`. {_SCORE}.",
        "",
        "| policy | seed | score | of all seeds |",
        "|---|---|---|---|",
    ]
    for name, members in groups.items():
        complete = [each for each in members if each.complete and each.directory is not None]
        if not complete:
            reason = next((each.error for each in members if each.error), "not trained to the end")
            lines.append(f"| {name} | none | {reason} | |")
            continue
        best = best_of(complete)
        assert best.directory is not None
        run = best.directory / f"seed_{best.values['seed']}"
        model = directory / "models" / f"{name}.onnx"
        shutil.copyfile(run / "policy.onnx", model)
        card = (run / "policy.md").read_text(encoding="utf-8").replace("policy.onnx", model.name)
        if (picture := run / "robustness.png").exists():
            shutil.copyfile(picture, model.with_name(f"{name}_{picture.name}"))
            card = card.replace(picture.name, f"{name}_{picture.name}")
        with atomic_write(model.with_suffix(".md")) as file:
            file.write_text(card, encoding="utf-8")
        scores = ", ".join(f"{each.score:.3f}" for each in complete)
        seed = best.values["seed"]
        lines.append(f"| [{name}](models/{name}.md) | {seed} | {best.score:.3f} | {scores} |")
    return "\n".join([*lines, "", *_table([*space.ranges, "seed"], trials)]) + "\n"


def _table(names: list[str], trials: list[Trial]) -> list[str]:
    columns = ["score", "within 2 cm", "median error", "steps", *names, ""]
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    ranked = sorted(trials, key=lambda each: -math.inf if math.isnan(each.score) else each.score)
    for each in reversed(ranked[-_SHOWN:]):
        ended = "" if each.complete else (each.error or "ended early")
        cells = [_spread(each), f"{each.success:.0%}", f"{1e3 * each.median_error_m:.1f} mm"]
        cells += [f"{each.env_steps:,}", *(_short(each.values[name]) for name in names), ended]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _spread(trial: Trial) -> str:
    if len(trial.scores) < 2:
        return f"{trial.score:.3f}"
    return f"{trial.score:.3f} ± {statistics.stdev(trial.scores):.3f}"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _draw(
    space: Space, trials: list[Trial], best: Trial, matter: Mapping[str, float], path: Path
) -> None:
    """The score over each setting, the most important first; who was ended early is hollow."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    names = sorted(space.ranges, key=lambda name: -matter.get(name, 0.0))
    columns = min(3, len(names))
    rows = math.ceil(len(names) / columns)
    figure = Figure(figsize=(4.2 * columns, 3.2 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax in axes[len(names) :]:
        ax.set_visible(False)
    shown = [each for each in trials if math.isfinite(each.score)]
    for name, ax in zip(names, axes, strict=False):
        each, labels = space.ranges[name], []
        if each.kind == "choice":
            labels = [str(value) for value in each.values]
            ax.set_xticks(range(len(labels)), labels)
        elif each.kind == "loguniform":
            ax.set_xscale("log")

        def place(trial: Trial, name: str = name, labels: list[str] = labels) -> float:
            value = trial.values[name]
            return labels.index(str(value)) if labels else value

        for complete, face in ((True, "C0"), (False, "none")):
            chosen = [trial for trial in shown if trial.complete is complete]
            ax.scatter(
                [place(trial) for trial in chosen],
                [trial.score for trial in chosen],
                facecolor=face,
                edgecolor="C0",
            )
        ax.scatter([place(best)], [best.score], marker="*", s=180, color="C1", zorder=3)
        share = f", importance {matter[name]:.0%}" if name in matter else ""
        ax.set_title(f"{name}{share}", fontsize=10)
        ax.set_ylabel("score")
        ax.tick_params(axis="x", which="both", labelsize=8, rotation=30)
        ax.grid(alpha=0.3)
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=110)
