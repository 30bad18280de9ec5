# SPDX-License-Identifier: Apache-2.0
"""One setting of a sweep, in a process of Ray Tune: its trainings, seed after seed."""

from __future__ import annotations

import dataclasses
import json
import shutil
import statistics
from pathlib import Path
from typing import Any

from ray import tune

from sac_ros.sweeps.space import Space
from sac_ros.training.callbacks import Callback, Checkpoints, PeriodicEvaluation, QualityStop
from sac_ros.training.evaluation import Evaluation
from sac_ros.training.final_report import FinalReport
from sac_ros.training.run_directory import RunDirectory
from sac_ros.training.runner import TrainingSession
from sac_ros.utils.atomic_write import atomic_write

_RESULT = "result.json"  # of a training that has ended, beside its policy file


def score(evaluation: Evaluation) -> float:
    """Success within 2 cm and still, 0..1, less the median error in m.

    So of two settings that reach all goals the more exact one is the better, and of two that reach
    none yet the one that comes closer.
    """
    return evaluation.success_rate(0.02) - evaluation.median_error_m


def train_setting(values: dict[str, Any], space: Space) -> None:
    """Trains a setting with every seed, and reports to Tune after every evaluation.

    It goes on where Tune's last checkpoint of it was made, wherever that was.

    Args:
        values: of the space's ranges, texts of JSON where Optuna takes no lists; and, of a grid,
            the seed.
        space: of the sweep.
    """
    values = {
        name: json.loads(value) if isinstance(value, str) else value
        for name, value in values.items()
    }
    seeds = (values.pop("seed"),) if space.grid else space.seeds
    work = Path(tune.get_context().get_trial_dir()).resolve() / "runs"
    if (kept := tune.get_checkpoint()) is not None:
        shutil.rmtree(work, ignore_errors=True)
        with kept.as_directory() as directory:
            shutil.copytree(directory, work)
    results: list[dict[str, Any]] = []
    for seed in seeds:
        run = RunDirectory(work / f"seed_{seed}")
        if (ended := run.path / _RESULT).exists():
            results.append(json.loads(ended.read_text(encoding="utf-8")))
            continue
        config = space.config(values, seed, str(work))
        resumed = dataclasses.replace(config, resume=bool(run.checkpoints))
        session = TrainingSession(resumed, run)
        # What is trained to be used ends when it is good, and has its report.
        used = [QualityStop(), FinalReport()] if space.grid else []
        session.callbacks = [PeriodicEvaluation(), Checkpoints(), *used, _Telling(results, work)]
        session.run()


class _Telling(Callback):
    """Reports to Tune how good the best actor so far is, with a checkpoint to go on from."""

    def __init__(self, results: list[dict[str, Any]], work: Path) -> None:
        self._results = results
        self._work = work
        self._told = 0

    def on_start(self, run: TrainingSession) -> None:
        self._told = len(run.records.points)

    def on_block(self, run: TrainingSession) -> None:
        if len(run.records.points) > self._told:
            self._told = len(run.records.points)
            run.save_checkpoint()
            self._tell([*self._results, _result(run)])

    def on_end(self, run: TrainingSession, finished: bool) -> None:
        points = run.records.points
        if not points or points[-1].env_steps != run.state.loop.env_steps:
            run.evaluate()
        result = _result(run)
        self._results.append(result)
        for checkpoint in run.directory.checkpoints:  # what follows needs it no more
            checkpoint.unlink()
        with atomic_write(run.directory.path / _RESULT) as file:
            file.write_text(json.dumps(result), encoding="utf-8")
        self._tell(self._results)

    def _tell(self, results: list[dict[str, Any]]) -> None:
        names = ("score", "success", "median_error_m", "mean_return")
        tune.report(
            {
                **{name: statistics.fmean(each[name] for each in results) for name in names},
                "env_steps": sum(each["env_steps"] for each in results),
                "scores": [each["score"] for each in results],
                "seeds_ended": len(self._results),
            },
            checkpoint=tune.Checkpoint.from_directory(self._work),
        )


def _result(run: TrainingSession) -> dict[str, Any]:
    """Of the best actor so far."""
    best = run.state.best.evaluation
    assert best is not None, "there was an evaluation"
    return {
        "score": score(best),
        "success": best.success_rate(0.02),
        "median_error_m": best.median_error_m,
        "mean_return": best.mean_return,
        "env_steps": run.state.loop.env_steps,
    }
