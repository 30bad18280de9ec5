# SPDX-License-Identifier: Apache-2.0
"""Checkpoints that are copied elsewhere, and a run that goes on from there."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from tiny_run import OpenSession, stopped_after

from sac_ros.training.checkpoint_copy import CheckpointCopies
from sac_ros.training.config import TrainConfig
from sac_ros.training.run_directory import settings_to_resume
from sac_ros.utils.errors import ConfigurationError
from sac_ros.utils.settings import leaves


@pytest.mark.parametrize("as_uri", [False, True])
def test_a_run_goes_on_from_the_copy_where_its_machine_is_lost(
    session: OpenSession, tmp_path: Path, as_uri: bool
) -> None:
    elsewhere = tmp_path / "elsewhere"
    where = elsewhere.as_uri() if as_uri else str(elsewhere)
    run = session(checkpoint_copy=where, total_steps=1000, checkpoint_interval=100)
    stopped_after(run, 350)
    steps, path = run.state.loop.env_steps, run.directory.path
    copied = sorted(each.name for each in (elsewhere / "tiny").iterdir())
    assert copied == sorted([*(each.name for each in run.directory.checkpoints), "train.yaml"])
    assert len(copied) == run.config.keep_checkpoints + 1
    shutil.rmtree(path)
    defaults = {leaf.name: leaf.default for leaf in leaves(TrainConfig)}
    where_it_is = {"directory": str(tmp_path), "name": "tiny", "checkpoint_copy": where}
    settings = settings_to_resume(defaults | where_it_is | {"resume": True}, set())
    assert settings["total_steps"] == 1000
    again = session(checkpoint_copy=where, total_steps=1000, resume=True)
    assert again.state.loop.env_steps == steps
    assert (path / "train.yaml").exists()


def test_a_copy_that_cannot_be_written_is_said_and_the_run_goes_on(
    session: OpenSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "elsewhere").write_text("a file where the directory would be")
    run = session(checkpoint_copy=str(tmp_path / "elsewhere"))
    outcome = run.run()
    assert outcome is not None
    assert run.directory.checkpoints
    assert "could not be copied: " in capsys.readouterr().err


@pytest.mark.parametrize("location", ["nonsense://x", "http://x/y"])
def test_a_place_that_pyarrow_does_not_know_is_refused(location: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="checkpoint_copy must be a path, or a URI") as e:
        CheckpointCopies(location, tmp_path, 1)
    assert repr(location) in str(e.value)


def test_without_pyarrow_one_sentence_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'sac_ros\[ray\]'"):
        CheckpointCopies(str(tmp_path), tmp_path / "run", 1)
