# SPDX-License-Identifier: Apache-2.0
"""Pictures of the arm, without a display."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sac_ros.robots.arm import load_arm
from sac_ros.sim.rendering import Camera, save_gif
from sac_ros.sim.sim_arm import SimArm


@pytest.fixture
def sim(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimArm]:
    monkeypatch.delenv("DISPLAY", raising=False)
    arm = SimArm(load_arm("iiwa"))
    yield arm
    arm.close()


def test_a_frame_shows_the_arm_and_the_goal(sim: SimArm) -> None:
    camera = Camera(sim, width=120, height=100)
    camera.show_goal([0.5, 0.0, 0.4])
    frame = camera.frame()
    assert frame.shape == (100, 120, 3)
    assert frame.dtype == np.uint8
    assert len(np.unique(frame.reshape(-1, 3), axis=0)) > 50  # not one flat colour
    sim.reset(np.zeros(7))
    assert np.any(camera.frame() != frame)


def test_the_goal_is_a_ball_where_it_was_put(sim: SimArm) -> None:
    camera = Camera(sim, width=120, height=100)
    camera.show_goal([0.0, 0.0, -9.0])
    without = camera.frame().astype(int)

    def place(goal: list[float]) -> tuple[float, float]:
        """Mean row and column of the pixels that the goal changes."""
        camera.show_goal(goal)
        changed = np.abs(camera.frame() - without).max(axis=-1) > 60
        row, column = np.argwhere(changed).mean(axis=0)
        return row, column

    low, high = place([0.6, 0.2, 0.2]), place([0.6, 0.2, 0.6])
    right, left = place([0.6, 0.4, 0.3]), place([0.6, -0.4, 0.3])
    assert high[0] < low[0] - 10  # rows count from the top
    assert abs(right[1] - left[1]) > 10


def test_the_camera_changes_nothing_in_the_motion(sim: SimArm) -> None:
    other = SimArm(sim.arm)
    camera = Camera(sim, width=32, height=32)
    camera.show_goal(sim.tip_position())  # a marker where the arm is: it must not push
    torque = 0.5 * sim.arm.action_scale
    sim.step(torque, 30)
    other.step(torque, 30)
    np.testing.assert_array_equal(sim.state(), other.state())
    other.close()


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
