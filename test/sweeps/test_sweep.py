# SPDX-License-Identifier: Apache-2.0
"""Sweeps of tiny trainings, from their file to their report, and through kills."""

from __future__ import annotations

import math
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from benchmarks.ray_nodes import ray_processes, two_nodes
from sac_ros.cli.sweep import main
from sac_ros.policy.runtime import Policy
from sac_ros.sweeps.search import Trial, best_of
from sac_ros.sweeps.space import read_parameters
from sac_ros.training.config import TrainConfig
from sac_ros.utils.errors import ConfigurationError
from sac_ros.utils.settings import build

SETTINGS: dict[str, Any] = {
    "total_steps": 400,
    "evaluation_interval": 200,
    "evaluation_episodes": 2,
    "robustness_episodes": 0,
    "record_video": False,
    "warm_up_steps": 100,
    "minimum_success_rate": 0.0,
    "env.episode_seconds": 0.4,
    "sac": {"hidden_sizes": [8, 8], "batch_size": 16, "learning_starts": 100},
}


def space_file(directory: Path, **changes: Any) -> Path:
    document = {
        "settings": SETTINGS,
        "seeds": [0],
        "trials": 2,
        "space": {
            "sac.learning_rate": {"loguniform": [0.001, 0.01]},
            "sac.hidden_sizes": {"choice": [[8, 8], [16, 16]]},
        },
    }
    path = directory / "space.yaml"
    path.write_text(yaml.safe_dump({**document, **changes}))
    return path


def started(space: Path, output: Path, *changes: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "sac_ros.cli.sweep", str(space), *changes]
    log = (output.parent / "log.txt").open("ab")
    return subprocess.Popen(
        [*command, "--output", str(output)], stdout=log, stderr=log, start_new_session=True
    )


def trials_told(output: Path) -> list[Path]:
    return [*output.glob("trial_*/checkpoint_*")]


def of_ray() -> list[psutil.Process]:
    return ray_processes("ray::ImplicitFunc")


def log(directory: Path) -> str:
    return (directory / "log.txt").read_text()[-2000:]


def report(output: Path) -> str:
    return (output / "report.md").read_text()


@pytest.mark.parametrize(
    ("how", "code"),
    [
        pytest.param(signal.SIGINT, 130, marks=pytest.mark.long),
        pytest.param(signal.SIGKILL, -signal.SIGKILL, marks=pytest.mark.long),
    ],
)
def test_a_sweep_whose_driver_is_ended_goes_on_and_loses_no_trial(
    how: signal.Signals, code: int, tmp_path: Path, eventually: Callable[..., None]
) -> None:
    space, output = space_file(tmp_path), tmp_path / "tiny"
    driver = started(space, output)
    eventually(lambda: trials_told(output) or driver.poll() is not None, "a checkpoint", 120.0)
    driver.send_signal(how)
    assert driver.wait(timeout=60) == code, log(tmp_path)
    assert "Traceback" not in log(tmp_path)
    eventually(lambda: not of_ray(), "its processes end with it", 60.0)
    assert not (output / "report.md").exists()
    assert started(space, output).wait(timeout=300) == 0, log(tmp_path)
    assert report(output).startswith("# tiny\n\n2 settings, ")
    assert len([*output.glob("trial_*")]) == 2
    assert (output / "report.png").read_bytes().startswith(b"\x89PNG")
    best = build(TrainConfig, read_parameters(output / "best.yaml"))
    assert best.total_steps == 400
    assert best.sac.hidden_sizes in ((8, 8), (16, 16))
    # Another space in the same place would be mixed up with it.
    assert main([str(space_file(tmp_path, trials=4)), "--output", str(output)]) == 2


@pytest.mark.long
def test_a_trial_whose_process_is_killed_on_a_cluster_is_trained_to_its_end(
    tmp_path: Path, eventually: Callable[..., None]
) -> None:
    space, output = space_file(tmp_path), tmp_path / "tiny"
    with two_nodes(cores=1) as address:
        driver = started(space, output, f"ray_address:={address}")
        eventually(lambda: trials_told(output) or driver.poll() is not None, "a checkpoint", 120.0)
        for each in of_ray()[:1]:
            each.send_signal(signal.SIGKILL)
        assert driver.wait(timeout=300) == 0, log(tmp_path)
    assert report(output).startswith("# tiny\n\n2 settings, ")
    assert len([*output.glob("trial_*")]) == 2


def test_a_grid_trains_all_of_it_and_keeps_the_policies(tmp_path: Path) -> None:
    space = space_file(tmp_path, space={"arm": {"grid": ["panda"]}})
    output = tmp_path / "all"
    assert main([str(space), "total_steps:=300", "--output", str(output)]) == 0
    assert len([*output.glob("trial_*")]) == 1
    policy = Policy.load(output / "models" / "panda_reach.onnx")
    assert policy.spec.arm == "panda"
    assert "panda_reach.onnx" in (output / "models" / "panda_reach.md").read_text()
    assert "| [panda_reach](models/panda_reach.md) | 0 | " in report(output)


def test_the_best_is_the_one_with_most_score_of_those_that_ended() -> None:
    def trial(score: float, complete: bool) -> Trial:
        return Trial({}, score, (score,), 0.0, 0.0, 0, complete, "", None)

    trials = [trial(0.5, True), trial(0.9, False), trial(0.7, True), trial(math.nan, False)]
    assert best_of(trials) is trials[2]
    with pytest.raises(ConfigurationError, match="no trial of the sweep was trained to the end"):
        best_of(trials[1:2])


def test_without_ray_one_sentence_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main([str(space_file(tmp_path)), "--output", str(tmp_path / "none")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "pip install 'sac_ros[ray]'" in line
