# SPDX-License-Identifier: Apache-2.0
"""Learning seconds until 95 % of 50 held-out goals are reached, and stay reached."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.figure import Figure, ratio
from benchmarks.learning_curve import LearningCurve
from benchmarks.our_run import our_name, our_run
from benchmarks.peer_run import peer_run
from benchmarks.result import describe
from sac_ros.training.config import TrainConfig

NAME = "time_to_solve"
VARIANTS = ("2018b", "2018a")  # of Haarnoja et al.; the latter learns a value network


@dataclass(frozen=True)
class TimeToSolve:
    """What to measure.

    Seed by seed: our training with its default parameters, each of `variants`, the first being
    what the others are compared with.  Then, for the first `peer_seeds` seeds, the peer's for each
    of `update_every`, cut at `cut` times our time with that seed.  The ratio to a run that was
    cut is then a lower bound, and called so.
    """

    seeds: int = 5
    variants: tuple[str, ...] = VARIANTS
    peer_seeds: int = 0
    cut: float = 40.0
    update_every: tuple[int, ...] = (1, 8)
    config: TrainConfig = TrainConfig()  # noqa: RUF009  frozen

    def measure(self) -> dict[str, Any]:
        """The result, see `benchmarks.result`."""
        curves: dict[str, list[LearningCurve]] = {}
        for seed in range(self.seeds):
            for curve in self._with_seed(seed):
                curves.setdefault(curve.contestant, []).append(curve)
        settings = {
            "seeds": self.seeds,
            "variants": list(self.variants),
            "held_out_goals": self.config.evaluation_episodes,
            "env_steps_at_most": self.config.total_steps,
            "peer_seeds": self.peer_seeds,
            "cut": self.cut,
        }
        details = [curve.as_dict() for runs in curves.values() for curve in runs]
        title = f"Learning time to 95 % of {self.config.evaluation_episodes} held-out goals"
        ours = [our_name(self._config(variant)) for variant in self.variants]
        return describe(NAME, title, _figures(curves, ours), settings, details)

    def _with_seed(self, seed: int) -> Iterator[LearningCurve]:
        """Our runs, then those of the peer that are held against the first of them."""
        configs = [replace(self._config(variant), seed=seed) for variant in self.variants]
        ours = [our_run(config) for config in configs]
        yield from ours
        if seed < self.peer_seeds:
            for update_every in self.update_every:
                yield peer_run(
                    configs[0], update_every=update_every, cut_seconds=self.cut * _seconds(ours[0])
                )

    def _config(self, variant: str) -> TrainConfig:
        sac = replace(self.config.sac, value_function=variant == "2018a")
        return replace(self.config, sac=sac)


def _seconds(curve: LearningCurve) -> float:
    """The time to solve; of a run that never did, all that it took."""
    return curve.seconds_to_solve or curve.cut_at_seconds or 0.0


def _figures(curves: dict[str, list[LearningCurve]], ours: Sequence[str]) -> list[Figure]:
    """Times and successes of each contestant, then its times over those of the first of `ours`."""
    figures: list[Figure] = []
    for name, runs in curves.items():
        figures.append(_seconds_figure(name, runs))
        figures.append(Figure(f"{name}: best success", "%", _percent(run.best for run in runs)))
        if name not in ours:
            # How far a run had come when its time was over is more than that it was.
            last = _percent(run.last for run in runs)
            figures.append(Figure(f"{name}: success at the cut", "%", last))
    first, *others = curves
    for name in others:
        runs = curves[name]
        # The peer may have fewer seeds; these are its first.
        base = _seconds_figure(first, curves[first][: len(runs)])
        spent = Figure(name, "s", tuple(_seconds(run) for run in runs))
        label = f"{name} / {first}"
        if not all(run.solved for run in runs):
            label += ", lower bound: cut"
        figures.append(ratio(label, spent, base))
    return figures


def _seconds_figure(name: str, runs: Sequence[LearningCurve]) -> Figure:
    return Figure(f"{name}: solved after", "s", tuple(run.seconds_to_solve for run in runs))


def _percent(shares: Iterable[float]) -> tuple[float, ...]:
    return tuple(100.0 * share for share in shares)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds this benchmark's options."""
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="our runs (default 5)")
    parser.add_argument(
        "--variants",
        nargs="+",
        choices=VARIANTS,
        default=list(VARIANTS),
        help="of ours; the first is what all others are compared with (default: both)",
    )
    parser.add_argument(
        "--peer",
        action="store_true",
        help="train stable-baselines3's SAC too; takes up to 80 times as long as ours",
    )
    parser.add_argument(
        "--peer-seeds", type=int, metavar="N", help="runs of the peer (default: as many as ours)"
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
    """From the options of `python -m benchmarks`."""
    peer_seeds = options.seeds if options.peer_seeds is None else options.peer_seeds
    return TimeToSolve(
        options.seeds,
        tuple(dict.fromkeys(options.variants)),
        peer_seeds if options.peer or options.peer_seeds is not None else 0,
        options.cut,
        tuple(options.update_every),
    )
