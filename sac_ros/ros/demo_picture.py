# SPDX-License-Identifier: Apache-2.0
"""What `reach_demo` shows of the arm: a window where there is a display, else a GIF."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sac_ros.robots.arm import Arm
from sac_ros.sim.rendering import Camera, caption, save_gif
from sac_ros.utils.errors import ConfigurationError

Array = NDArray[np.float64]

AUTO, WINDOW, NONE = "auto", "window", "none"
DEFAULT_FILE = "demo.gif"
FILMED = 4  # goals, the first ones, and of each the first _SECONDS: drawing takes its time

_SECONDS = 3.0
_SIZE = (400, 334)  # px
_FILM_RATE = 8.0  # Hz
_WINDOW_RATE = 20.0  # Hz


class Picture:
    """Takes the arm's states while the demo runs; drawing costs it nothing.

    A window shows them at once. The frames of a GIF are drawn at the end, in `finish`.
    """

    def __init__(self, arm: Arm, camera: Camera | None, file: Path | None) -> None:
        """With the `camera` of a window, or the `file` of a GIF, or neither."""
        self._arm, self._camera, self._file = arm, camera, file
        self._period = 1.0 / (_FILM_RATE if camera is None else _WINDOW_RATE)
        self._next = 0.0
        self._frames: list[tuple[Array, Array, str]] = []

    def add(self, position: Sequence[float], goal: Array, number: int, seconds: float) -> None:
        """The arm at `position` [n] rad, `seconds` after it got its goal [k] of this number."""
        now = time.monotonic()
        filmed = self._file is not None and number <= FILMED and seconds < _SECONDS
        if now < self._next or not (filmed or self._camera is not None):
            return
        self._next = max(now, self._next + self._period)
        joints, place = np.array(position), np.array(goal[:3])
        distance = float(np.linalg.norm(self._arm.chain.forward(joints) - place))
        words = caption(seconds, distance, f"goal {number}")
        if self._camera is None:
            self._frames.append((joints, place, words))
            return
        try:
            self._camera.look(joints, place, words)
        except Exception:  # the window was closed: the demo goes on without it
            self._camera = None

    @property
    def pending(self) -> int:
        """Number of frames that `finish` will draw."""
        return len(self._frames)

    def finish(self) -> str:
        """Closes the window or writes the GIF; returns a line on where it is."""
        if self._camera is not None:
            self._camera.close()
        if self._file is None or not self._frames:
            return ""
        camera = Camera(self._arm, width=_SIZE[0], height=_SIZE[1])
        try:
            frames = [frame for each in self._frames if (frame := camera.look(*each)) is not None]
            save_gif(frames, self._file, _FILM_RATE)
        except OSError as error:
            return f"{self._file} could not be written: {error.strerror or error}"
        finally:
            camera.close()
        return f"the arm reaching its first goals is in {self._file}"


def make_picture(arm: Arm, where: str) -> Picture:
    """A window, a GIF, or nothing; `auto` takes a window where one opens, else `demo.gif`.

    Raises:
        ConfigurationError: a window is asked for where none can open.
    """
    if where == NONE:
        return Picture(arm, None, None)
    has_display = any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
    if where == WINDOW or (where == AUTO and has_display):
        try:
            return Picture(arm, Camera(arm, window=True), None)
        except ConfigurationError as error:
            if where == WINDOW:
                raise ConfigurationError(
                    f"--picture {WINDOW} needs a display, and none can be opened here "
                    f"(DISPLAY={os.environ.get('DISPLAY', '')!r}): use a file.gif"
                ) from error
    return Picture(arm, None, Path(DEFAULT_FILE if where == AUTO else where))
