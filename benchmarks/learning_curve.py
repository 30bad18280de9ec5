# SPDX-License-Identifier: Apache-2.0
"""A learning curve on the held-out goals, its clock standing still during evaluations."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

SOLVED = 0.95  # of the held-out goals within 5 cm
SUSTAINED = 3  # evaluations in a row


@dataclass(frozen=True)
class Point:
    """One evaluation."""

    seconds: float
    env_steps: int
    success_5cm: float


@dataclass
class LearningCurve:
    """The evaluations of one run, in order."""

    contestant: str
    seed: int
    points: list[Point] = field(default_factory=list)
    cut_at_seconds: float | None = None  # where the run was ended without being solved

    @property
    def solved_at(self) -> Point | None:
        """The first of `SUSTAINED` evaluations in a row that reached `SOLVED`; None if none."""
        reached = [point.success_5cm >= SOLVED for point in self.points]
        for index in range(len(reached) - SUSTAINED + 1):
            if all(reached[index : index + SUSTAINED]):
                return self.points[index]
        return None

    @property
    def seconds_to_solve(self) -> float | None:
        """The seconds at `solved_at`; None if that never was."""
        return None if self.solved_at is None else self.solved_at.seconds

    @property
    def solved(self) -> bool:
        """Whether that has happened."""
        return self.solved_at is not None

    @property
    def best(self) -> float:
        """The highest success of all evaluations."""
        return max((point.success_5cm for point in self.points), default=0.0)

    @property
    def last(self) -> float:
        """The success of the last evaluation: of a run that was cut, where it had come to."""
        return self.points[-1].success_5cm if self.points else 0.0

    def as_dict(self) -> dict[str, Any]:
        """For the JSON file."""
        return {
            **asdict(self),
            "seconds_to_solve": self.seconds_to_solve,
            "best": self.best,
            "last": self.last,
        }
