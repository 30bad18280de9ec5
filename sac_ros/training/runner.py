# SPDX-License-Identifier: Apache-2.0
"""A training run from its configuration to its policy file."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from sac_ros.policy.runtime import Policy
from sac_ros.sim.vector_env import ArmVectorEnv
from sac_ros.training import parts
from sac_ros.training.callbacks import (
    Callback,
    Checkpoints,
    PeriodicEvaluation,
    ProgressLog,
    QualityStop,
    save_if_possible,
)
from sac_ros.training.checkpoint import keep_checkpoint, newest_whole
from sac_ros.training.checkpoint_copy import CheckpointCopies
from sac_ros.training.config import TrainConfig
from sac_ros.training.evaluation import HELD_OUT_SEED, ROWS, Episode, Evaluation, evaluate
from sac_ros.training.final_report import FinalReport, Outcome
from sac_ros.training.initial_policy import read_initial_policy
from sac_ros.training.numpy_actor import NumpyActor
from sac_ros.training.page.contents import Measured
from sac_ros.training.policy_file import write_policy
from sac_ros.training.process import prepare_process
from sac_ros.training.progress import Progress, Records, say
from sac_ros.training.requests import Requests
from sac_ros.training.run_directory import RunDirectory
from sac_ros.training.sources import CollectorError
from sac_ros.training.training_loop import TrainingLoop
from sac_ros.training.watching import Watching, save_page

_PAUSE_POLL = 0.02  # s


class TrainingSession:
    """One training run. `run` does the work in the calling thread.

    `stop`, `pause` and `request` may be called from another thread: they take effect between two
    blocks of updates. So `save_checkpoint`, `export_policy` and `evaluate` are requested.
    """

    def __init__(self, config: TrainConfig, run: RunDirectory) -> None:
        """Makes every part, starts the collector and makes the directory of a new run.

        Raises:
            ConfigurationError: the arm, its backend or its goals are refused, the directory cannot
                be made, or the checkpoints to resume from are missing, torn or of another run.
        """
        prepare_process()
        self.config = config
        self.directory = run
        self.progress = Progress(total_steps=config.total_steps)
        self.outcome: Outcome | None = None
        self.measured = Measured()
        self.ended = f"total_steps, {config.total_steps:,}"
        self._good = False
        self._stopped = threading.Event()
        self._pause_wanted = threading.Event()
        self._requests = Requests()

        say(f"making the worlds of {config.arm}, in {config.backend}")
        self.env = parts.make_env(config, min(ROWS, config.evaluation_episodes))
        relabel = parts.make_relabeler(config, self.env)
        self.shared = parts.make_memory(config, self.env)
        self.state = parts.make_state(config, self.env, self.shared)
        self._copies = (
            CheckpointCopies(config.checkpoint_copy, run.path, config.keep_checkpoints)
            if config.checkpoint_copy
            else None
        )
        self._actor = NumpyActor(parts.actor_shape(config, self.env))
        if config.resume:
            self.state.restore(newest_whole(run.path, say), config)
        elif config.initial_policy:
            self.state.begin_with(read_initial_policy(config, self.env))
        self.progress = self._restored_progress()
        begun = bool(self.state.began_with)
        first = (config.critics_first_steps, config.critics_first_updates)
        say("starting the collector")
        sampler = parts.make_sampler(config, self.env, self.state, relabel)
        run.make(config)
        self._source = parts.start_source(config, self.env, self.shared, begun=begun)
        self.loop = TrainingLoop(
            self.state.agent,
            sampler,
            self._source,
            total_steps=config.total_steps,
            critics_first=first if begun else None,
            first_progress=parts.BEGUN_PROGRESS if begun else 0.0,
            state=self.state.loop,
        )
        self.loop.publish_actor()
        self.records = Records(run.path, self.state.points, self.state.loop.env_steps)
        self.callbacks: list[Callback] = [
            *(ProgressLog(self.records), PeriodicEvaluation(), QualityStop()),
            *(Checkpoints(), Watching(), FinalReport()),
        ]

    # ---- for other threads -------------------------------------------------------------------

    def stop(self) -> None:
        """Ends `run` after the present update, with a checkpoint."""
        self._stopped.set()

    def is_stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stopped.is_set()

    def pause(self, wanted: bool) -> None:
        """Makes learning and collecting stand still, or go on."""
        change = self._pause_wanted.set if wanted else self._pause_wanted.clear
        change()

    def request(self, action: Callable[[], Any]) -> Future[Any]:
        """Has `run` call `action` between two blocks; gives a future of its result.

        Once the learning has ended the future holds a SacRosError instead.
        """
        return self._requests.submit(action)

    def latest_state(self) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]] | None:
        """Position [n] rad, velocity [n] rad/s and goal [k] of one arm in training, if any."""
        replay, environments = self.state.replay, self.config.environments
        if replay.env_steps < environments:
            return None
        # Rows of the environments take turns: this is the newest of the first one.
        row = (replay.env_steps - 1) // environments * environments % replay.capacity
        task = self.env.task
        goal = task.recognised(task.goal(replay.next_observation[row]).astype(np.float64))
        return replay.joint_position[row].copy(), self._velocities(row), goal

    # ---- the run -----------------------------------------------------------------------------

    def run(self) -> Outcome | None:
        """Learns to the end and reports; None when stopped before, with a checkpoint left."""
        try:
            finished = self._learn()
            self._requests.end()
            # The collector goes on until it is stopped, and would write into what is being saved.
            self._source.pause()
            for each in self.callbacks:
                each.on_end(self, finished)
            if self.outcome is None:
                newest = self.directory.checkpoints[:1]
                say(f"stopped; the checkpoint is {newest[0]}" if newest else "stopped")
            return self.outcome
        except CollectorError:
            # Nobody writes any more, and what was learned is whole.
            save_if_possible(self)
            save_page(self, "interrupted")
            raise
        finally:
            self._requests.end()
            self.close()

    def close(self) -> None:
        """Ends the collector and the simulation. Calling it twice does nothing."""
        self._source.close()
        for each in self.callbacks:
            each.close()
        self.env.close()

    def _learn(self) -> bool:
        """Whether it went to the end."""
        for each in self.callbacks:
            each.on_start(self)
        if self.state.loop.env_steps >= self.config.total_steps:
            say(
                f"all of total_steps, {self.config.total_steps:,}, are done: what is left is the "
                "report; a higher total_steps goes on"
            )
        self.set_phase(self.learning_phase)
        while self.state.loop.env_steps < self.config.total_steps and not self._good:
            self._requests.serve(self.standing_still)
            self._wait_while_paused()
            if not self.loop.run_block(self.is_stopped) or self.is_stopped():
                return False
            for each in self.callbacks:
                each.on_block(self)
        return True

    def _restored_progress(self) -> Progress:
        """Where the run begins: at nothing, or where the run that is resumed was."""
        loop, points = self.state.loop, self.state.points
        episode_return, episode_success = self.state.replay.recent_figures()
        return dataclasses.replace(
            self.progress,
            episode_return=episode_return,
            episode_success=episode_success,
            env_steps=loop.env_steps,
            updates=loop.updates,
            learning_seconds=loop.learning_seconds,
            held_out_success=points[-1].success_5cm if points else 0.0,
        )

    def _wait_while_paused(self) -> None:
        if not self._pause_wanted.is_set():
            return
        self._source.pause()
        self.set_phase("paused")
        while self._pause_wanted.is_set() and not self.is_stopped():
            self._requests.serve(self.standing_still)
            time.sleep(_PAUSE_POLL)
        self.set_phase(self.learning_phase)
        self._source.resume()

    # ---- for callbacks and requests ----------------------------------------------------------

    def finish(self, reason: str) -> None:
        """Ends the learning after this block, and reports; `reason` is in the report."""
        self._good, self.ended = True, reason

    def set_phase(self, phase: str) -> None:
        """What `progress` reports of it."""
        self.set_detail("", phase)

    def set_detail(self, detail: str, phase: str = "") -> None:
        """How far the phase is, such as `20 of 50 goals`."""
        phase = phase or self.progress.phase
        self.progress = dataclasses.replace(self.progress, phase=phase, detail=detail)
        for each in self.callbacks:
            each.on_phase(self)

    @property
    def learning_phase(self) -> str:
        """What kind of learning goes on: none yet, that of the critics alone, or all of it."""
        if self.state.loop.updates == 0:
            return "collecting"
        return "training" if self.loop.actor_learns else "training critics"

    def standing_still(self, action: Callable[[], Any]) -> Any:
        """Calls `action` while the collector writes nothing and gains no head start."""
        # Not by what was requested: a pause may be asked for while the collector still writes.
        if self.shared.control.paused:
            return action()
        self._source.pause()
        try:
            return action()
        finally:
            self._source.resume()

    def save_checkpoint(self) -> Path:
        """Writes everything that `resume` needs; returns where.

        In one process the episodes in flight end here, and new ones begin from a seed that follows
        from the steps, as they do in a run that is resumed from here: both go on alike.

        Raises:
            OSError: it could not be written; the checkpoints before it are untouched.
        """
        content = self.state.pack(self.config)
        path = keep_checkpoint(self.directory.path, content, self.config.keep_checkpoints)
        if self._copies is not None:
            try:
                self._copies.save(path)
            except OSError as error:  # the run has it still
                say(f"{path.name} could not be copied: {' '.join(str(error).split())}")
        self._source.reset_episodes(parts.collector_seed(self.config, self.state.replay.env_steps))
        return path

    def evaluate(self, interrupted: Callable[[], bool] | None = None) -> Evaluation | None:
        """Evaluates the averaged actor on the held-out goals; None when interrupted or stopped."""
        agent = self.state.agent
        self._actor.load(agent.averaged_parameters.to_numpy())
        result = evaluate(
            self.env,
            lambda observations, _: (None, self._actor.deterministic(observations)),
            episodes=self.config.evaluation_episodes,
            seed=HELD_OUT_SEED,
            interrupted=interrupted or self.is_stopped,
            progress=self.count_goals,
            keep=self.measured.episodes,
        )
        if result is not None:
            self.state.best.offer(agent.averaged_actor, result, self.state.loop.env_steps)
        return result

    def try_out(self, env: ArmVectorEnv, episodes: int) -> list[Episode]:
        """The averaged actor on the first held-out goals in `env`; empty when stopped."""
        self._actor.load(self.state.agent.averaged_parameters.to_numpy())
        found: list[Episode] = []
        evaluate(
            env,
            lambda observations, _: (None, self._actor.deterministic(observations)),
            episodes=episodes,
            seed=HELD_OUT_SEED,
            interrupted=self.is_stopped,
            keep=found,
        )
        return found

    def evaluate_best(self, hold_seconds: float) -> Evaluation | None:
        """Evaluates the best actor again, with a hold; None when stopped."""
        best = nn.utils.parameters_to_vector(self.state.best.actor.parameters())
        self._actor.load(best.detach().numpy())
        return evaluate(
            self.env,
            lambda observations, _: (None, self._actor.deterministic(observations)),
            episodes=self.config.evaluation_episodes,
            seed=HELD_OUT_SEED,
            hold_seconds=hold_seconds,
            interrupted=self.is_stopped,
            progress=self.count_goals,
        )

    def count_goals(self, done: int) -> None:
        """Reports how far an evaluation is."""
        self.set_detail(f"{done} of {self.config.evaluation_episodes} goals")

    def export_policy(self) -> Path:
        """Evaluates the averaged actor, writes the best so far as the run's policy file."""
        self.evaluate(lambda: False)
        return self.write_policy().path

    def write_policy(self, evaluation: Evaluation | None = None) -> Policy:
        """Writes the best actor so far as the run's policy file.

        `evaluation` is what the file has of it, in place of what it was chosen by.
        """
        loop, best, replay = self.state.loop, self.state.best, self.state.replay
        assert best.evaluation is not None, "what is written has been evaluated"
        rows = np.unique(np.linspace(0, max(replay.size - 1, 0), 20_000).astype(int))
        return write_policy(
            self.directory.policy,
            actor=best.actor,
            env=self.env,
            config=self.config,
            joint_positions=replay.joint_position[rows],
            joint_velocities=self._velocities(rows),
            env_steps=loop.env_steps,
            actor_env_steps=best.env_steps,
            began_with=self.state.began_with,
            learning_seconds=loop.learning_seconds,
            evaluation=evaluation or best.evaluation,
        )

    def _velocities(self, rows: Any) -> NDArray[Any]:
        """Joint velocities [..., n] rad/s after the transitions in `rows`."""
        columns = self.env.task.columns("joint_velocity")
        scaled = self.state.replay.next_observation[rows][..., columns]
        return np.asarray(scaled * self.env.arm.velocity_limit)
