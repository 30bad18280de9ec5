# SPDX-License-Identifier: Apache-2.0
"""`evaluate_policy --robustness` and the textbook controller, as a user calls them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_run import TinyRun, finished_run

from sac_ros.cli.evaluate_policy import main
from sac_ros.training import robustness
from sac_ros.training.robustness import CONDITIONS, Cell, Rate, below, parse_limits

IIWA = Path(__file__).parents[2] / "models" / "iiwa_reach_plain.onnx"


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two conditions; the workers are spawned, and have all of them."""
    few = {name: CONDITIONS[name] for name in ("nominal", "latency_60_ms")}
    monkeypatch.setattr(robustness, "CONDITIONS", few)


def table(capsys: pytest.CaptureFixture[str], code: int, *arguments: object) -> dict[str, Any]:
    assert main([*map(str, arguments), "--robustness", "--episodes", "10", "--json"]) == code
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


@pytest.mark.usefixtures("brief")
def test_the_table_has_a_cell_for_every_condition_and_controller_and_goes_on_where_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = table(capsys, 0, IIWA, "--output", tmp_path, "--fail-on", "nominal=0.9")
    cells = {(each["condition"], each["controller"]): each for each in found["cells"]}
    assert set(cells) == {
        (condition, controller)
        for condition in ("nominal", "latency_60_ms")
        for controller in ("iiwa_reach_plain", "computed_torque")
    }
    for controller in ("iiwa_reach_plain", "computed_torque"):
        assert cells["nominal", controller]["success"]["rate"] == 1.0
    assert cells["latency_60_ms", "computed_torque"]["success"]["rate"] == 1.0
    assert cells["latency_60_ms", "iiwa_reach_plain"]["success"]["rate"] < 0.5
    assert (tmp_path / "robustness.png").read_bytes()[:4] == b"\x89PNG"
    text = (tmp_path / "robustness.md").read_text()
    assert "| nominal | 100 % (72 to 100)," in text

    def refuse(*_: object) -> None:
        raise AssertionError("a cell that is there was run again")

    monkeypatch.setattr(robustness.ProcessPoolExecutor, "submit", refuse)
    assert table(capsys, 0, IIWA, "--output", tmp_path)["cells"] == found["cells"]
    # A rate that is missed is an answer, too: exit code 1, and the sentence that says which.
    table(capsys, 1, IIWA, "--output", tmp_path, "--fail-on", "all=0.9")


@pytest.mark.usefixtures("brief")
def test_a_training_ends_with_the_table_in_its_card_and_as_a_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = finished_run(tmp_path, robustness_episodes=2)
    assert "| nominal | 0 % (0 to 66), " in capsys.readouterr().out
    card = run.directory.model_card.read_text()
    assert card.count("## Robustness") == card.count("## Limits") == 1
    assert card.index("| latency 60 ms | ") < card.index("## Limits")
    assert (run.directory.path / "robustness.png").read_bytes()[:4] == b"\x89PNG"
    # Measured again, the table takes the place of the one that is there.
    model = run.directory.policy
    run.directory.model_card.rename(model.with_suffix(".md"))
    table(capsys, 0, model, "--output", tmp_path, "--card")
    again = model.with_suffix(".md").read_text()
    assert again.count("## Robustness") == again.count("## Limits") == 1
    assert "10 episodes a cell in bullet, seeds 1000 and on" in again


def cell(rate: float, controller: str = "mine", condition: str = "nominal") -> Cell:
    return Cell(condition, controller, Rate.of(rate, 100), 0.01, None)


def test_a_rate_below_its_limit_is_told_of_policies_alone() -> None:
    cells = [cell(0.89), cell(0.1, "computed_torque"), cell(0.5, condition="noise")]
    said = below(cells, parse_limits(["nominal=0.9"]), ["mine"])
    assert said == ["mine reaches 89% in nominal, less than the 90% of --fail-on"]
    assert len(below(cells, parse_limits(["all=0.9"]), ["mine"])) == 2


@given(reached=st.integers(0, 100))
def test_the_interval_holds_the_rate_and_stays_within_zero_and_one(reached: int) -> None:
    found = Rate.of(reached / 100, 100)
    assert 0.0 <= found.low <= found.rate <= found.high <= 1.0
    assert found.high - found.low < 0.2
    if reached == 50:  # Wilson 1927, as tabled
        assert (found.low, found.high) == (
            pytest.approx(0.404, abs=1e-3),
            pytest.approx(0.596, abs=1e-3),
        )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--robustness",), "--robustness needs one model or several"),
        ((IIWA, "--robustness", "--perturb", "payload_kg=1"), "has its own --perturb"),
        ((IIWA, "--robustness", "--fail-on", "rain=1"), "must name all or one of nominal,"),
        ((IIWA, "--robustness", "--fail-on", "noise=2"), "a rate of 0 to 1, as noise=0.9; got"),
        ((IIWA, IIWA, "--robustness"), "models must have different file names"),
        ((IIWA, "--fail-on", "noise=1"), "--fail-on is for the table of --robustness"),
        ((IIWA, IIWA), "models must be one, or several with --robustness; got 2"),
        ((), "a model must be given for the controller 'policy'"),
        (
            (IIWA, "--path", "circle"),
            "--path is of the task track; got 'circle' for the task reach",
        ),
        (("a.onnx", "--robustness", "--card"), "--card needs a model card; there is no a.md"),
        (("nonesuch.onnx", "--robustness"), "policy file nonesuch.onnx does not exist"),
    ],
)
def test_what_cannot_be_run_is_one_sentence(
    arguments: tuple[object, ...], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*map(str, arguments)]) == 2
    seen = capsys.readouterr()
    assert seen.out == ""
    assert seen.err.count("\n") == 1
    assert sentence in seen.err


def test_a_damaged_file_of_kept_cells_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cells.json").write_text('{"a": {"condition": 1}}')
    assert main([str(IIWA), "--robustness", "--output", str(tmp_path)]) == 2
    assert f"{tmp_path}/cells.json must be what --robustness kept there" in capsys.readouterr().err


@pytest.mark.parametrize("task", ["reach", "pose"])
def test_the_textbook_controller_needs_no_model(
    task: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--controller", "computed_torque", "--arm", "panda", "--task", task]
    assert main([*arguments, "--episodes", "4", "--hold", "0", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["model"], found["arm"], found["task"]) == ("", "panda", task)
    assert found["controller"] == "computed_torque"
    assert found["success"][-1]["rate"] == 1.0
    turned = found["success"][-1]["orientation_tolerance_rad"]
    assert turned == (None if task == "reach" else pytest.approx(0.0873, abs=1e-4))
    assert ("median_angle_error_rad" in found) == (task == "pose")


def test_a_moving_goal_is_told_by_its_tracking_error_in_the_place_of_success(
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["--controller", "computed_torque", "--task", "track", "--path", "way_points"]
    assert main([*arguments, "--episodes", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert not {"success", "hold", "time_to_goal_s"} & set(found)
    assert found["tracking_rms_m"] < 0.01
    assert abs(found["tracking_lag_s"]) < 0.03


def test_the_textbook_controller_takes_the_place_of_a_policy(
    tiny_run: TinyRun, capsys: pytest.CaptureFixture[str]
) -> None:
    model = str(tiny_run.outcome.policy)
    arguments = [model, "--controller", "computed_torque", "--episodes", "3", "--hold", "0"]
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["model"], found["controller"]) == (model, "computed_torque")
    assert found["success"][-1]["rate"] == 1.0
