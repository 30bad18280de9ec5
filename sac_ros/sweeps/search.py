# SPDX-License-Identifier: Apache-2.0
"""Runs a sweep with Ray Tune: Optuna proposes, ASHA ends what lags behind, both go on later."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sac_ros.sweeps.space import Range, Space
from sac_ros.training.config import TrainConfig
from sac_ros.training.ray_cluster import connect
from sac_ros.utils.atomic_write import atomic_write
from sac_ros.utils.errors import ConfigurationError

_RETRIES = 10  # of a trial whose process or node has died
# A trial is compared with others after this part of its steps, and twice that; not at its end.
_FIRST_RUNG = 0.3
_KEPT = "space.json"  # in the sweep's directory


@dataclass(frozen=True)
class Trial:
    """What has come of one setting.

    Attributes:
        values: of the space's ranges; of a grid the seed, too.
        score: of the best actor, mean over seeds; NaN where none was evaluated.
        scores: of each seed.
        success: within 2 cm and still, 0..1, mean over seeds.
        median_error_m: m, mean over seeds.
        env_steps: of all seeds together.
        complete: whether all its seeds were trained to the end; else ASHA, or an error, ended it.
        error: what ended it; empty without one.
        directory: its files: a run each for every seed; None before its first evaluation.
    """

    values: dict[str, Any]
    score: float
    scores: tuple[float, ...]
    success: float
    median_error_m: float
    env_steps: int
    complete: bool
    error: str
    directory: Path | None


def run_sweep(space: Space, directory: Path, address: str) -> list[Trial]:
    """Runs it to the end, going on where an earlier call for `directory` was ended.

    Args:
        space: what is tried.
        directory: of the sweep; its parents are made.
        address: of a Ray cluster; empty: one on this machine, of its cores.

    Returns:
        Every trial.

    Raises:
        KeyboardInterrupt: it was interrupted; the same call goes on.
        ConfigurationError: `directory` holds a sweep of another space, or there is no Ray.
    """
    path = directory.resolve()
    _refuse_other(space, path)
    ray = connect(address, os.cpu_count() or 1)
    # Only here: without Ray the sentence of `connect` comes first.
    from ray import tune  # noqa: PLC0415

    from sac_ros.sweeps.trial import train_setting  # noqa: PLC0415

    try:
        trainable = tune.with_resources(partial(train_setting, space=space), {"cpu": 1})
        if tune.Tuner.can_restore(str(path)):
            tuner = tune.Tuner.restore(str(path), trainable, restart_errored=True)
        else:
            tuner = tune.Tuner(
                trainable,
                param_space=_parameters(space, tune) if space.grid else None,
                tune_config=_tune_config(space, tune),
                run_config=tune.RunConfig(
                    name=path.name,
                    storage_path=str(path.parent),
                    failure_config=tune.FailureConfig(max_failures=_RETRIES),
                    checkpoint_config=tune.CheckpointConfig(num_to_keep=1),
                    verbose=1,
                ),
            )
        path.mkdir(parents=True, exist_ok=True)
        with atomic_write(path / _KEPT) as file:
            file.write_text(_text(space), encoding="utf-8")
        results = list(tuner.fit())
        # Tune takes Ctrl-C for itself, and returns what there is.
        if not all(each.error or (each.metrics or {}).get("done") for each in results):
            raise KeyboardInterrupt
        return [_trial(each, space) for each in results]
    finally:
        ray.shutdown()


def best_of(trials: list[Trial]) -> Trial:
    """The one with the best score of those that were trained to the end.

    Raises:
        ConfigurationError: there is none.
    """
    complete = [each for each in trials if each.complete]
    if not complete:
        why = next((each.error for each in trials if each.error), "it was ended before")
        raise ConfigurationError(f"no trial of the sweep was trained to the end: {why}")
    return max(complete, key=lambda each: each.score)


def _tune_config(space: Space, tune: Any) -> Any:
    named = {"metric": "score", "mode": "max", "trial_dirname_creator": _directory}
    if space.grid:
        return tune.TuneConfig(**named)
    from ray.tune.schedulers import ASHAScheduler  # noqa: PLC0415
    from ray.tune.search.optuna import OptunaSearch  # noqa: PLC0415

    steps = _steps(space)
    first = space.default
    known = None if first is None else [_parameters_of(space, first)]
    return tune.TuneConfig(
        **named,
        num_samples=space.trials,
        search_alg=OptunaSearch(
            _distributions(space),
            metric="score",
            mode="max",
            points_to_evaluate=known,
            seed=0,
        ),
        scheduler=ASHAScheduler(
            time_attr="env_steps",
            max_t=2 * steps,  # never: what goes past the end must be reported, too
            grace_period=math.ceil(_FIRST_RUNG * steps),
            reduction_factor=2,
        ),
    )


def _directory(trial: Any) -> str:
    return f"trial_{trial.trial_id}"


def _steps(space: Space) -> int:
    """Environment steps of a trial, all seeds together."""
    return int(space.settings.get("total_steps", TrainConfig.total_steps)) * len(space.seeds)


def _parameters(space: Space, tune: Any) -> dict[str, Any]:
    grids = {name: [*each.values] for name, each in space.ranges.items()}
    grids["seed"] = [*space.seeds]
    return {
        name: tune.grid_search([json.dumps(value) for value in values])
        for name, values in grids.items()
    }


def _distributions(space: Space) -> dict[str, Any]:
    from optuna import distributions  # noqa: PLC0415

    found: dict[str, Any] = {}
    for name, each in space.ranges.items():
        if each.kind == "choice":
            choices = [_encoded(each, value) for value in each.values]
            found[name] = distributions.CategoricalDistribution(choices)
        elif each.kind == "int":
            found[name] = distributions.IntDistribution(*each.values)
        else:
            log = each.kind == "loguniform"
            found[name] = distributions.FloatDistribution(*each.values, log=log)
    return found


def _parameters_of(space: Space, values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _encoded(space.ranges[name], value) for name, value in values.items()}


def _encoded(given: Range, value: Any) -> Any:
    """Optuna's choices are texts, since it takes no lists."""
    return json.dumps(value) if given.kind == "choice" else value


def importances(space: Space, trials: list[Trial]) -> dict[str, float]:
    """How much of what separates good trials from others each range explains: 0..1, in all 1.

    PED-ANOVA, Watanabe, Bansal and Hutter 2023, as Optuna computes it. Empty where there is too
    little to compare by.
    """
    import optuna  # noqa: PLC0415

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    distributions = _distributions(space)
    for each in trials:
        if math.isfinite(each.score):
            params = _parameters_of(space, each.values)
            study.add_trial(
                optuna.trial.create_trial(
                    params=params, distributions=distributions, value=each.score
                )
            )
    if len(study.trials) < 2 * len(space.ranges) + 2:
        return {}
    evaluator = optuna.importance.PedAnovaImportanceEvaluator()
    try:
        return dict(optuna.importance.get_param_importances(study, evaluator=evaluator))
    except (RuntimeError, ValueError):
        return {}


def _trial(result: Any, space: Space) -> Trial:
    metrics = result.metrics or {}
    values = {
        name: json.loads(value) if isinstance(value, str) else value
        for name, value in (result.config or {}).items()
    }
    scores = tuple(metrics.get("scores", ()))
    seeds = 1 if space.grid else len(space.seeds)
    checkpoint = result.checkpoint
    return Trial(
        values=values,
        score=float(metrics.get("score", math.nan)),
        scores=scores,
        success=float(metrics.get("success", math.nan)),
        median_error_m=float(metrics.get("median_error_m", math.nan)),
        env_steps=int(metrics.get("env_steps", 0)),
        complete=metrics.get("seeds_ended") == seeds,
        error=" ".join(str(result.error).split())[:300] if result.error else "",
        directory=None if checkpoint is None else Path(checkpoint.path),
    )


def _refuse_other(space: Space, path: Path) -> None:
    kept = path / _KEPT
    if kept.exists() and kept.read_text(encoding="utf-8") != _text(space):
        raise ConfigurationError(
            f"{path} holds a sweep of another space, see its {kept.name}: choose another --output"
        )


def _text(space: Space) -> str:
    content = {
        "settings": space.settings,
        "seeds": space.seeds,
        "trials": space.trials,
        "space": {name: {each.kind: each.values} for name, each in space.ranges.items()},
    }
    return json.dumps(content, indent=2) + "\n"
