# SPDX-License-Identifier: Apache-2.0
"""`evaluate_policy` as a user or a script calls it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from tiny_run import TinyRun

from sac_ros.cli import evaluate_policy
from sac_ros.policy.spec import SPEC_KEY

KEYS = [
    "model", "arm", "task", "backend", "controller", "perturbation", "episodes", "seed", "success",
    "median_error_m",
    "p95_error_m", "time_to_goal_s", "hold", "max_velocity_fraction", "joint_stop_rate",
    "rms_torque_step", "work_j", "mean_return", "wall_seconds",
    # More than the contract asks for, after what it asks for.
    "rms_torque_step_fraction", "torque_power_above_10hz", "overspeed_fraction",
]  # fmt: skip
BRIEFLY = ("--episodes", "2", "--hold", "1")


@pytest.fixture(scope="module")
def model(tiny_run: TinyRun) -> Path:
    return tiny_run.outcome.policy


def called(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs it in a process of its own, where Bullet and onnxruntime could print."""
    code = "import sys; from sac_ros.cli.evaluate_policy import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120.0,
    )


def with_spec(model: Path, path: Path, **changes: Any) -> Path:
    """A copy of a policy file whose spec says something else."""
    content = onnx.load(str(model))
    for entry in content.metadata_props:
        if entry.key == SPEC_KEY:
            entry.value = json.dumps({**json.loads(entry.value), **changes})
    path.write_bytes(content.SerializeToString())
    return path


def test_a_film_shows_the_arm_reaching_beside_the_figures(model: Path, tmp_path: Path) -> None:
    film = tmp_path / "arm.gif"
    ended = called(model, *BRIEFLY, "--film", film, "--json")
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["episodes"] == 2
    assert film.read_bytes().startswith(b"GIF89a")
    assert f"the arm reaching is in {film}" in ended.stderr


def test_json_prints_one_object_with_the_contracts_keys_and_nothing_else(model: Path) -> None:
    ended = called(model, "--episodes", 2, "--seed", 5, "--json")
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    assert ended.stdout.count("\n") == 1
    found = json.loads(ended.stdout)
    assert list(found) == KEYS
    assert (found["model"], found["arm"], found["task"]) == (str(model), "iiwa", "reach")
    assert (found["episodes"], found["seed"]) == (2, 5)
    assert [each["position_tolerance_m"] for each in found["success"]] == [0.05, 0.03, 0.02]
    assert set(found["time_to_goal_s"]) == {"median", "p95"}
    assert found["hold"]["seconds"] == 15.0
    assert (found["controller"], found["perturbation"]) == ("policy", {})
    nested = ("model", "arm", "task", "backend", "success", "time_to_goal_s", "hold")
    nested += ("controller", "perturbation")
    numbers = [value for key, value in found.items() if key not in nested]
    assert all(isinstance(value, (int, float)) for value in numbers)
    assert 0.0 < found["median_error_m"] <= found["p95_error_m"] < 3.0


def test_the_same_seed_gives_the_same_figures(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = []
    for seed in (5, 5, 6):
        arguments = [str(model), *BRIEFLY, "--seed", str(seed), "--json"]
        assert evaluate_policy.main(arguments) == 0
        found.append({**json.loads(capsys.readouterr().out), "wall_seconds": 0, "seed": 0})
    assert found[0] == found[1]
    assert found[0] != found[2]


def test_another_backend_gives_figures_of_its_own(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = {}
    for backend in ("bullet", "mock"):
        arguments = [str(model), *BRIEFLY, "--json", "--backend", backend]
        assert evaluate_policy.main(arguments) == 0
        found[backend] = json.loads(capsys.readouterr().out)
        assert found[backend]["backend"] == backend
    assert found["bullet"]["work_j"] != found["mock"]["work_j"]


def test_without_json_it_prints_a_table(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate_policy.main([str(model), "--episodes", "1"]) == 0
    text = capsys.readouterr().out
    for words in (
        "1 (seeds 1000",
        "within 5 cm",
        "within 2 cm",
        "median error",
        "change of torque",
        "above 10 Hz",
    ):
        assert words in text


@pytest.fixture
def refused(capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """The one sentence of a call that could not run; capfd sees what libraries print, too."""

    def run(*arguments: object) -> str:
        capfd.readouterr()
        assert evaluate_policy.main([*map(str, arguments), "--json"]) == 2
        seen = capfd.readouterr()
        return only_sentence(seen.out, seen.err)

    return run


def only_sentence(out: str, err: str) -> str:
    assert out == ""
    assert "Traceback" not in err
    sentences = [line for line in err.splitlines() if "error: " in line]
    assert len(sentences) == 1, err
    assert err.rstrip().endswith(sentences[0])
    return sentences[0]


def test_a_missing_model_is_one_sentence_and_the_exit_code_of_the_process(tmp_path: Path) -> None:
    ended = called(tmp_path / "nonesuch.onnx", "--json")
    assert ended.returncode == 2, ended.stderr
    sentence = only_sentence(ended.stdout, ended.stderr)
    assert re.search(r"nonesuch\.onnx does not exist", sentence)


def test_a_text_file_as_a_model_is_one_sentence(
    refused: Callable[..., str], tmp_path: Path
) -> None:
    path = tmp_path / "notes.onnx"
    path.write_text("The policy is very good.\n")
    assert "notes.onnx" in refused(path)


def test_an_unknown_arm_in_the_file_is_one_sentence_that_names_the_file(
    refused: Callable[..., str], model: Path, tmp_path: Path
) -> None:
    path = with_spec(model, tmp_path / "odd.onnx", arm="ur99")
    sentence = refused(path)
    assert re.search(r"odd\.onnx.*arm must be one of .*iiwa.*; got 'ur99'", sentence)


def test_joints_of_another_arm_are_one_sentence(
    refused: Callable[..., str], model: Path, tmp_path: Path
) -> None:
    names = [f"ur5_joint_{index}" for index in range(7)]
    sentence = refused(with_spec(model, tmp_path / "odd.onnx", joint_names=names))
    assert re.search(r"odd\.onnx.*ur5_joint_0.*lbr_iiwa_joint_1", sentence)


def test_a_rate_that_the_simulator_lacks_is_one_sentence_that_names_the_file(
    refused: Callable[..., str], model: Path, tmp_path: Path
) -> None:
    for rate in (60.0, 99.6):
        sentence = refused(with_spec(model, tmp_path / "odd.onnx", control_rate_hz=rate))
        assert re.search(rf"odd\.onnx.*control_rate_hz must .*; got {rate:g}", sentence)


@pytest.mark.parametrize(
    ("option", "value"),
    [("--episodes", "-1"), ("--episodes", "0"), ("--episodes", "many"), ("--seed", "-3")],
)
def test_a_wrong_number_is_one_sentence_with_its_option(
    model: Path, capsys: pytest.CaptureFixture[str], option: str, value: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        evaluate_policy.main([str(model), option, value])
    seen = capsys.readouterr()
    assert ended.value.code == 2
    assert seen.out == ""
    assert seen.err.count("error: ") == 1
    assert option in seen.err
    assert value in seen.err
