# SPDX-License-Identifier: Apache-2.0
"""`evaluate_bag` as a build calls it: thresholds, comparisons, and every wrong argument."""

from __future__ import annotations

from pathlib import Path

import pytest
from bag_maker import Motion, write_bag
from evaluate_command import refusal_of, summary_of
from tiny_policy import write_tiny_policy

from sac_ros.cli.evaluate_bag import main


@pytest.mark.parametrize(
    ("thresholds", "code"),
    [
        ("rmse=0.001,violations=0,dropped=0,max_fraction=1e-5", 0),
        ("rmse=0.0000000000001", 1),
        ("violations=0,interventions=-1", 1),
    ],
)
def test_a_missed_threshold_is_exit_code_1(
    bag: Path, model: Path, thresholds: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(bag), "--model", str(model), "--fail-on", thresholds]) == code
    assert ("MISSED" in capsys.readouterr().out) == bool(code)


def test_a_figure_that_cannot_be_told_misses_its_threshold(tmp_path: Path, model: Path) -> None:
    bag = write_bag(tmp_path / "bag", [*Motion().states(), *Motion().goals()])
    assert main([str(bag), "--model", str(model), "--fail-on", "rmse=1e9"]) == 1
    assert main([str(bag), "--model", str(model), "--fail-on", "violations=0"]) == 0


def test_every_threshold_counts_however_they_are_given(bag: Path, model: Path) -> None:
    missed, met = "rmse=0.0000000000001", "violations=0"
    for first, second in ((missed, met), (met, missed)):
        options = ["--fail-on", first, "--fail-on", second]
        assert main([str(bag), "--model", str(model), *options]) == 1


def test_two_saved_runs_are_compared_without_the_bag(
    tmp_path: Path, model: Path, bag: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write_tiny_policy(tmp_path / "other.onnx", gain=2.0)
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder, policy in zip(folders, (model, other), strict=True):
        assert main([str(bag), "--model", str(policy), "--output", str(folder)]) == 0
    for each in bag.iterdir():
        each.unlink()
    capsys.readouterr()
    found = summary_of(capsys, "--compare", *folders)
    assert found["same_bags"]
    rmse = found["models"][0]["figures"]["rmse"]
    assert rmse["change"] == pytest.approx(rmse["b"] - rmse["a"])
    assert rmse["b"] > rmse["a"]
    assert main(["--compare", *map(str, folders)]) == 0
    assert "tiny -> other" in capsys.readouterr().out
    assert "cannot be read" in refusal_of(capsys, "--compare", folders[0], tmp_path / "c")


def test_a_comparison_tells_which_options_differ(
    tmp_path: Path, model: Path, bag: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder, more in zip(folders, (["--fail-on", "max=9"], ["--start", "1"]), strict=True):
        assert main([str(bag), "--model", str(model), "--output", str(folder), *more]) == 0
    capsys.readouterr()
    found = summary_of(capsys, "--compare", *folders)
    assert found["options"] == {"start": {"a": None, "b": 1.0}}  # a threshold changes no figure
    assert main(["--compare", *map(str, folders)]) == 0
    assert "warning: --start differs: not given -> 1.0\n" in capsys.readouterr().out
    assert summary_of(capsys, "--compare", folders[0], folders[0])["options"] == {}


@pytest.mark.parametrize(
    ("more", "named"),
    [
        (["{bag}"], "got a bag"),
        (["--model", "{model}"], "got --model"),
        (["--output", "{bag}"], "got --output"),
        (["--fail-on", "rmse=1"], "got --fail-on"),
        (["--start", "0"], "got --start"),
    ],
)
def test_what_a_comparison_has_no_use_for_is_refused_instead_of_passed_over(
    bag: Path, model: Path, more: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = (each.format(bag=bag, model=model) for each in more)
    message = refusal_of(capsys, *given, "--compare", "a", "b")
    assert "--compare takes two saved evaluations" in message
    assert named in message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "{model}"], "at least one bag"),
        (["--model", "{model}", "{bag}"], "at least one bag must be named, before --model"),
        (["{bag}", "--goal", "1,2,3"], "--goal is for an evaluation, which needs --model"),
        (["{bag}", "--model", "{bag}"], "policy file"),
        (["{bag}/none", "--model", "{model}"], "does not exist"),
        (["{bag}", "--model", "{model}", "--fail-on", "speed=1"], "--fail-on takes rmse"),
        (["{bag}", "--model", "{model}", "--fail-on", "rmse"], "needs a number"),
        (["{bag}", "--model", "{model}", "--fail-on", "rmse=1,rmse=2"], "got rmse twice"),
        (["{bag}", "--model", "{model}", "--joints", "a"], "policy=bag pairs"),
        (["{bag}", "--model", "{model}", "--joints", "a=b"], "must name the policy's joints"),
        (["{bag}", "--model", "{model}", "--goal", "1,2"], "needs a goal of x, y, z"),
        (["{bag}", "--model", "{model}", "--start", "2", "--end", "1"], "--end must not be"),
        (["{bag}", "--model", "{model}", "--time", "sent"], "--time sent needs mcap"),
        (["{bag}", "--model", "{model}", "--state-topic", "x"], "--state-topic must name"),
        (["{bag}", "--model", "{model}", "--output", "{model}"], "--output must be a folder"),
    ],
)
def test_a_wrong_argument_is_one_sentence_and_exit_code_2(
    bag: Path,
    model: Path,
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert message in refusal_of(
        capsys, *(each.format(bag=bag, model=model) for each in arguments)
    )
