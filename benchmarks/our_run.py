# SPDX-License-Identifier: Apache-2.0
"""Our own training until the task is solved."""

from __future__ import annotations

import tempfile
import threading
from dataclasses import replace

from benchmarks.learning_curve import LearningCurve, Point
from sac_ros.training.config import TrainConfig
from sac_ros.training.run_directory import find_run_directory
from sac_ros.training.runner import TrainingSession

_POLL = 0.1  # s


def our_name(config: TrainConfig) -> str:
    """What a run is called: by its variant, the one of Haarnoja et al. 2018b going without."""
    return "sac_ros, value network" if config.sac.value_function else "sac_ros"


def our_run(config: TrainConfig) -> LearningCurve:
    """Trains as `make train` does, until solved or to the end of the run.

    The clock is the session's `learning_seconds`: collecting, learning and the start of the
    collector's process, without imports and evaluations.
    """
    with tempfile.TemporaryDirectory() as directory:
        config = replace(
            config, directory=directory, name="run", record_video=False, robustness_episodes=0
        )
        session = TrainingSession(config, find_run_directory(config))
        ended = threading.Event()

        def stop_when_solved() -> None:
            while not ended.wait(_POLL):
                if _curve(session).solved:
                    session.stop()

        watch = threading.Thread(target=stop_when_solved, name="watch", daemon=True)
        watch.start()
        try:
            session.run()
        finally:
            ended.set()
            watch.join()
        curve = _curve(session)
        if not curve.solved:
            curve.cut_at_seconds = session.state.loop.learning_seconds
        return curve


def _curve(session: TrainingSession) -> LearningCurve:
    points = [
        Point(each.learning_seconds, each.env_steps, each.success_5cm)
        for each in session.records.points
    ]
    return LearningCurve(our_name(session.config), session.config.seed, points)
