# SPDX-License-Identifier: Apache-2.0
"""Pictures of the arm, without a display."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sac_ros.robots.arm import arm_names, load_arm
from sac_ros.sim.rendering import Camera, caption, save_gif

ARM = load_arm("iiwa")


@pytest.fixture
def camera(monkeypatch: pytest.MonkeyPatch) -> Iterator[Camera]:
    monkeypatch.delenv("DISPLAY", raising=False)
    made = Camera(ARM, width=120, height=100)
    yield made
    made.close()
    made.close()  # and again does nothing


def test_a_frame_shows_the_arm_and_the_goal(camera: Camera) -> None:
    frame = camera.look(ARM.home, [0.5, 0.0, 0.4])
    assert frame is not None
    assert frame.shape == (100, 120, 3)
    assert frame.dtype == np.uint8
    assert len(np.unique(frame.reshape(-1, 3), axis=0)) > 50  # not one flat colour
    assert np.any(camera.look(np.zeros(7), [0.5, 0.0, 0.4]) != frame)


@pytest.mark.parametrize("name", arm_names())
def test_every_arm_is_seen(name: str) -> None:
    arm = load_arm(name)
    camera = Camera(arm, width=120, height=100)
    below = [0.0, 0.0, -9.0]
    one, other = camera.look(arm.home, below), camera.look(arm.home + 0.3, below)
    camera.close()
    assert one is not None
    assert np.mean(np.any(one != other, axis=-1)) > 0.01


def test_the_goal_is_a_ball_where_it_was_put(camera: Camera) -> None:
    without = np.asarray(camera.look(ARM.home, [0.0, 0.0, -9.0])).astype(int)

    def place(goal: list[float]) -> tuple[float, float]:
        """Mean row and column of the pixels that the goal changes."""
        frame = camera.look(ARM.home, goal)
        changed = np.abs(frame - without).max(axis=-1) > 60
        row, column = np.argwhere(changed).mean(axis=0)
        return row, column

    low, high = place([0.6, 0.2, 0.2]), place([0.6, 0.2, 0.6])
    right, left = place([0.6, 0.4, 0.3]), place([0.6, -0.4, 0.3])
    assert high[0] < low[0] - 10  # rows count from the top
    assert abs(right[1] - left[1]) > 10


def test_the_goal_is_seen_through_the_arm_and_green_once_it_is_reached(camera: Camera) -> None:
    end_effector = ARM.chain.forward(ARM.home)
    hidden = np.asarray(camera.look(ARM.home, end_effector)).astype(int)
    missed = np.asarray(camera.look(ARM.home, np.add(end_effector, [0.0, 0.0, 0.03]))).astype(int)
    for frame, strong, weak in ((hidden, 1, 0), (missed, 0, 1)):
        assert np.count_nonzero(frame[..., strong] > frame[..., weak] + 100) > 20


def test_words_are_in_the_picture_and_leave_the_arm_alone(camera: Camera) -> None:
    plain = camera.look(ARM.home, [0.5, 0.0, 0.4])
    words = camera.look(ARM.home, [0.5, 0.0, 0.4], caption(1.24, 0.0123, "goal 2 of 4"))
    changed = np.argwhere(np.any(np.asarray(plain) != np.asarray(words), axis=-1))
    assert len(changed) > 20
    assert changed[:, 0].max() < 20  # the upper fifth
    assert caption(1.24, 0.0123, "goal 2 of 4") == "goal 2 of 4    1.2 s     12 mm"


def test_a_gif_keeps_the_colours_of_the_marks(camera: Camera, tmp_path: Path) -> None:
    end_effector = ARM.chain.forward(ARM.home)
    frames = [camera.look(ARM.home, end_effector), camera.look(ARM.home, [0.5, 0.0, 0.4])]
    save_gif([frame for frame in frames if frame is not None], tmp_path / "arm.gif", 10.0)
    with Image.open(tmp_path / "arm.gif") as image:
        for number, frame in enumerate(frames):
            image.seek(number)
            error = np.asarray(image.convert("RGB")).astype(int) - np.asarray(frame)
            marks = np.ptp(np.asarray(frame).astype(int), axis=-1) > 120
            assert np.abs(error[marks]).mean() < 12


def test_a_gif_holds_every_frame_and_runs_for_ever(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 255, (20, 30, 3), dtype=np.uint8) for _ in range(5)]
    path = tmp_path / "arm.gif"
    save_gif(frames, path, frames_per_second=10.0)
    with Image.open(path) as image:
        assert (image.n_frames, image.size) == (5, (30, 20))
        assert image.info["loop"] == 0
        assert image.info["duration"] == 100
    assert [file.name for file in tmp_path.iterdir()] == ["arm.gif"]
