# SPDX-License-Identifier: Apache-2.0
"""When a threshold counts as reached, and what is written of a run's progress."""

from __future__ import annotations

import csv
import dataclasses
import errno
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sample_evaluation import sample_evaluation
from torch.utils.tensorboard import SummaryWriter

from sac_ros.training.progress import EvaluationPoint, Progress, ProgressBar, Records, say

MakeRecords = Callable[..., Records]


@pytest.fixture
def records_of(tmp_path: Path) -> Iterator[MakeRecords]:
    """Records of evaluations with these success rates, ten seconds apart."""
    made: list[Records] = []

    def make(*successes: float) -> Records:
        records = Records(tmp_path, [])
        made.append(records)
        for index, success in enumerate(successes, start=1):
            records.add_evaluation(point(1000 * index, 10.0 * index, success))
        return records

    yield make
    for each in made:
        each.close()


def point(env_steps: int, seconds: float, success: float) -> EvaluationPoint:
    return EvaluationPoint(env_steps, seconds, success, success / 2, 0.1, 0.2, -3.0)


@pytest.mark.parametrize(
    ("successes", "expected"),
    [
        ((), None),
        ((0.5, 0.6), None),
        ((0.2, 0.95, 0.95, 0.97), 20.0),
        ((0.2, 0.96, 0.5, 0.95, 0.95, 0.95), 40.0),  # a single lucky one does not count
        ((0.2, 0.96, 0.97, 0.5, 0.6), None),
        ((1.0, 1.0, 1.0, 0.1), 10.0),  # a later fall does not undo it
    ],
)
def test_a_threshold_is_reached_when_it_is_sustained(
    records_of: MakeRecords, successes: tuple[float, ...], expected: float | None
) -> None:
    assert records_of(*successes).seconds_to(0.95) == expected


def test_a_lower_threshold_is_reached_no_later(records_of: MakeRecords) -> None:
    records = records_of(0.3, 0.55, 0.91, 0.92, 0.96, 0.97, 1.0)
    assert [records.seconds_to(share) for share in (0.5, 0.9, 0.95)] == [20.0, 30.0, 50.0]


@pytest.mark.parametrize(
    ("successes", "solved"),
    [((1.0, 1.0), False), ((0.95, 0.95, 0.95), True), ((1.0, 1.0, 1.0, 0.94), False)],
)
def test_a_task_is_solved_when_the_last_three_evaluations_say_so(
    records_of: MakeRecords, successes: tuple[float, ...], solved: bool
) -> None:
    assert records_of(*successes).solved is solved


def test_the_csv_holds_every_evaluation_those_before_a_resume_too(tmp_path: Path) -> None:
    records = Records(tmp_path, [point(1000, 10.0, 0.1)])
    records.add_evaluation(point(2000, 20.0, 0.2))
    records.close()
    with (tmp_path / "evaluations.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["env_steps"], row["success_5cm"]) for row in rows] == [
        ("1000", "0.1"),
        ("2000", "0.2"),
    ]
    assert not list(tmp_path.glob("*.partial"))


def test_a_point_takes_its_figures_from_the_evaluation() -> None:
    result = sample_evaluation()
    found = dataclasses.asdict(EvaluationPoint.of(1000, 12.0, result))
    assert found.pop("env_steps") == 1000
    assert found.pop("learning_seconds") == 12.0
    assert (found.pop("success_5cm"), found.pop("success_2cm")) == (0.8, 0.4)
    assert found == {name: getattr(result, name) for name in found}


def test_a_full_disk_costs_figures_and_not_the_training(
    records_of: MakeRecords,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    records = records_of(0.5)

    def full(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", full)
        patch.setattr(SummaryWriter, "add_scalar", full)
        for _ in range(2):
            records.add_progress(Progress(), None)
            records.add_evaluation(point(2000, 20.0, 0.6))
    lines = capsys.readouterr().err.splitlines()
    assert sum("TensorBoard" in line for line in lines) == 1
    assert sum("evaluations.csv could not be written" in line for line in lines) == 2
    records.add_evaluation(point(3000, 30.0, 0.7))
    with (tmp_path / "evaluations.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 4  # those that did not fit, too


def test_the_bar_shows_the_figures_and_never_runs_over(
    capsys: pytest.CaptureFixture[str],
) -> None:
    bar = ProgressBar(1000, first_step=400)
    bar.show(Progress(env_steps=1300, total_steps=1000, held_out_success=0.75))
    say("a line")
    bar.close()
    seen = capsys.readouterr()
    assert seen.out == ""  # stdout belongs to answers
    assert "a line" in seen.err
    assert "held-out success  75%" in seen.err
    assert "100%" in seen.err
