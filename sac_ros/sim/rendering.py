# SPDX-License-Identifier: Apache-2.0
"""Pictures of the arm from Bullet's software renderer, whichever engine moves it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from sac_ros.robots.arm import Arm
from sac_ros.sim.bullet import MESHES, connect, load, pybullet
from sac_ros.sim.description import engine_description
from sac_ros.utils.atomic_write import atomic_write

Frame = NDArray[np.uint8]

_GOAL_COLOUR = (0.95, 0.25, 0.15, 1.0)
_GOAL_RADIUS = 0.03  # m
_TABLE_COLOUR = (0.90, 0.91, 0.92, 1.0)


class Camera:
    """A fixed camera beside an arm, with a red ball where the goal is.

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
        self._size = (width, height)
        self._window = window
        client = self._client = connect(window)
        description = engine_description(arm, arm.bodies, meshes=MESHES, visual=True)
        if "<visual>" not in description:  # better its hulls than nothing
            description = engine_description(arm, arm.bodies, meshes=MESHES).replace(
                "collision>", "visual>"
            )
        self._body = load(client, description)
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

    def look(self, position: ArrayLike, goal: ArrayLike) -> Frame | None:
        """The arm at `position` [n] rad with its goal [3] m: [height, width, 3] uint8.

        A window shows it, and there is no frame.
        """
        for joint, angle in enumerate(np.asarray(position, dtype=np.float64).tolist()):
            self._client.resetJointState(self._body, joint, angle)
        place = np.asarray(goal, dtype=np.float64).tolist()
        self._client.resetBasePositionAndOrientation(self._marker, place, [0.0, 0.0, 0.0, 1.0])
        if self._window:
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
        return np.reshape(np.asarray(pixels, dtype=np.uint8), (height, width, 4))[:, :, :3]

    def close(self) -> None:
        """Ends the client. Calling it twice does nothing."""
        if self._client.isConnected():
            self._client.disconnect()

    def _add(
        self, shape: int, colour: Sequence[float], z: float = 0.0, **geometry: float | list[float]
    ) -> int:
        client = self._client
        visual = client.createVisualShape(shape, rgbaColor=colour, **geometry)
        body: int = client.createMultiBody(baseVisualShapeIndex=visual, basePosition=[0.0, 0.0, z])
        return body


def save_gif(frames: Sequence[Frame], path: Path, frames_per_second: float) -> None:
    """Writes `frames` as an endless GIF; the file appears whole or not at all."""
    # One palette for all frames: per-frame palettes flicker and double the size.
    palette = Image.fromarray(frames[0]).quantize(colors=96)
    images = [
        Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE)
        for frame in frames
    ]
    with atomic_write(path) as file:
        images[0].save(
            file,
            format="GIF",
            save_all=True,
            append_images=images[1:],
            duration=round(1000.0 / frames_per_second),
            loop=0,
        )
