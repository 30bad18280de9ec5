# SPDX-License-Identifier: Apache-2.0
"""Pictures of a run for who watches it: while it learns, and at its end."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from sac_ros.sim.rendering import Camera, Frame, caption, gif
from sac_ros.training.callbacks import Callback
from sac_ros.training.evaluation import Episode
from sac_ros.training.parts import make_env
from sac_ros.training.progress import say
from sac_ros.utils.atomic_write import atomic_write

if TYPE_CHECKING:
    from sac_ros.training.runner import TrainingSession

# A third of a second of one core for an evaluation that takes several.
_SIZE = (320, 268)  # px
_GOALS = 3  # that are shown
_SECONDS = 1.5  # of each
_FRAMES_PER_SECOND = 6.0
_EARLY_SECONDS = 2.0  # of an episode for such a picture
_EARLY_STEPS = 2_000  # environment steps after which a run without an evaluation is drawn


class Watching(Callback):
    """After every evaluation draws the arm reaching and the run's page, and names them once.

    The pictures are of the evaluation's own episodes: nothing is simulated for them. Where the
    first evaluation is late, the first picture is of a few short episodes before it.
    """

    def __init__(self) -> None:
        self._camera: Camera | None = None
        self._seen = 0
        self._described = False

    def on_start(self, run: TrainingSession) -> None:
        """A resumed run has points, and episodes only once it has evaluated."""
        self._seen = 0 if run.measured.episodes else len(run.records.points)
        self._draw_what_is_new(run)

    def on_block(self, run: TrainingSession) -> None:
        """Draws after the evaluation of this block, the collector standing still."""
        nothing_yet = not self._described and not run.records.points and run.config.record_video
        if nothing_yet and run.state.loop.env_steps >= _EARLY_STEPS:
            run.standing_still(lambda: self._draw_early(run))
        if len(run.records.points) != self._seen:
            run.standing_still(lambda: self._draw_what_is_new(run))

    def close(self) -> None:
        """Ends the camera."""
        if self._camera is not None:
            self._camera.close()
        self._camera = None

    def _draw_what_is_new(self, run: TrainingSession) -> None:
        if len(run.records.points) == self._seen:
            return
        self._seen = len(run.records.points)
        episodes, steps = run.measured.episodes, run.state.loop.env_steps
        run.set_phase("drawing")
        run.records.add_torques(
            dict(zip(run.env.arm.joint_names, _torques(run, episodes), strict=True)), steps
        )
        if run.config.record_video:
            self._draw_arm(run, episodes, steps)
        save_page(run, "learning")
        self._describe(run)
        run.set_phase(run.learning_phase)

    def _draw_early(self, run: TrainingSession) -> None:
        """Draws what has been learned so far, before anything was evaluated."""
        run.set_phase("drawing")
        own = run.config.env
        brief = dataclasses.replace(own, episode_seconds=min(own.episode_seconds, _EARLY_SECONDS))
        env = make_env(dataclasses.replace(run.config, env=brief), _GOALS)
        episodes = run.try_out(env, _GOALS)
        env.close()
        if episodes:
            self._draw_arm(run, episodes, run.state.loop.env_steps)
            save_page(run, "learning")
        self._describe(run)
        run.set_phase(run.learning_phase)

    def _describe(self, run: TrainingSession) -> None:
        """Names the pictures that there are, once."""
        seen = [run.directory.page, run.directory.video]
        there = " and ".join(str(path) for path in seen if path.is_file())
        if there and not self._described:
            say(f"the first pictures are in {there}; every evaluation draws them again")
        self._described = True

    def _draw_arm(self, run: TrainingSession, episodes: Sequence[Episode], steps: int) -> None:
        try:
            if self._camera is None:
                self._camera = Camera(run.env.arm, width=_SIZE[0], height=_SIZE[1])
            frames = reaching_frames(self._camera, episodes, run.env.control_rate_hz, steps)
            film = gif(frames, _FRAMES_PER_SECOND)
            with atomic_write(run.directory.video) as file:
                file.write_bytes(film)
        except Exception as error:  # no picture is worth a training
            say(f"{run.directory.video.name} could not be drawn: {error}")
        else:
            run.records.add_film(film, _SIZE, steps)


def reaching_frames(
    camera: Camera, episodes: Sequence[Episode], rate: float, env_steps: int
) -> list[Frame]:
    """Frames of the first seconds of the first episodes, [height, width, 3] each."""
    frames = []
    every = max(1, round(rate / _FRAMES_PER_SECOND))
    for number, each in enumerate(episodes[:_GOALS], start=1):
        title = f"step {env_steps:,}, goal {number}"
        for step in range(0, min(len(each.errors), round(_SECONDS * rate)), every):
            words = caption((step + 1) / rate, float(each.errors[step]), title)
            frame = camera.look(each.positions[step], each.goals[step], words)
            assert frame is not None, "it is no window"
            frames.append(frame)
    return frames


def save_page(run: TrainingSession, state: str) -> bool:
    """Writes `report.html`, or why not; `state`: `learning`, `interrupted` or `finished`."""
    # Imported here: no start of a run needs what pages are made of.
    from sac_ros.training.page.contents import contents_of  # noqa: PLC0415
    from sac_ros.training.page.page import run_html  # noqa: PLC0415

    try:
        run.records.flush()
        text = run_html(contents_of(run, state))
        with atomic_write(run.directory.page) as file:
            file.write_text(text, encoding="utf-8")
    except Exception as error:  # no report is worth a training
        say(f"{run.directory.page.name} could not be written: {error}")
        return False
    return True


def _torques(run: TrainingSession, episodes: Sequence[Episode]) -> list[np.ndarray]:
    """Torques [m] of each joint as fractions of its limit."""
    torques = np.concatenate([each.torques for each in episodes]) / run.env.arm.torque_limit
    return list(torques.T)
