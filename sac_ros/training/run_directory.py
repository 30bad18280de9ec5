# SPDX-License-Identifier: Apache-2.0
"""The directory of a training run and the files in it."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import yaml

from sac_ros.training.checkpoints import PATTERN, checkpoints_in
from sac_ros.training.config import TrainConfig
from sac_ros.utils.atomic_write import atomic_write
from sac_ros.utils.errors import ConfigurationError


@dataclass(frozen=True)
class RunDirectory:
    """`<directory>/<name>/` with the names of what a run leaves there."""

    path: Path

    @property
    def checkpoints(self) -> list[Path]:
        """Newest first; each holds everything that `resume` needs."""
        return checkpoints_in(self.path)

    @property
    def configuration(self) -> Path:
        """The run's parameters, as a ROS parameter file."""
        return self.path / "train.yaml"

    @property
    def policy(self) -> Path:
        """The exported controller."""
        return self.path / "policy.onnx"

    @property
    def model_card(self) -> Path:
        """What the exported controller is, for people."""
        return self.path / "policy.md"

    @property
    def evaluation(self) -> Path:
        """Figures of the exported controller."""
        return self.path / "evaluation.json"

    @property
    def learning_curve(self) -> Path:
        """Success and error over time."""
        return self.path / "learning_curve.png"

    @property
    def video(self) -> Path:
        """The arm reaching."""
        return self.path / "reaching.gif"


def open_run_directory(config: TrainConfig) -> RunDirectory:
    """Makes the directory of a new run, or finds that of the run to resume.

    Raises:
        ConfigurationError: a new run's name is taken, or there is nothing to resume.
    """
    root = Path(config.directory)
    if config.resume:
        path = _existing(root, config.name)
        _remove_half_written(path)
        return RunDirectory(path)
    arm = Path(config.arm).stem  # of a path too
    name = config.name or f"{arm}_{config.task}_{datetime.now():%Y%m%d-%H%M%S}"
    run = RunDirectory(root / name)
    if run.path.exists() and any(run.path.iterdir()):
        raise ConfigurationError(
            f"name {name!r} is taken, {run.path} is not empty: "
            "choose another, or go on from its checkpoint with resume:=true"
        )
    try:
        run.path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"directory {str(root)!r} cannot take the run: {error.strerror}"
        ) from error
    _write_configuration(config, name, run.configuration)
    return run


def _write_configuration(config: TrainConfig, name: str, path: Path) -> None:
    """Writes the parameters as a file that `train_node --ros-args --params-file` takes."""
    # Through JSON, since YAML has no tuples.
    parameters = json.loads(json.dumps(dataclasses.asdict(config))) | {"name": name}
    document = {"/**/train_node": {"ros__parameters": parameters}}
    with atomic_write(path) as file:
        file.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")


def _remove_half_written(run: Path) -> None:
    """Removes what a run that was killed while it wrote a file has left."""
    for pattern in (".*.partial*",):
        for path in run.glob(pattern):
            path.unlink(missing_ok=True)


def _existing(root: Path, name: str) -> Path:
    checkpoints = sorted(root.glob(f"*/{PATTERN}"), key=lambda path: path.stat().st_mtime)
    if name:
        if not checkpoints_in(root / name):
            found = ", ".join(dict.fromkeys(path.parent.name for path in checkpoints)) or "none"
            raise ConfigurationError(
                f"name {name!r} has no checkpoint to resume in {root}/; "
                f"runs that have one: {found}"
            )
        return root / name
    if not checkpoints:
        raise ConfigurationError(f"resume:=true finds no run with a checkpoint in {root}/")
    return checkpoints[-1].parent
