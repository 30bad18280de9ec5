# SPDX-License-Identifier: Apache-2.0
"""In one process, a run that was killed and resumed is the run that was not, bit for bit."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_run import open_session
from trainer import Trainer, trainer

from sac_ros.training.checkpoint import checkpoints_in, load_checkpoint

__all__ = ["trainer"]
# Checkpoints at 420, 820 and 1220 steps: in the middle of episodes, which take both environments
# 46 steps, and the last one after the replay has wrapped.
CHANGES: dict[str, Any] = {
    "total_steps": 1300,
    "checkpoint_interval": 400,
    "evaluation_interval": 700,
    "continue_probability": 0.5,
    "env": {"episode_seconds": 0.46},
    "sac": {"replay_capacity": 1000},
}


def flat(tree: Any, name: str = "") -> dict[str, Any]:
    """Every leaf of a checkpoint by its path, but for clocks and what tells a resumed run."""
    if isinstance(tree, dict):
        items: list[tuple[Any, Any]] = list(tree.items())
    elif isinstance(tree, list):
        items = list(enumerate(tree))
    else:
        return {name: tree}
    return {
        path: leaf
        for key, value in items
        if key not in ("learning_seconds", "wall_seconds", "resume", "directory")
        for path, leaf in flat(value, f"{name}/{key}").items()
    }


def last_state(directory: Path) -> dict[str, Any]:
    content = load_checkpoint(checkpoints_in(directory / "tiny")[0])
    content["config"] = json.loads(content["config"])
    return flat(content)


def differences(one: dict[str, Any], other: dict[str, Any]) -> set[str]:
    def equal(a: Any, b: Any) -> bool:
        if isinstance(a, torch.Tensor):
            return torch.equal(a, b)
        return bool(a == b)

    assert one.keys() == other.keys()
    return {name for name in one if not equal(one[name], other[name])}


def through(directory: Path, **changes: Any) -> dict[str, Any]:
    """The last checkpoint of a run that nothing interrupted; without its report, to save time."""
    session = open_session(directory, **copy.deepcopy(changes))
    session.callbacks.pop()
    session.run()
    return last_state(directory)


@pytest.fixture(scope="module")
def saved_through(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """`through` with `CHANGES`."""
    return through(tmp_path_factory.mktemp("through"), **CHANGES)


@pytest.mark.parametrize(("value_function", "kill_at"), [(False, 420), (True, 1220)])
def test_a_killed_and_resumed_run_equals_one_that_only_saved(
    saved_through: dict[str, Any],
    trainer: Trainer,
    tmp_path: Path,
    value_function: bool,
    kill_at: int,
) -> None:
    changes = {**CHANGES, "sac": {**CHANGES["sac"], "value_function": value_function}}
    expected = through(tmp_path / "V", **changes) if value_function else saved_through
    trainer.directory = killed = tmp_path / "killed"
    killed.mkdir()
    trainer.start(kill_at, **changes)
    assert trainer.wait() == -9, trainer.log
    assert last_state(killed)["/env_steps"] == kill_at
    trainer.start(1300, resume=True, **changes)
    assert trainer.wait() == -9, trainer.log
    found = last_state(killed)
    assert found["/env_steps"] >= 1300
    assert {"/torch_rng", "/numpy_rng", "/agent/log_alpha", "/replay/action"} <= set(found)
    assert differences(expected, found) == set()


def test_the_comparison_sees_a_checkpoint_that_was_not_made(
    saved_through: dict[str, Any], tmp_path: Path
) -> None:
    """A save ends episodes, so a run with other saves is another run: documented, and seen."""
    without = through(tmp_path / "without", **{**CHANGES, "checkpoint_interval": 5000})
    assert {"/agent/actor", "/replay/action"} <= differences(saved_through, without)
