# SPDX-License-Identifier: Apache-2.0
"""Pictures of a run while it learns: what is drawn, what is in TensorBoard, and a full disk."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_run import OpenSession, open_session, stopped_after

from sac_ros.training import watching
from sac_ros.training.page.contents import read_curves
from sac_ros.training.progress import Progress, Records
from sac_ros.training.run_directory import RunDirectory
from sac_ros.training.runner import TrainingSession

WRITE_PAGE = watching.save_page  # other tests have none


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrainingSession]:
    """A run that was stopped after its first evaluation."""
    run = open_session(tmp_path_factory.mktemp("runs"), record_video=True, evaluation_interval=100)
    stopped_after(run, 300)
    yield run
    run.close()


def test_the_first_evaluation_leaves_a_film_and_a_page(interrupted: TrainingSession) -> None:
    directory = interrupted.directory
    assert not directory.policy.exists(), "it was stopped before its end"
    with Image.open(directory.video) as film:
        assert film.n_frames > 1
    page = directory.page.read_text(encoding="utf-8")
    assert "was interrupted at step" in page
    assert "data:image/gif;base64" in page
    assert "<title>goal 1:" in page


def test_tensorboard_has_losses_torques_and_the_film(interrupted: TrainingSession) -> None:
    events = EventAccumulator(str(interrupted.directory.path))
    events.Reload()
    tags = events.Tags()
    losses = ("critic_loss", "actor_loss", "ent_coef", "entropy")
    assert {f"train/{name}" for name in losses} <= set(tags["scalars"])
    assert {"eval/success_rate", "rollout/success_rate"} <= set(tags["scalars"])
    joints = interrupted.env.arm.joint_names
    assert {f"eval_torque/{joint}" for joint in joints} <= set(tags["histograms"])
    *_, film = events.Images("eval/reaching")
    assert film.encoded_image_string == interrupted.directory.video.read_bytes()


def test_where_the_first_pictures_are_is_named_once(
    session: OpenSession, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(watching, "save_page", WRITE_PAGE)
    run = session(total_steps=600)
    stopped_after(run, 500)
    assert len(run.records.points) == 2
    assert capfd.readouterr().err.count(f"the first pictures are in {run.directory.page};") == 1


def test_before_a_late_first_evaluation_there_is_a_picture(
    session: OpenSession, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(watching, "_EARLY_STEPS", 150)
    run = session(record_video=True, evaluation_interval=10_000)
    stopped_after(run, 350)
    assert run.records.points == []
    assert run.directory.video.read_bytes().startswith(b"GIF89a")
    assert f"the first pictures are in {run.directory.video};" in capfd.readouterr().err


def test_a_full_disk_costs_the_pictures_and_nothing_else(
    session: OpenSession, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    @contextmanager
    def full(_: Path) -> Iterator[Path]:
        raise OSError(errno.ENOSPC, "No space left on device")
        yield

    run = session(record_video=True, total_steps=210)
    for name, value in (("save_page", WRITE_PAGE), ("atomic_write", full)):
        monkeypatch.setattr(watching, name, value)
    monkeypatch.setattr("sac_ros.training.final_report.save_reaching", lambda *_: None)
    assert run.run() is not None
    seen = capfd.readouterr().err
    assert "reaching.gif could not be drawn: [Errno 28]" in seen
    assert "report.html could not be written: [Errno 28]" in seen
    assert not run.directory.page.exists()


def test_curves_of_a_resumed_run_begin_before_it_and_leave_out_what_a_kill_lost(
    tmp_path: Path,
) -> None:
    for first, last, value in ((0, 8, 1.0), (5, 12, 2.0)):
        records = Records(tmp_path, [], first)
        for step in range(first, last):
            records.add_progress(Progress(env_steps=step, episode_return=value), None)
        records.close()
    steps, values = read_curves(tmp_path)["rollout/ep_rew_mean"]
    np.testing.assert_array_equal(steps, np.arange(12))
    np.testing.assert_array_equal(values, [1.0] * 5 + [2.0] * 7)


def test_a_directory_without_events_has_no_curves(tmp_path: Path) -> None:
    assert read_curves(tmp_path) == {}
    assert not RunDirectory(tmp_path).page.exists()
