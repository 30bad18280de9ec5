# SPDX-License-Identifier: Apache-2.0
"""The goal in the browser's scene: a ball in the box of valid goals, and a gizmo that drags it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from sac_ros.policy.goals import check_goal
from sac_ros.policy.spec import GoalSpec
from sac_ros.utils.errors import GoalError
from sac_ros.view.state import Array

if TYPE_CHECKING:
    import viser

_GOAL = (224, 49, 49)
_REFUSED = (134, 142, 150)
_BOX = (130, 170, 220)
_SMALLEST = 0.015  # m, radius of the ball
_GIZMO = 0.3  # m
_AXES = 0.12  # m, of a goal with an orientation


class GoalMarker:
    """A goal that is shown, and dragged where that is switched on.

    Attributes:
        refusal: why the goal that is being dragged is refused; empty where it is not.
    """

    def __init__(
        self, server: viser.ViserServer, low: Sequence[float], high: Sequence[float]
    ) -> None:
        """Shows the box between two corners [3] m, and no goal yet."""
        self._scene = server.scene
        self._spec: GoalSpec | None = None
        self._held = self._moved = False
        self._shown: Array | None = None
        self._colour = _GOAL
        self.refusal = ""
        self._gizmo: viser.TransformControlsHandle | None = None
        self._draw(low, high, _SMALLEST)

    def set_spec(self, spec: GoalSpec) -> None:
        """Take the box, the tolerance and the frame from a policy's goal, and add the gizmo."""
        self._spec, self._shown, self._colour = spec, None, _GOAL
        self._held = self._moved = False
        self._draw(spec.low[:3], spec.high[:3], max(spec.tolerance, _SMALLEST))
        gizmo = self._gizmo = self._scene.add_transform_controls(
            "/goal/gizmo",
            scale=_GIZMO,
            disable_rotations=spec.orientation is None,
            depth_test=False,
            visible=False,
            position=np.array(spec.middle[:3]),
        )

        async def dragged(event: viser.TransformControlsEvent) -> None:
            # In viser's event loop, in order; the node takes it from there with `take`.
            self._held = event.phase != "end"
            self._moved = True

        gizmo.on_update(dragged)
        if len(spec.fields) == 7:
            gizmo.wxyz = _wxyz(np.array(spec.middle))

    @property
    def draggable(self) -> bool:
        """Whether the gizmo is there to be dragged."""
        return self._gizmo is not None and bool(self._gizmo.visible)

    @draggable.setter
    def draggable(self, value: bool) -> None:
        if self._gizmo is not None and value != self._gizmo.visible:
            self._gizmo.visible = value
            self._held = self._moved = False

    @property
    def held(self) -> bool:
        """Whether somebody drags the goal now."""
        return self._held

    def show(self, goal: Array) -> None:
        """Show a goal [k], unless somebody drags it."""
        if self._held or self._moved:
            return
        self._paint(_GOAL)
        if self._shown is not None and np.array_equal(goal, self._shown):
            return
        self._place(goal)
        if self._gizmo is not None:
            self._gizmo.position = tuple(goal[:3].tolist())
            if len(goal) == 7:
                self._gizmo.wxyz = _wxyz(goal)

    def take(self) -> Array | None:
        """Return the goal [k] that was dragged since the last call; None: none, or a refused one.

        A refused one stays in `refusal` until the gizmo is released.
        """
        if not self._moved or self._gizmo is None or self._spec is None:
            return None
        self._moved = False
        position, (w, x, y, z) = self._gizmo.position.tolist(), self._gizmo.wxyz.tolist()
        goal = np.array([*position, x, y, z, w][: len(self._spec.fields)])
        self._place(goal)
        try:
            goal = check_goal(self._spec, self._spec.frame, goal)
        except GoalError as error:
            self.refusal = str(error)
            self._paint(_REFUSED)
            return None
        self.refusal = ""
        self._paint(_GOAL)
        return goal

    def _paint(self, colour: tuple[int, int, int]) -> None:
        if colour != self._colour:
            self._ball.color = self._colour = colour

    def _place(self, goal: Array) -> None:
        self._shown = goal
        self._ball.visible = True
        self._ball.position = tuple(goal[:3].tolist())
        self._axes.visible = len(goal) == 7
        if len(goal) == 7:
            self._axes.position, self._axes.wxyz = tuple(goal[:3].tolist()), _wxyz(goal)

    def _draw(self, low: Sequence[float], high: Sequence[float], radius: float) -> None:
        corners = np.array([low, high])
        bits = [[(i >> axis) & 1 for axis in range(3)] for i in range(8)]
        places = np.array([[corners[bit, axis] for axis, bit in enumerate(b)] for b in bits])
        edges = [(i, i | 1 << axis) for i in range(8) for axis in range(3) if not i >> axis & 1]
        self._scene.add_line_segments(
            "/goal/box",
            points=places[np.array(edges)],
            colors=_BOX,
            thickness=1.5,
            thickness_units="screen",
        )
        self._ball = self._scene.add_icosphere(
            "/goal/ball", radius=radius, color=_GOAL, visible=False, cast_shadow=False
        )
        self._axes = self._scene.add_frame(
            "/goal/axes", axes_length=_AXES, axes_radius=0.05 * _AXES, visible=False
        )


def _wxyz(goal: Array) -> tuple[float, float, float, float]:
    x, y, z, w = goal[3:].tolist()
    return w, x, y, z
