# SPDX-License-Identifier: Apache-2.0
"""What the demo shows of the arm, without a display and with one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sac_ros.robots.arm import load_arm
from sac_ros.ros import demo_picture
from sac_ros.ros.demo_picture import DEFAULT_FILE, FILMED, Picture, make_picture
from sac_ros.utils.errors import ConfigurationError

ARM = load_arm("iiwa")
GOAL = np.array([0.5, 0.0, 0.4])


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


class Window:
    """Stands in for a camera with a window; a closed one raises as Bullet does."""

    def __init__(self, *_: object, **options: object) -> None:
        self.options, self.looks, self.closed = options, 0, False

    def look(self, *_: object) -> None:
        self.looks += 1
        if self.closed:
            raise RuntimeError("Not connected to physics server.")

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(demo_picture, "time", found)
    return found


@pytest.fixture(autouse=True)
def no_display(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def show(picture: Picture, clock: Clock, goals: int, seconds: float) -> None:
    for number in range(1, goals + 1):
        for step in range(round(seconds * 100)):
            clock.now += 0.01
            picture.add(ARM.home.tolist(), GOAL, number, step / 100)


def test_without_a_display_the_first_goals_become_a_gif(clock: Clock, tmp_path: Path) -> None:
    picture = make_picture(ARM, "auto")
    show(picture, clock, FILMED + 3, 0.5)
    assert picture.finish() == f"the arm reaching its first goals is in {DEFAULT_FILE}"
    with Image.open(tmp_path / DEFAULT_FILE) as image:
        assert 4 * FILMED <= image.n_frames <= 4 * FILMED + 1  # 0.5 s each at 8 Hz


def test_a_gif_that_cannot_be_written_is_a_sentence(clock: Clock) -> None:
    picture = make_picture(ARM, "no/such/folder/demo.gif")
    show(picture, clock, 1, 0.1)
    assert picture.finish().startswith("no/such/folder/demo.gif could not be written: No such")


def test_where_there_is_a_display_a_window_shows_it_until_it_is_closed(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made: list[Window] = []

    def open_window(*arguments: Any, **options: Any) -> Window:
        made.append(Window(*arguments, **options))
        return made[-1]

    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    monkeypatch.setattr(demo_picture, "Camera", open_window)
    picture = make_picture(ARM, "auto")
    (window,) = made
    assert window.options == {"window": True}
    show(picture, clock, 1, 1.0)
    assert 19 <= window.looks <= 21
    window.closed = True
    show(picture, clock, 1, 1.0)
    assert window.looks <= 22
    assert picture.finish() == ""
    assert list(tmp_path.iterdir()) == []


def test_a_display_that_takes_no_window_is_as_none_unless_one_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise ConfigurationError("no window")

    monkeypatch.setenv("DISPLAY", ":77")
    monkeypatch.setattr(demo_picture, "Camera", refuse)
    assert make_picture(ARM, "auto").finish() == ""
    with pytest.raises(ConfigurationError, match=r"--picture window needs a display.*':77'"):
        make_picture(ARM, "window")


def test_none_shows_and_writes_nothing(clock: Clock, tmp_path: Path) -> None:
    picture = make_picture(ARM, "none")
    show(picture, clock, 1, 0.5)
    assert picture.finish() == ""
    assert list(tmp_path.iterdir()) == []
