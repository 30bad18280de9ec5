# SPDX-License-Identifier: Apache-2.0
"""The page of the browser view: the scene, and beside it a panel with everything in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sac_ros.robots.arm import Arm
from sac_ros.view import texts
from sac_ros.view.arm_scene import ArmScene
from sac_ros.view.goal_marker import GoalMarker
from sac_ros.view.joint_bars import joint_bars
from sac_ros.view.plots import LastSeconds, TrainingCurves
from sac_ros.view.state import Array, ViewState

if TYPE_CHECKING:
    import viser

_WIDTH = 430  # px, of the panel
_WORDS_EVERY = 4  # calls of `show`: the eye needs the arm 20 times a second, and numbers 5 times
_CURVES_EVERY = 20

NOT_ALLOWED = "Dragging the goal is switched off (allow_goals:=true switches it on)."
NO_POLICY = "No policy_node runs that could take a goal."
CAN_DRAG = "Drag the arrows of the goal: the arm goes there at once."
SWITCHED_OFF = "Tick the box to drag the goal: a real arm moves."


class Page:
    """What everybody who opens the page sees; one arm, once it is known."""

    def __init__(self, server: viser.ViserServer, rate: float, allow_goals: bool) -> None:
        """Prepares a page that waits for an arm.

        Args:
            server: serves it.
            rate: Hz, how often `show` is called.
            allow_goals: whether a goal may be dragged at all.
        """
        self._server, self._rate, self._allow_goals = server, rate, allow_goals
        self._arm: Arm | None = None
        self._folders: list[viser.GuiFolderHandle] = []
        self._sent: dict[int, str] = {}
        self._calls = 0
        gui = server.gui
        gui.configure_theme(show_logo=False, show_share_button=False, brand_color=(25, 113, 194))
        gui.main_panel.dock_right()
        gui.main_panel.set_width(_WIDTH)
        self._status = gui.add_html(texts.waiting("no arm yet"))

    @property
    def watched(self) -> bool:
        """Whether somebody has the page open."""
        return bool(self._server.get_clients())

    def wait(self, text: str) -> None:
        """Show what the page waits for, before an arm is known."""
        self._set(self._status, texts.waiting(text))

    def set_arm(self, arm: Arm) -> None:
        """Show an arm from now on, in the place of the one before."""
        gui = self._server.gui
        self._server.scene.reset()
        for folder in self._folders:
            folder.remove()
        self._arm = arm
        self._sent.clear()
        self._scene = ArmScene(self._server, arm)
        self._marker = GoalMarker(self._server, arm.goal_low.tolist(), arm.goal_high.tolist())
        self._hint = NO_POLICY if self._allow_goals else NOT_ALLOWED
        names = ("Goal", "Joints", "Events", "Last 10 seconds", "Training")
        self._folders = [gui.add_folder(name, visible=name != "Training") for name in names]
        goal, joints, self._events_folder, plots, self._training_folder = self._folders
        with goal:
            self._goal = gui.add_html("")
            self._drag = gui.add_checkbox(
                "drag the goal", False, visible=False, hint="A dragged goal moves the arm."
            )
        with joints:
            self._joints = gui.add_html("")
        with self._events_folder:
            self._events = gui.add_html("")
        with plots:
            self._last_seconds = LastSeconds(gui, arm, self._rate)
        with self._training_folder:
            self._training = gui.add_html("")
            self._curves = TrainingCurves(gui)

    def set_policy(self, state: ViewState, drag: bool) -> None:
        """Take the goals of a policy; ``drag``: whether they can be dragged from the start."""
        assert state.spec is not None
        self._marker.set_spec(state.spec.goal)
        if self._allow_goals:
            self._drag.visible = True
            self._drag.value = drag

    def take_goal(self) -> Array | None:
        """Return the goal [k] that somebody has dragged since the last call."""
        return self._marker.take() if self._arm is not None else None

    @property
    def marker(self) -> GoalMarker:
        """The goal in the scene."""
        return self._marker

    def show(self, now: float, state: ViewState) -> None:
        """Show a state at ``now``, s, if an arm is known."""
        if self._arm is None:
            return
        self._calls += 1
        self._last_seconds.add(now, state)
        can_drag = self._allow_goals and state.spec is not None
        if can_drag:
            self._hint = CAN_DRAG if self._drag.value else SWITCHED_OFF
        with self._server.atomic():
            self._marker.draggable = can_drag and bool(self._drag.value)
            if state.position is not None:
                self._scene.pose(state.position)
            if state.goal is not None:
                self._marker.show(state.goal)
            if self._calls % _WORDS_EVERY == 1:
                self._show_words(now, state, self._arm)

    def _show_words(self, now: float, state: ViewState, arm: Arm) -> None:
        self._set(self._status, texts.status(arm.name, state))
        self._set(self._goal, texts.goal(state, self._marker.refusal, self._hint))
        self._set(self._joints, joint_bars(arm, state))
        self._set(self._events, texts.events(state.events))
        self._last_seconds.draw(now)
        if state.progress is not None and self._calls % _CURVES_EVERY == 1:
            if not self._training_folder.visible:
                self._training_folder.visible = True
                self._events_folder.visible = bool(state.events)
            self._set(self._training, texts.training(state.progress))
            self._curves.draw(state.progress.curves)

    def _set(self, place: viser.GuiHtmlHandle, html: str) -> None:
        """Send a piece of HTML where it is another one than that which stands there."""
        if self._sent.get(id(place)) != html:
            self._sent[id(place)] = html
            place.content = html


def distance_to(arm: Arm, position: Array, goal: Array) -> float:
    """The end effector's distance to a goal [k], m."""
    return float(np.linalg.norm(arm.chain.forward(position) - goal[:3]))
