# SPDX-License-Identifier: Apache-2.0
"""Pictures of the arm from Bullet's software renderer, whichever engine moves it."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageColor, ImageDraw, ImageFont

from sac_ros.robots.arm import Arm
from sac_ros.sim.bullet import MESHES, connect, load, pybullet
from sac_ros.sim.description import visible_description
from sac_ros.utils.atomic_write import atomic_write

Frame = NDArray[np.uint8]

REACHED = 0.02  # m, from where on the goal's ring is green

_GOAL_COLOUR = (0.95, 0.25, 0.15, 1.0)
_GOAL_RADIUS = 0.03  # m
_TABLE_COLOUR = (0.90, 0.91, 0.92, 1.0)
_AWAY, _THERE, _INK = "#dc2626", "#059669", "#1e293b"
_PALETTE_FRAMES = 8  # that a GIF's colours are taken from


class Camera:
    """A fixed camera beside an arm, with a red ball where the goal is.

    A ring and a plumb line to the table show the goal through the arm. The ring is green while
    the end effector is within 2 cm.

    It shows joint positions, so it needs no engine of its own kind: MuJoCo's renderer would need
    an OpenGL driver, which a server rarely has.
    """

    def __init__(
        self, arm: Arm, *, window: bool = False, width: int = 480, height: int = 400
    ) -> None:
        """Loads what of `arm` is to be seen.

        Args:
            arm: the arm to look at.
            window: show Bullet's own window, which needs a display.
            width: px.
            height: px.

        Raises:
            ConfigurationError: a window is asked for where none can open.
        """
        self._arm = arm
        self._size = (width, height)
        self._window = window
        self._text = -1  # the number of the words in a window
        client = self._client = connect(window)
        self._body = load(client, visible_description(arm, MESHES))
        reach = float(np.linalg.norm(arm.chain.forward(arm.home))) / 0.76
        self._view = client.computeViewMatrix(
            cameraEyePosition=[1.7 * reach, -1.0 * reach, 1.05 * reach],
            cameraTargetPosition=[0.28 * reach, 0.0, 0.46 * reach],
            cameraUpVector=[0.0, 0.0, 1.0],
        )
        self._projection = client.computeProjectionMatrixFOV(
            fov=34.0, aspect=width / height, nearVal=0.1, farVal=6.0 * max(reach, 1.0)
        )
        self._marker = self._add(pybullet.GEOM_SPHERE, _GOAL_COLOUR, radius=_GOAL_RADIUS)
        self._add(pybullet.GEOM_BOX, _TABLE_COLOUR, halfExtents=[1.2, 1.2, 0.01], z=-0.012)

    def look(self, position: ArrayLike, goal: ArrayLike, words: str = "") -> Frame | None:
        """The arm at `position` [n] rad with its goal [3] m: [height, width, 3] uint8.

        `words` are written into the picture. A window shows it, and there is no frame.
        """
        for joint, angle in enumerate(np.asarray(position, dtype=np.float64).tolist()):
            self._client.resetJointState(self._body, joint, angle)
        place = np.asarray(goal, dtype=np.float64)
        self._client.resetBasePositionAndOrientation(
            self._marker, place.tolist(), [0.0, 0.0, 0.0, 1.0]
        )
        if self._window:
            self._write(words, place)
            return None
        width, height = self._size
        _, _, pixels, _, _ = self._client.getCameraImage(
            width,
            height,
            self._view,
            self._projection,
            lightDirection=[2.0, -1.5, 4.0],
            renderer=pybullet.ER_TINY_RENDERER,
        )
        frame = np.reshape(np.asarray(pixels, dtype=np.uint8), (height, width, 4))[:, :, :3]
        image = Image.fromarray(np.ascontiguousarray(frame))
        end_effector = self._arm.chain.forward(np.asarray(position, dtype=np.float64))
        there = float(np.linalg.norm(end_effector - place)) < REACHED
        self._mark(ImageDraw.Draw(image), place, _THERE if there else _AWAY, words)
        return np.asarray(image)

    def close(self) -> None:
        """Ends the client. Calling it twice does nothing."""
        if self._client.isConnected():
            self._client.disconnect()

    def _mark(
        self, pen: ImageDraw.ImageDraw, goal: NDArray[np.float64], colour: str, words: str
    ) -> None:
        """Draws what must be seen through the arm, and the words."""
        width, height = self._size
        x, y, depth = self._project(goal)
        if depth > 0.0:
            radius = 1.7 * _GOAL_RADIUS * self._projection[5] / depth * height / 2.0
            foot_x, foot_y, _ = self._project(np.array([goal[0], goal[1], 0.0]))
            pen.line((x, y, foot_x, foot_y), fill=colour, width=1)
            pen.ellipse((foot_x - 4, foot_y - 2, foot_x + 4, foot_y + 2), outline=colour)
            around = (x - radius, y - radius, x + radius, y + radius)
            pen.ellipse(around, outline=colour, width=max(2, width // 200))
            pen.ellipse((x - 2, y - 2, x + 2, y + 2), fill=colour)
        if words:
            size = height / 22.0
            font = ImageFont.load_default(size)
            pen.text((0.6 * size, 0.5 * size), words, _INK, font)

    def _project(self, point: NDArray[np.float64]) -> tuple[float, float, float]:
        """Column and row of a point [3] m in the picture, px; and its depth, m."""
        view, projection = (np.reshape(each, (4, 4)).T for each in (self._view, self._projection))
        x, y, _, depth = projection @ view @ np.append(point, 1.0)
        width, height = self._size
        return width * (1.0 + x / depth) / 2.0, height * (1.0 - y / depth) / 2.0, float(depth)

    def _write(self, words: str, goal: NDArray[np.float64]) -> None:
        """Writes `words` into the window, above the goal."""
        x, y, z = goal.tolist()
        place = [x, y, z + 3.0 * _GOAL_RADIUS]
        self._text = self._client.addUserDebugText(
            words, place, textColorRGB=[0.1, 0.1, 0.2], replaceItemUniqueId=self._text
        )

    def _add(
        self, shape: int, colour: Sequence[float], z: float = 0.0, **geometry: float | list[float]
    ) -> int:
        client = self._client
        visual = client.createVisualShape(shape, rgbaColor=colour, **geometry)
        body: int = client.createMultiBody(baseVisualShapeIndex=visual, basePosition=[0.0, 0.0, z])
        return body


def caption(seconds: float, metres: float, title: str = "") -> str:
    """The words of a frame: how long it has taken, and how far it is yet."""
    return f"{title}   {seconds:4.1f} s   {1e3 * metres:4.0f} mm".strip()


def save_gif(frames: Sequence[Frame], path: Path, frames_per_second: float) -> None:
    """Writes `frames` as an endless GIF; the file appears whole or not at all."""
    with atomic_write(path) as file:
        file.write_bytes(gif(frames, frames_per_second))


def gif(frames: Sequence[Frame], frames_per_second: float) -> bytes:
    """An endless GIF of `frames`."""
    # One palette for all frames: per-frame palettes flicker and double the size.
    some = np.concatenate(frames[:: max(1, len(frames) // _PALETTE_FRAMES)])
    marks = np.repeat([ImageColor.getrgb(_AWAY), ImageColor.getrgb(_THERE)], len(some) // 40, 0)
    drawn = np.repeat(marks[:, None].astype(np.uint8), some.shape[1], 1)  # few pixels, but seen
    palette = Image.fromarray(np.concatenate([some, drawn])).quantize(colors=96)
    images = [
        Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE)
        for frame in frames
    ]
    file = BytesIO()
    images[0].save(
        file,
        format="GIF",
        save_all=True,
        append_images=images[1:],
        duration=round(1000.0 / frames_per_second),
        loop=0,
    )
    return file.getvalue()
