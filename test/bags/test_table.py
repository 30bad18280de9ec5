# SPDX-License-Identifier: Apache-2.0
"""Several bags that are each a recording make a table."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from bag_maker import Motion, write_bag

from sac_ros.bags.figures import FIGURES
from sac_ros.bags.files import SUMMARY_FILE
from sac_ros.bags.table import unlike_names
from sac_ros.cli.evaluate_bag import main

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def bags(tmp_path: Path) -> list[Path]:
    """One that the policy answers exactly, one of another goal."""
    good = write_bag(tmp_path / "monday" / "bag", Motion().entries())
    other = Motion(torque=lambda position, _: 3.0 * position)
    return [good, write_bag(tmp_path / "tuesday" / "bag", other.entries())]


def test_every_bag_has_a_row_and_a_folder_of_its_own(
    bags: list[Path], model: Path, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "out"
    code = main([*map(str, bags), "--model", str(model), "--output", str(out)])
    assert code == 0
    header, *rows, _, _ = capsys.readouterr().out.splitlines()
    assert header.split()[:4] == ["bag", "policy", "verdict", "rmse"]
    assert [row.split()[0] for row in rows] == ["monday_bag", "tuesday_bag"]
    assert [row.split()[2] for row in rows] == ["go", "no"]
    for name in ("monday_bag", "tuesday_bag"):
        assert {SUMMARY_FILE, "report.html"} <= {each.name for each in (out / name).iterdir()}
    with (out / "table.csv").open(newline="") as file:
        table = [*csv.DictReader(file)]
    assert list(table[0]) == ["bag", "policy", *FIGURES]
    assert float(table[0]["max_fraction"]) < 1e-5 < 0.1 < float(table[1]["max_fraction"])


def test_a_threshold_that_one_bag_misses_is_exit_code_1(
    bags: list[Path], model: Path, capsys: Capture
) -> None:
    given = [*map(str, bags), "--model", str(model), "--json", "--fail-on", "max_fraction=0.01"]
    assert main(given) == 1
    found = json.loads(capsys.readouterr().out)
    met = {name: each["thresholds"][0]["met"] for name, each in found["evaluations"].items()}
    assert met == {"monday_bag": True, "tuesday_bag": False}
    assert found["refused"] == {}


def test_a_bag_that_is_refused_costs_the_others_nothing_and_is_exit_code_2(
    bags: list[Path], model: Path, tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "notes.txt").write_text("no bag")
    assert main([*map(str, bags), str(tmp_path / "notes.txt"), "--model", str(model)]) == 2
    said = capsys.readouterr().out
    assert "monday_bag" in said
    assert "refused: bag" in said
    assert "notes.txt must be sqlite3, mcap or a ROS 1 bag" in said


def test_several_bags_are_one_recording_on_demand(
    model: Path, tmp_path: Path, capsys: Capture
) -> None:
    motion = Motion(count=400)
    halves = [
        write_bag(
            tmp_path / f"half_{i}",
            [e for e in motion.entries() if (e.time_ns < motion.time_ns(200)) == (i == 0)],
        )
        for i in range(2)
    ]
    assert main([*map(str, halves), "--model", str(model), "--join", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["models"][0]["samples"] == 400


def test_names_take_as_many_folders_as_tell_them_apart(tmp_path: Path) -> None:
    assert unlike_names([tmp_path / "a", tmp_path / "b"]) == ["a", "b"]
    assert unlike_names([tmp_path / "x" / "a", tmp_path / "y" / "a"]) == ["x_a", "y_a"]
    assert unlike_names([tmp_path / "a", tmp_path / "a"]) == ["1_a", "2_a"]
