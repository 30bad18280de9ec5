# SPDX-License-Identifier: Apache-2.0
"""The ablation tries what can be tried, repeats nothing and tells what it found."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

pytest.importorskip("benchmarks.ablation", reason="not a source checkout")

from benchmarks.ablation import page as pages
from benchmarks.ablation import runs as pool
from benchmarks.ablation.__main__ import main
from benchmarks.ablation.one_run import FINAL_SEED, train
from benchmarks.ablation.runs import run_all
from benchmarks.ablation.study import Study
from benchmarks.ablation.summary import MEASURES, time_ratio
from benchmarks.ablation.variants import DEFAULT, VARIANTS, Variant, applicable, chosen
from sac_ros.training.config import TrainConfig
from sac_ros.training.evaluation import HELD_OUT_SEED
from sac_ros.utils.errors import ConfigurationError
from sac_ros.utils.settings import build

pytestmark = pytest.mark.long

TINY: dict[str, Any] = {
    "sac.hidden_sizes": (8, 8),
    "sac.batch_size": 16,
    "sac.learning_starts": 100,
    "env.episode_seconds": 0.4,
    "evaluation_episodes": 2,
}
STUDY = Study(
    seeds=2,
    steps=400,
    final_episodes=3,
    evaluation_interval=100,
    variants=(
        Variant("discount", "gamma 0.5", {"sac.gamma": 0.5}),
        Variant("discount", "gamma of old", {"sac.gamma": TrainConfig().sac.gamma}),
        Variant("warp", "warp 9", {"sac.warp": 9}),
    ),
    base=TINY,
)


def run(study: Study, directory: Path, *arguments: str) -> int:
    return main(
        ["--directory", str(directory / "results"), "--docs", str(directory / "docs"), *arguments],
        study,
    )


def runs_in(directory: Path) -> list[Path]:
    return sorted((directory / "results" / "ablation_runs").iterdir())


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a tiny study that has run; nobody changes it."""
    directory = tmp_path_factory.mktemp("ablation")
    assert run(STUDY, directory) == 0
    return directory


@pytest.fixture
def copy_of_finished(finished: Path, tmp_path: Path) -> Path:
    for path in finished.rglob("*.*"):
        target = tmp_path / path.relative_to(finished)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    return tmp_path


# ---- what is tried -----------------------------------------------------------------------------


def test_what_equals_the_default_or_cannot_be_trained_is_left_out_with_its_reason() -> None:
    usable, skipped = applicable(STUDY.variants, STUDY.shared)
    assert [each.label for each in usable] == ["gamma 0.5"]
    reasons = {each.variant.label: each.reason for each in skipped}
    assert reasons == {
        "gamma of old": "it is the default",
        "warp 9": "there is no parameter sac.warp",
    }


def test_a_value_outside_its_valid_set_is_left_out_too() -> None:
    usable, (skipped,) = applicable([Variant("a", "b", {"sac.gamma": 7.0})], {})
    assert usable == []
    assert "gamma must be" in skipped.reason


def test_the_variants_are_distinct_and_change_the_default() -> None:
    labels = [each.label for each in VARIANTS]
    assert len(set(labels)) == len(labels)
    assert DEFAULT.label not in labels
    usable, _ = applicable(VARIANTS, {})
    configs = [each.config({}) for each in (DEFAULT, *usable)]
    assert all(a != b for i, a in enumerate(configs) for b in configs[:i])
    assert usable


def test_the_variants_of_a_group_stand_together() -> None:
    groups = [each.group for each in VARIANTS]
    changes = [b for a, b in zip(groups, groups[1:], strict=False) if a != b]
    assert len(changes) == len(set(groups)) - 1


def test_changes_are_chosen_by_label_or_group() -> None:
    assert chosen(STUDY.variants, []) == list(STUDY.variants)
    assert [each.label for each in chosen(STUDY.variants, ["discount"])] == [
        "gamma 0.5",
        "gamma of old",
    ]
    assert [each.label for each in chosen(STUDY.variants, ["warp 9"])] == ["warp 9"]
    with pytest.raises(ConfigurationError, match="gamma of old, warp 9; got 'warp 10'"):
        chosen(STUDY.variants, ["warp 10"])


def test_a_run_is_another_one_when_anything_of_its_configuration_is() -> None:
    keys = {each.key for each in STUDY.plan()[0]}
    assert len(keys) == 4
    for changes in ({"steps": 500}, {"final_episodes": 4}, {"base": {**TINY, "sac.tau": 0.5}}):
        other = dataclasses.replace(STUDY, **changes)  # type: ignore[arg-type]
        assert keys.isdisjoint(each.key for each in other.plan()[0])
    assert keys == {each.key for each in dataclasses.replace(STUDY, jobs=7).plan()[0]}


def test_the_seeds_take_turns_so_that_an_unfinished_study_compares() -> None:
    runs, _ = STUDY.plan()
    assert [(each.variant.label, each.config.seed) for each in runs] == [
        ("default", 0),
        ("gamma 0.5", 0),
        ("default", 1),
        ("gamma 0.5", 1),
    ]


# ---- what is found -----------------------------------------------------------------------------


def test_every_run_leaves_its_curve_and_its_final_figures(finished: Path) -> None:
    paths = runs_in(finished)
    assert len(paths) == 4
    assert all(path.suffix == ".json" for path in paths)  # no logs, no orders
    for path in paths:
        found = json.loads(path.read_text())
        steps = [point["env_steps"] for point in found["points"]]
        seconds = [point["cpu_seconds"] for point in found["points"]]
        assert len(steps) >= 3
        assert steps == sorted(steps)
        assert 0.0 <= seconds[0] <= seconds[-1] == found["cpu_seconds"]
        assert steps[-1] >= STUDY.steps  # the curve goes to the end, between evaluations too
        assert (found["final"]["episodes"], found["final"]["seed"]) == (3, FINAL_SEED)


def test_the_final_goals_are_those_of_no_evaluation_in_training() -> None:
    assert FINAL_SEED > HELD_OUT_SEED + 100_000


def test_the_cpu_clock_leaves_evaluations_out(monkeypatch: pytest.MonkeyPatch) -> None:
    from sac_ros.training.runner import TrainingSession

    evaluate, spent = TrainingSession.evaluate, []

    def slow_evaluate(session: TrainingSession) -> Any:
        started = time.process_time()
        while time.process_time() - started < 0.5:
            pass
        spent.append(time.process_time() - started)
        return evaluate(session)

    monkeypatch.setattr(TrainingSession, "evaluate", slow_evaluate)
    config = build(TrainConfig, {**STUDY.shared, "seed": 0})
    started = time.process_time()
    found = train(config, final_episodes=1)
    whole = time.process_time() - started
    assert len(spent) >= 3
    assert 0.0 < found["cpu_seconds"] <= whole - sum(spent)


def test_the_result_is_sorted_and_says_what_was_left_out(finished: Path) -> None:
    text = (finished / "results" / "ablation.json").read_text()
    result = json.loads(text)
    assert [(each["label"], each["seed"]) for each in result["details"]] == [
        ("default", 0),
        ("default", 1),
        ("gamma 0.5", 0),
        ("gamma 0.5", 1),
    ]
    assert [figure["name"] for figure in result["figures"]] == ["default", "gamma 0.5"]
    assert set(result["settings"]["skipped"]) == {"gamma of old", "warp 9"}
    assert sum("cpu_seconds" in line for line in text.splitlines()) == 4  # a line for a run


def test_the_page_has_a_row_for_every_variant_and_its_figures_exist(finished: Path) -> None:
    page = (finished / "docs" / "ablation.md").read_text()
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| ")]
    assert [row[1] for row in rows] == ["change", "---", "default", "gamma 0.5"]
    assert {len(row) for row in rows} == {3 + len(MEASURES)}
    assert "--seeds 2 --steps 400" in page
    assert "](images/ablation_discount.png)" in page
    with Image.open(finished / "docs" / "images" / "ablation_discount.png") as image:
        assert image.width > 900


def result_of(label: str, seed: int, solved_at: float | None) -> dict[str, Any]:
    points = [
        {
            "cpu_seconds": 10.0 * i,
            "env_steps": 1000 * i,
            "success_5cm": float(10.0 * i == solved_at),
        }
        for i in range(1, 4)
    ]
    if solved_at is not None:
        points += [
            {"cpu_seconds": solved_at + i, "env_steps": 5000 + i, "success_5cm": 1.0}
            for i in range(1, 4)
        ]
    final = {
        "success_5cm": 1.0,
        "success_2cm": 0.5,
        "median_error_m": 0.0041,
        "rms_torque_step": 0.8,
        "rms_torque_step_fraction": 0.2,
        "torque_power_above_10hz": 0.25,
        "overspeed_fraction": 0.001,
    }
    return {"group": "g", "label": label, "seed": seed, "points": points, "final": final}


def test_a_row_holds_medians_ranges_and_the_ratio_to_the_default() -> None:
    default = [result_of("default", seed, 30.0) for seed in range(3)]
    # A curve that is solved "at 10 s" dips after it, so that what counts is 11 s.
    fast = [result_of("fast", 0, None), result_of("fast", 1, 10.0), result_of("fast", 2, 10.0)]
    seldom = [result_of("seldom", 0, 30.0), *(result_of("seldom", i, None) for i in (1, 2))]
    never = [result_of("never", seed, None) for seed in range(3)]
    assert time_ratio(fast, default) == pytest.approx(11.0 / 30.0)
    for runs in (seldom, never):
        assert time_ratio(runs, default) is None
        assert time_ratio(default, runs) is None
    header, _, *rows = pages._table([*default, *fast, *seldom, *never]).splitlines()
    assert "median error (mm)" in header
    assert rows[0].startswith(
        "|  | default | 1.00 | 30 (30 to 30) | 3 (3 to 3) | 100 (100 to 100)"
    )
    assert "| 50 (50 to 50) | 4.1 (4.1 to 4.1) | 0.8 (0.8 to 0.8) | 20 (" in rows[0]
    assert rows[1].startswith("| g | fast | 0.37 | 11 (11 to 11, 1 of 3 never) |")
    assert rows[2].startswith("| g | seldom | - | never (30 to 30, 2 of 3 never) |")
    assert rows[3].startswith("| g | never | - | never | never | 100 (100 to 100)")


# ---- again, and interrupted --------------------------------------------------------------------


def test_what_is_finished_is_not_run_again(
    copy_of_finished: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("no run is missing")

    monkeypatch.setattr(pool, "_Process", refuse)
    assert run(STUDY, copy_of_finished) == 0
    printed = capsys.readouterr().out
    assert "0 of 4 runs to do" in printed
    assert "warp 9 is left out: there is no parameter sac.warp\n" in printed


@pytest.mark.slow
def test_only_what_is_missing_is_run_and_repeats_bit_for_bit(copy_of_finished: Path) -> None:
    path = next(each for each in runs_in(copy_of_finished) if "gamma_0.5_seed1" in each.name)
    before = {each: each.stat().st_mtime_ns for each in runs_in(copy_of_finished)}
    first = json.loads(path.read_text())
    path.unlink()
    assert run(STUDY, copy_of_finished) == 0
    again = json.loads(path.read_text())
    changed = [each for each in before if each.stat().st_mtime_ns != before[each]]
    assert changed == [path]
    for found in (first, again):
        found["final"].pop("wall_seconds")
        for point in found["points"]:
            point.pop("cpu_seconds")
    assert again["points"] == first["points"]
    assert again["final"] == first["final"]


def test_what_was_written_by_hand_is_kept(copy_of_finished: Path) -> None:
    page = copy_of_finished / "docs" / "ablation.md"
    own = "The discount matters.\n\n- Much, in fact."
    text = page.read_text()
    assert "Not written yet." in text
    page.write_text(text.replace("Not written yet.", own).replace("## Table", "## Tisch"))
    assert run(STUDY, copy_of_finished, "--report") == 0
    assert page.read_text() == text.replace("Not written yet.", own)


@pytest.mark.slow
def test_a_run_that_fails_is_told_and_the_others_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = dataclasses.replace(STUDY, seeds=1)
    broken, whole = study.plan()[0]
    broken = dataclasses.replace(broken, values={**broken.values, "arm": "nonesuch"})
    told: list[str] = []
    failed = run_all([broken, whole], tmp_path, 1, lambda each, _: told.append(each.variant.label))
    assert failed == [broken]
    assert told == ["default", "gamma 0.5"]
    assert broken.result(tmp_path) is None
    assert whole.result(tmp_path) is not None
    assert "nonesuch" in broken.path(tmp_path).with_suffix(".log").read_text()


@pytest.mark.slow
def test_ctrl_c_ends_the_runs_and_keeps_what_is_finished(
    tmp_path: Path, eventually: Callable[..., Any]
) -> None:
    command = [sys.executable, "-m", "benchmarks.ablation", "--jobs", "1", "--steps", "50000"]
    root = Path(__file__).parents[2]
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    process = subprocess.Popen(
        [*command, "--directory", str(tmp_path / "results"), "--docs", str(tmp_path / "docs")],
        cwd=root,
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        eventually(
            lambda: list(temporary.glob("tmp*/run/*.pt")), "a run to be going on", timeout=60.0
        )
        process.send_signal(signal.SIGINT)
        printed, _ = process.communicate(timeout=60.0)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "interrupted; the finished runs are kept in" in printed
    assert list((tmp_path / "results" / "ablation_runs").iterdir()) == []
    assert list(temporary.glob("tmp*")) == []
    assert not (tmp_path / "docs").exists()


def test_with_nothing_finished_there_is_no_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(STUDY, tmp_path, "--report") == 0
    assert "there is nothing to write" in capsys.readouterr().out
    assert not (tmp_path / "docs").exists()


@pytest.mark.parametrize(
    ("only", "runs"), [("default", 2), ("gamma 0.5", 4), ("discount", 4), ("warp 9", 2)]
)
def test_the_default_configuration_is_run_with_whatever_is_chosen(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    only: str,
    runs: int,
) -> None:
    monkeypatch.setattr("benchmarks.ablation.__main__.run_all", lambda *_: [])
    assert run(STUDY, tmp_path, "--only", only) == 0
    assert f"{runs} of {runs} runs to do" in capsys.readouterr().out


def test_an_unknown_change_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(STUDY, tmp_path, "--only", "warp 10") == 2
    assert "error: --only must name groups or changes among" in capsys.readouterr().err
