# SPDX-License-Identifier: Apache-2.0
"""The arm in the browser's scene, posed by its own kinematics."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sac_ros.robots.arm import Arm
from sac_ros.robots.kinematics import quaternion_of
from sac_ros.view.arm_shapes import link_meshes
from sac_ros.view.state import Array

if TYPE_CHECKING:
    import viser

_CELL = 0.25  # m, of the grid
_AMBIENT = 1.6  # of the light from everywhere


class ArmScene:
    """The links of an arm, on a grid, in its base frame."""

    def __init__(self, server: viser.ViserServer, arm: Arm) -> None:
        """Adds the arm at home, and points the camera of who opens the page at it."""
        self._arm = arm
        scene = server.scene
        scene.set_up_direction("+z")
        reach = float(np.linalg.norm(arm.chain.forward(arm.home))) / 0.76
        server.initial_camera.position = (1.15 * reach, -1.45 * reach, 0.85 * reach)
        server.initial_camera.look_at = (0.3 * reach, 0.0, 0.4 * reach)
        # Shadows and reflections take a computer without a graphics card three times as long.
        scene.configure_environment_map(None)
        scene.configure_default_lights(cast_shadow=False)
        scene.add_light_ambient("/light", intensity=_AMBIENT)
        scene.add_grid(
            "/floor",
            width=12 * _CELL,
            height=12 * _CELL,
            cell_size=_CELL,
            section_size=4 * _CELL,
            position=(0.0, 0.0, -0.002),
        )
        self._links = [scene.add_frame("/arm/0", show_axes=False)] + [
            scene.add_frame(f"/arm/{joint + 1}", show_axes=False) for joint in range(arm.joints)
        ]
        for number, mesh in enumerate(link_meshes(arm)):
            scene.add_mesh_simple(
                f"/arm/{mesh.link}/mesh_{number}",
                mesh.vertices,
                mesh.faces,
                color=mesh.colour,
                flat_shading=mesh.flat,
                side="double",
            )
        self._shown: Array | None = None
        self.pose(arm.home)

    def pose(self, position: Array) -> None:
        """Show joint positions [n] rad."""
        if self._shown is not None and np.array_equal(position, self._shown):
            return
        self._shown = position.copy()
        frames = self._arm.chain.frames_at(position)
        for link, rotation, origin in zip(
            self._links[1:], frames.rotation, frames.origin, strict=True
        ):
            x, y, z, w = quaternion_of(rotation).tolist()
            link.wxyz = (w, x, y, z)
            link.position = tuple(origin.tolist())
