# SPDX-License-Identifier: Apache-2.0
"""The directory of a training run and the files in it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from sac_ros.training.checkpoint import PATTERN, checkpoints_in
from sac_ros.training.checkpoint_copy import fetch_if_missing
from sac_ros.training.config import TrainConfig
from sac_ros.utils.atomic_write import atomic_write
from sac_ros.utils.errors import ConfigurationError
from sac_ros.utils.settings import flat, leaves


class RunDirectory:
    """`<directory>/<name>/` with the names of what a run leaves there.

    Attributes:
        path: the directory.
        configuration: the run's parameters, as a ROS parameter file.
        policy: the exported controller.
        model_card: what that is, for people.
        evaluation: its figures.
        learning_curve: success and error over time.
        video: the arm reaching.
        goals: how each held-out goal was reached.
        page: all of it to look at.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.configuration = path / "train.yaml"
        self.policy = path / "policy.onnx"
        self.model_card = path / "policy.md"
        self.evaluation = path / "evaluation.json"
        self.learning_curve = path / "learning_curve.png"
        self.video = path / "reaching.gif"
        self.goals = path / "goals.csv"
        self.page = path / "report.html"

    @property
    def checkpoints(self) -> list[Path]:
        """Newest first; each holds everything that `resume` needs."""
        return checkpoints_in(self.path)

    def make(self, config: TrainConfig) -> None:
        """Makes the directory, with the run's parameters; those of a resumed run replace them.

        Raises:
            ConfigurationError: it cannot be made.
        """
        # Through JSON, since YAML has no tuples; and ROS takes no list without a type.
        parameters = _without_empty_lists(json.loads(json.dumps(dataclasses.asdict(config))))
        parameters |= {"name": self.path.name, "resume": False}
        document = {"/**/train_node": {"ros__parameters": parameters}}
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with atomic_write(self.configuration) as file:
                file.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
        except OSError as error:
            if config.resume:  # a full disk ends no run that has its checkpoint
                return
            raise ConfigurationError(
                f"directory {config.directory!r} cannot take the run: {error.strerror}"
            ) from error

    def settings(self) -> dict[str, Any] | None:
        """The run's parameters by dotted name; None where their file is missing.

        Raises:
            ConfigurationError: it is not the file that `make` writes.
        """
        try:
            document = yaml.safe_load(self.configuration.read_text(encoding="utf-8"))
            (section,) = document.values()
            return flat(section["ros__parameters"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, AttributeError, KeyError, yaml.YAMLError) as error:
            reason = " ".join(str(error).split())
            raise ConfigurationError(
                f"{self.configuration} must hold the parameters of the run; {reason}"
            ) from error


def settings_to_resume(given: Mapping[str, Any], named: Collection[str]) -> dict[str, Any]:
    """The settings by dotted name of a run to resume: its own, but for those that are named.

    Parameter files and defaults change nothing, as with them every setting would have to be given
    once more. Where the run has no `train.yaml`, what is given stays.

    Args:
        given: every setting, from the command line, a parameter file or its default.
        named: the names of those that the user asks for.

    Returns:
        Nothing where `given` resumes no run.

    Raises:
        ConfigurationError: there is no such run, or a stored setting is invalid.
    """
    if not given["resume"]:
        return {}
    where = {name: given[name] for name in ("directory", "name", "resume", "checkpoint_copy")}
    run = find_run_directory(TrainConfig(**where))
    stored = run.settings()
    if stored is None:
        return {"name": run.path.name}
    known = {leaf.name: leaf for leaf in leaves(TrainConfig)}
    kept = {  # a list without an element is not in the file, nor is what is newer than the run
        name: leaf.check(stored.get(name, leaf.default), f"{run.configuration}: ")
        for name, leaf in known.items()
        if name not in named
    }
    return {**kept, "name": run.path.name, "directory": given["directory"], "resume": True}


def find_run_directory(config: TrainConfig) -> RunDirectory:
    """The directory that a new run shall have, not yet made, or that of the run to resume.

    Raises:
        ConfigurationError: a new run's name is taken, or there is nothing to resume.
    """
    root = Path(config.directory)
    if config.resume:
        if config.checkpoint_copy and config.name:
            fetch_if_missing(config.checkpoint_copy, root / config.name)
        path = _existing(root, config.name)
        for half_written in path.glob(".*.partial.*"):  # by a run that was killed meanwhile
            half_written.unlink(missing_ok=True)
        return RunDirectory(path)
    time = datetime.now().strftime("%Y%m%d-%H%M%S")
    name = config.name or f"{Path(config.arm).stem}_{config.task}_{time}"
    run = RunDirectory(root / name)
    if run.path.exists() and any(not _of_a_start(each) for each in run.path.iterdir()):
        raise ConfigurationError(
            f"name {name!r} is taken, {run.path} is not empty: "
            "choose another, or go on from its checkpoint with resume:=true"
        )
    return run


def _of_a_start(path: Path) -> bool:
    """Whether a run has this file before its first checkpoint, where there is nothing to lose."""
    return path.name == "train.yaml" or path.name.startswith(("events.", "."))


def _without_empty_lists(tree: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _without_empty_lists(value) if isinstance(value, dict) else value
        for name, value in tree.items()
        if value != []
    }


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
