# SPDX-License-Identifier: Apache-2.0
"""What the page of a run shows."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sac_ros.training.config import TrainConfig
from sac_ros.training.evaluation import HOLD_TOLERANCE, Episode, Evaluation
from sac_ros.training.progress import EvaluationPoint
from sac_ros.training.robustness import Cell
from sac_ros.utils.atomic_write import atomic_write

if TYPE_CHECKING:
    from sac_ros.training.runner import TrainingSession

Curve = tuple[NDArray[Any], NDArray[Any]]
"""Environment steps [m] and values [m]."""


@dataclass(frozen=True)
class Goal:
    """How one held-out goal was reached.

    Attributes:
        x, y, z: m, in the arm's base frame; the middle of the path of one that moves.
        error_m: m, at the end of the episode; RMS where goals move.
        reached: within 2 cm and still, or within 2 cm RMS of the path.
        seconds: s until the end effector stays within 2 cm; None where it does not.
    """

    x: float
    y: float
    z: float
    error_m: float
    reached: bool
    seconds: float | None

    @classmethod
    def of(cls, episode: Episode, moving: bool = False) -> Goal:
        """Of an episode of an evaluation."""
        x, y, z = episode.goals.mean(axis=0).tolist()
        return cls(
            x,
            y,
            z,
            episode.last_error if moving else episode.error,
            episode.last_error < HOLD_TOLERANCE,
            episode.time_to_goal,
        )


@dataclass
class Measured:
    """What a run has measured of its policy so far.

    Attributes:
        file: the figures of the policy file; None before the end.
        episodes: those of the latest evaluation, of the file in the end.
        cells: what the policy and the textbook controller survive.
    """

    file: Evaluation | None = None
    episodes: list[Episode] = field(default_factory=list)
    cells: list[Cell] = field(default_factory=list)


@dataclass(frozen=True)
class Contents:
    """A run as far as it has come.

    Attributes:
        path: the run's directory.
        config: its settings.
        arm: the arm's name.
        box: [2, 3] m, the corners of the goal box.
        state: `learning`, `interrupted` or `finished`.
        ended: why the learning ended.
        env_steps: so many there were.
        learning_seconds: s, evaluations excluded.
        points: the learning curve.
        exported: environment steps of the best actor, the one that is exported.
        best: its figures.
        measured: those of the policy file.
        goals: of the latest evaluation.
        cells: what it survives; empty where that was not measured.
        curves: what TensorBoard has by tag.
        picture: the GIF of the arm reaching, empty where there is none.
    """

    path: Path
    config: TrainConfig
    arm: str
    box: NDArray[np.float64]
    state: str
    ended: str
    env_steps: int
    learning_seconds: float
    points: Sequence[EvaluationPoint]
    exported: int
    best: Evaluation | None
    measured: Evaluation | None
    goals: Sequence[Goal]
    cells: Sequence[Cell]
    curves: Mapping[str, Curve]
    picture: bytes = b""


def contents_of(run: TrainingSession, state: str) -> Contents:
    """The contents of a run's page now."""
    loop, best, env = run.state.loop, run.state.best, run.env
    moving = env.task.moving
    return Contents(
        path=run.directory.path,
        config=run.config,
        arm=env.arm.name,
        box=np.array([env.arm.goal_low, env.arm.goal_high]),
        state=state,
        ended=run.ended,
        env_steps=loop.env_steps,
        learning_seconds=loop.learning_seconds,
        points=list(run.state.points),
        exported=best.env_steps,
        best=best.evaluation,
        measured=run.measured.file,
        goals=[Goal.of(each, moving) for each in run.measured.episodes],
        cells=list(run.measured.cells),
        curves=read_curves(run.directory.path),
        picture=_read(run.directory.video),
    )


def read_curves(path: Path) -> dict[str, Curve]:
    """The scalars in the events of a directory, those before a resume too."""
    # Imported here: it takes a third of a second that no start of a run needs.
    from tensorboard.backend.event_processing.event_accumulator import (  # noqa: PLC0415
        EventAccumulator,
    )

    kept = {"scalars": 0, "images": 1, "histograms": 1, "compressedHistograms": 1, "tensors": 1}
    events = EventAccumulator(str(path), size_guidance=kept)
    events.Reload()
    found = {}
    for tag in events.Tags()["scalars"]:
        scalars = events.Scalars(tag)
        steps = np.array([each.step for each in scalars], dtype=float)
        # Of a run that was killed and went on from an older checkpoint, the newer ones count.
        later = np.minimum.accumulate(np.append(steps, np.inf)[::-1])[::-1][1:]
        stays = steps < later
        found[tag] = steps[stays], np.array([each.value for each in scalars])[stays]
    return found


def save_goals(goals: Sequence[Goal], path: Path) -> None:
    """Writes `goals` as a CSV file."""
    with (
        atomic_write(path) as partial,
        partial.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.DictWriter(file, list(Goal.__dataclass_fields__))
        writer.writeheader()
        writer.writerows(asdict(each) for each in goals)


def _read(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""
