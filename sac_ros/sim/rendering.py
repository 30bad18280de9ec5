# SPDX-License-Identifier: Apache-2.0
"""Pictures of the arm from Bullet's software renderer; no display needed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from sac_ros.sim.bullet import pybullet
from sac_ros.sim.sim_arm import SimArm
from sac_ros.utils.atomic_write import whole_file

Frame = NDArray[np.uint8]

_GOAL_COLOUR = (0.95, 0.25, 0.15, 1.0)
_GOAL_RADIUS = 0.03  # m
_TABLE_COLOUR = (0.90, 0.91, 0.92, 1.0)


class Camera:
    """A fixed camera beside a `SimArm`, with a red ball where the goal is."""

    def __init__(self, sim_arm: SimArm, width: int = 480, height: int = 400) -> None:
        """Adds a table and a goal marker to the arm's client, both without collision shape.

        Args:
            sim_arm: the arm to look at.
            width: px.
            height: px.
        """
        self._sim_arm = sim_arm
        self._size = (width, height)
        client = sim_arm.client
        self._view = client.computeViewMatrix(
            cameraEyePosition=[1.7, -1.0, 1.05],
            cameraTargetPosition=[0.28, 0.0, 0.46],
            cameraUpVector=[0.0, 0.0, 1.0],
        )
        self._projection = client.computeProjectionMatrixFOV(
            fov=34.0, aspect=width / height, nearVal=0.1, farVal=6.0
        )
        self._marker = self._add(pybullet.GEOM_SPHERE, _GOAL_COLOUR, radius=_GOAL_RADIUS)
        self._add(pybullet.GEOM_BOX, _TABLE_COLOUR, halfExtents=[1.2, 1.2, 0.01], z=-0.012)

    def show_goal(self, goal: ArrayLike) -> None:
        """Moves the marker to `goal` [3] m."""
        position = np.asarray(goal, dtype=np.float64).tolist()
        self._sim_arm.client.resetBasePositionAndOrientation(
            self._marker, position, [0.0, 0.0, 0.0, 1.0]
        )

    def frame(self) -> Frame:
        """What the camera sees now, [height, width, 3] uint8."""
        width, height = self._size
        _, _, pixels, _, _ = self._sim_arm.client.getCameraImage(
            width,
            height,
            self._view,
            self._projection,
            lightDirection=[2.0, -1.5, 4.0],
            renderer=pybullet.ER_TINY_RENDERER,
        )
        return np.reshape(np.asarray(pixels, dtype=np.uint8), (height, width, 4))[:, :, :3]

    def _add(
        self, shape: int, colour: Sequence[float], z: float = 0.0, **geometry: float | list[float]
    ) -> int:
        client = self._sim_arm.client
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
    with whole_file(path) as file:
        images[0].save(
            file,
            format="GIF",
            save_all=True,
            append_images=images[1:],
            duration=round(1000.0 / frames_per_second),
            loop=0,
        )
