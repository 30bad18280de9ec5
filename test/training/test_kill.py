# SPDX-License-Identifier: Apache-2.0
"""kill -9 at random moments: every run goes on, and nothing older than an interval is lost."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_run import open_session
from trainer import Trainer, trainer

from sac_ros.training.checkpoint import checkpoints_in, load_checkpoint

__all__ = ["trainer"]
Eventually = Callable[..., None]


def steps_of(path: Path) -> int:
    found = re.fullmatch(r"checkpoint_(\d+)\.pt", path.name)
    assert found is not None
    return int(found[1])


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.long)])
def test_a_training_that_is_killed_at_any_moment_goes_on_from_its_last_checkpoint(
    trainer: Trainer, tmp_path: Path, eventually: Eventually, kills: int
) -> None:
    run, moments = tmp_path / "tiny", random.Random(0)

    def newest() -> int:
        found = checkpoints_in(run)
        return steps_of(found[0]) if found else -1

    def goes_on_from(steps: int) -> None:
        eventually(lambda: newest() > steps, f"it goes on from step {steps}", timeout=60.0)

    # Saves after every block, so that many of the kills hit one.
    changes: dict[str, Any] = {
        "collector": "worker",
        "total_steps": 1_000_000,
        "checkpoint_interval": 1,
        "evaluation_interval": 1_000_000,
    }
    trainer.start(**changes)
    eventually(lambda: newest() >= 0, "the checkpoint that every run begins with")
    known = 0
    for kill in range(kills):
        if kill % 4:  # every fourth dies while it starts, the others while they learn and save
            goes_on_from(known)
        time.sleep(moments.uniform(0.0, 0.3))
        trainer.kill()
        for path in checkpoints_in(run):
            assert load_checkpoint(path)["env_steps"] == steps_of(path)  # whole, every one
        assert newest() >= known
        known = newest()
        trainer.start(**changes, resume=True)
    goes_on_from(known)
    trainer.kill()
    assert known > 0
    assert "Traceback" not in trainer.log
    assert not list(run.glob("*.torn"))

    known = newest()
    last = open_session(tmp_path, **{**changes, "resume": True, "collector": "in_process"})
    assert last.loop.state.env_steps == known
    last.close()
    assert not list(run.glob("*.partial*"))
