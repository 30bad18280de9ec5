# SPDX-License-Identifier: Apache-2.0
"""A sweep on two Ray nodes that loses a trial's process, and then its driver.

    python -m benchmarks.ray_sweep [--output D] [NAME:=VALUE ...]

`config/sweeps/settings.yaml` with one seed: twenty settings of 20,000 steps. When five trials have
shown how they are doing, one's process is killed, at eight the driver; the same command goes on.
Then the setting that was found, and the default, are trained with seeds that the sweep has not
seen, and both are printed.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from benchmarks.ray_nodes import ray_processes, two_nodes
from sac_ros.sweeps.space import read_parameters, read_space
from sac_ros.sweeps.trial import score
from sac_ros.training.callbacks import Callback, PeriodicEvaluation
from sac_ros.training.config import TrainConfig
from sac_ros.training.run_directory import find_run_directory
from sac_ros.training.runner import TrainingSession
from sac_ros.utils.settings import build

SPACE = Path(__file__).parents[1] / "config" / "sweeps" / "settings.yaml"
UNSEEN = (100, 101, 102)


def main() -> int:
    """Prints what happened, and both settings on unseen seeds."""
    parser = argparse.ArgumentParser(description="A sweep on two Ray nodes, through two kills.")
    parser.add_argument("--output", type=Path, default=Path("sweeps/ray_sweep"))
    parser.add_argument("change", nargs="*", help="NAME:=VALUE, as of sweep")
    options = parser.parse_args()
    begun = time.monotonic()
    with two_nodes(cores=1) as address:
        changes = ["seeds:=[0]", f"ray_address:={address}", *options.change]
        command = [sys.executable, "-m", "sac_ros.cli.sweep", str(SPACE), *changes]
        command += ["--output", str(options.output)]
        driver = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _wait(driver, options.output, 5)
        for each in ray_processes("ray::ImplicitFunc")[:1]:
            each.kill()
            _say(begun, "a trial's process is killed")
        _wait(driver, options.output, 8)
        driver.kill()
        driver.wait()
        _say(begun, "the driver is killed")
        code = subprocess.call(command)
    trials = len([*options.output.glob("trial_*")])
    _say(begun, f"exit code {code}, {trials} trials")
    compare(options.output / "best.yaml", options.change)
    return code


def compare(best: Path, changes: list[str]) -> None:
    """Trains the default and the setting in `best` with seeds that the sweep has not seen."""
    space = read_space(SPACE, changes)[0]
    settings = {"default": {}, "best": read_parameters(best)}
    orders = [({**space.settings, **settings[n]}, seed) for n in settings for seed in UNSEEN]
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        scores = [*pool.map(_train, orders)]
    for index, name in enumerate(settings):
        found = scores[index * len(UNSEEN) : (index + 1) * len(UNSEEN)]
        each = ", ".join(f"{value:.3f}" for value in found)
        print(f"{name}: {statistics.fmean(found):.3f} on seeds {UNSEEN}: {each}")


def _say(begun: float, what: str) -> None:
    print(f"{time.monotonic() - begun:5.0f} s: {what}", flush=True)


def _wait(driver: subprocess.Popen[bytes], output: Path, trials: int) -> None:
    while driver.poll() is None and len([*output.glob("trial_*/checkpoint_*")]) < trials:
        time.sleep(0.5)


class _Last(Callback):
    """Evaluates the last actor, too."""

    def on_end(self, run: TrainingSession, finished: bool) -> None:
        run.evaluate()


def _train(order: tuple[dict[str, object], int]) -> float:
    settings, seed = order
    with tempfile.TemporaryDirectory() as directory:
        own = {"seed": seed, "directory": directory, "name": "run", "collector": "in_process"}
        config: TrainConfig = build(TrainConfig, {**settings, **own})
        session = TrainingSession(config, find_run_directory(config))
        session.callbacks = [PeriodicEvaluation(), _Last()]
        session.run()
        best = session.state.best.evaluation
        assert best is not None
        return score(best)


if __name__ == "__main__":
    sys.exit(main())
