# SPDX-License-Identifier: Apache-2.0
"""Learning seconds until 95 % of 50 held-out goals are reached, and stay reached."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.figure import Figure, ratio
from benchmarks.learning_curve import LearningCurve
from benchmarks.our_run import our_run
from benchmarks.peer_run import peer_run
from benchmarks.result import describe
from sac_ros.training.config import TrainConfig

NAME = "time_to_solve"


@dataclass(frozen=True)
class TimeToSolve:
    """What to measure.

    Seed by seed: our training with its default parameters, then, with `peer`, the peer's for each
    of `update_every`, cut at `cut` times our time with that seed.  The ratio to a run that was
    cut is then a lower bound, and called so.
    """

    seeds: int = 3
    peer: bool = False
    cut: float = 40.0
    update_every: tuple[int, ...] = (1, 8)
    config: TrainConfig = TrainConfig()  # noqa: RUF009  frozen

    def measure(self) -> dict[str, Any]:
        """The result, see `benchmarks.result`."""
        curves: dict[str, list[LearningCurve]] = {}
        for seed in range(self.seeds):
            config = replace(self.config, seed=seed)
            ours = our_run(config)
            curves.setdefault("sac_ros", []).append(ours)
            if not self.peer:
                continue
            for update_every in self.update_every:
                curve = peer_run(
                    config, update_every=update_every, cut_seconds=self.cut * _seconds(ours)
                )
                curves.setdefault(curve.contestant, []).append(curve)
        settings = {
            "seeds": self.seeds,
            "held_out_goals": self.config.evaluation_episodes,
            "env_steps_at_most": self.config.total_steps,
            "peer": self.peer,
            "cut": self.cut,
        }
        details = [curve.as_dict() for runs in curves.values() for curve in runs]
        title = f"Learning time to 95 % of {self.config.evaluation_episodes} held-out goals"
        return describe(NAME, title, _figures(curves), settings, details)


def _seconds(curve: LearningCurve) -> float:
    """The time to solve; of a run that never did, all that it took."""
    return curve.seconds_to_solve or curve.cut_at_seconds or 0.0


def _figures(curves: dict[str, list[LearningCurve]]) -> list[Figure]:
    figures: list[Figure] = []
    ours = _seconds_figure("sac_ros", curves["sac_ros"])
    for name, runs in curves.items():
        figures.append(_seconds_figure(name, runs))
        figures.append(Figure(f"{name}: best success", "%", _percent(runs)))
    for name, runs in curves.items():
        if name != "sac_ros":
            spent = Figure(name, "s", tuple(_seconds(run) for run in runs))
            label = f"{name} / sac_ros"
            if not all(run.solved for run in runs):
                label += ", lower bound: cut"
            figures.append(ratio(label, spent, ours))
    return figures


def _seconds_figure(name: str, runs: Sequence[LearningCurve]) -> Figure:
    return Figure(f"{name}: solved after", "s", tuple(run.seconds_to_solve for run in runs))


def _percent(runs: Sequence[LearningCurve]) -> tuple[float, ...]:
    return tuple(100.0 * run.best for run in runs)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds this benchmark's options."""
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="runs of each")
    parser.add_argument(
        "--peer",
        action="store_true",
        help="train stable-baselines3's SAC too; takes up to 80 times as long as ours",
    )
    parser.add_argument(
        "--cut", type=float, default=40.0, metavar="X", help="end the peer at X times our time"
    )
    parser.add_argument(
        "--update-every",
        type=int,
        nargs="+",
        default=[1, 8],
        metavar="K",
        help="the peer's env steps per update, a run for each (1 is its default)",
    )


def from_options(options: argparse.Namespace) -> TimeToSolve:
    """As the options of `python -m benchmarks` say."""
    return TimeToSolve(options.seeds, options.peer, options.cut, tuple(options.update_every))
