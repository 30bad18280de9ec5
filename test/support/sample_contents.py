# SPDX-License-Identifier: Apache-2.0
"""The contents of a run's page with made-up figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from sample_evaluation import sample_evaluation

from sac_ros.training.config import TrainConfig
from sac_ros.training.evaluation import Success
from sac_ros.training.page.contents import Contents, Goal
from sac_ros.training.progress import EvaluationPoint
from sac_ros.training.robustness import Cell, Rate

GOOD = sample_evaluation(
    success=(Success(0.05, 1.0), Success(0.03, 1.0), Success(0.02, 1.0)),
    median_error_m=0.002,
    overspeed_fraction=0.0,
    joint_stop_rate=0.0,
)
"""Better than the default quality bar."""

WORLDS = {"env": {"randomization": {"mass_scale": (0.8, 1.2)}}}


def cell(condition: str, controller: str, rate: float) -> Cell:
    return Cell(condition, controller, Rate.of(rate, 100), 0.003, None)


def sample_contents(path: Path, **changes: Any) -> Contents:
    """A finished run of 20,000 steps whose best actor is that after 10,000."""
    steps = np.array([0.0, 10_000.0, 20_000.0])
    names = ("critic_loss", "actor_loss", "value_loss", "ent_coef", "entropy", "q_mean")
    fields: dict[str, Any] = {
        "path": path,
        "config": TrainConfig(name=path.name),
        "arm": "iiwa",
        "box": np.array([[0.3, -0.4, 0.1], [0.7, 0.4, 0.7]]),
        "state": "finished",
        "ended": "total_steps, 20,000",
        "env_steps": 20_000,
        "learning_seconds": 60.0,
        "points": [
            EvaluationPoint(step, step / 400.0, 0.9, 0.5, 0.01, 0.02, 3.0)
            for step in (0, 10_000, 20_000)
        ],
        "exported": 10_000,
        "best": GOOD,
        "measured": GOOD,
        "goals": [
            Goal(0.5, 0.1, 0.4, 0.001, True, 1.2),
            Goal(0.6, -0.3, 0.2, 0.0345, False, None),
        ],
        "cells": [
            cell(name, controller, 1.0)
            for name in ("nominal", "payload_2_kg")
            for controller in ("policy", "computed_torque")
        ],
        "curves": {f"train/{name}": (steps, np.array([0.0, 2.0, 1.0])) for name in names},
    }
    return Contents(**{**fields, **changes})
