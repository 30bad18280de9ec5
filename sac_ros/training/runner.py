# SPDX-License-Identifier: Apache-2.0
"""A training run from its configuration to its policy file."""

from __future__ import annotations

import dataclasses
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sac_ros.policy.runtime import Policy
from sac_ros.sac.agent import SacAgent
from sac_ros.sim.registration import environment_id
from sac_ros.sim.vector_env import ArmVectorEnv
from sac_ros.training.best_actor import BestActor
from sac_ros.training.checkpoints import keep_checkpoint, newest_whole
from sac_ros.training.config import TrainConfig
from sac_ros.training.evaluation import HELD_OUT_SEED, ROWS, Evaluation, evaluate
from sac_ros.training.final_report import FinalReport
from sac_ros.training.hindsight import HindsightRelabeler
from sac_ros.training.n_step import NStep
from sac_ros.training.numpy_actor import ActorShape, NumpyActor
from sac_ros.training.policy_file import write_policy
from sac_ros.training.progress import EvaluationPoint, Progress, ProgressBar, Records, say
from sac_ros.training.replay_buffer import Experience, ExperienceShape
from sac_ros.training.replay_sampler import ReplaySampler
from sac_ros.training.requests import Requests
from sac_ros.training.resume import pack, unpack
from sac_ros.training.run_directory import RunDirectory
from sac_ros.training.sources import (
    CollectorError,
    CollectorSetup,
    InProcessSource,
    WorkerSource,
)
from sac_ros.training.training_loop import UPDATES_PER_BLOCK, LoopState, TrainingLoop

GOAL_POOL = 4096  # goals that replayed transitions are given in hindsight
_RECORD_INTERVAL = 1.0  # s, between TensorBoard scalars
_PAUSE_POLL = 0.02  # s


@dataclass(frozen=True)
class Outcome:
    """What a finished run has to show."""

    policy: Path
    evaluation: Evaluation
    env_steps: int
    learning_seconds: float


class TrainingSession:
    """One training run. `run` does the work in the calling thread.

    `stop`, `pause`, `save_checkpoint`, `export_policy` and `evaluate` may be called from another
    thread: they take effect between two blocks of updates.
    """

    def __init__(self, config: TrainConfig, run: RunDirectory) -> None:
        """Makes every part and starts the collector.

        Raises:
            ConfigurationError: the checkpoints to resume from are missing, torn or of another run.
        """
        # The learner and the collector share the cores, a thread each.
        torch.set_num_threads(1)
        self.config = config
        self.directory = run
        self.progress = Progress(total_steps=config.total_steps)
        self._stopped = threading.Event()
        self._pause_wanted = threading.Event()
        self._requests = Requests()

        saved = newest_whole(run.path, say) if config.resume else None
        self.env = self._make_env(min(ROWS, config.evaluation_episodes))
        torch.manual_seed(config.seed)
        rng = np.random.default_rng([config.seed, 0])
        size, n = self.env.task.size, self.env.arm.joints
        self.agent = SacAgent(size, n, config.sac, config.device)
        actor_shape = ActorShape.of(
            size, n, config.sac.hidden_sizes, (config.sac.log_std_min, config.sac.log_std_max)
        )
        self.experience = Experience(
            ExperienceShape(self._capacity(), size, n, actor_shape.parameters)
        )
        self._best = BestActor(self.agent.averaged_actor)
        state = LoopState()
        points: list[EvaluationPoint] = []
        if saved is not None:
            state, points = unpack(saved, config, self.agent, self.experience, rng, self._best)
        self._actor = NumpyActor(actor_shape)
        tips = self.env.samplers[0].draw(np.random.default_rng([config.seed, 3]), GOAL_POOL)[1]
        goals = self.env.task.goal_at(tips)
        replay = ReplaySampler(
            self.experience,
            rng,
            relabel=HindsightRelabeler(
                self.env.task,
                goals.astype(np.float32),
                config.relabel_probability,
                config.near_probability,
            ),
            n_step=NStep(config.sac.n_step, config.sac.gamma, stride=config.environments),
        )
        self._rng = rng
        self._source = self._start_source(actor_shape)
        self.loop = TrainingLoop(
            self.agent, replay, self._source, total_steps=config.total_steps, state=state
        )
        self.loop.publish_actor()
        self.records = Records(run.path, points)

    # ---- for other threads -------------------------------------------------------------------

    def stop(self) -> None:
        """Ends `run` after the present update, with a checkpoint."""
        self._stopped.set()

    def pause(self, wanted: bool) -> None:
        """Makes learning and collecting stand still, or go on."""
        if wanted:
            self._pause_wanted.set()
        else:
            self._pause_wanted.clear()

    def request(self, action: Callable[[], Any]) -> Future[Any]:
        """Has `run` call `action` between two blocks; gives a future of its result.

        Once the learning has ended the future holds a SacRosError instead.
        """
        return self._requests.submit(action)

    def latest_state(self) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]] | None:
        """Position [n] rad, velocity [n] rad/s and goal [k] of one arm in training, if any."""
        steps, environments = self.experience.env_steps, self.config.environments
        if steps < environments:
            return None
        # Rows of the environments take turns: this is the newest of the first one.
        row = (steps - 1) // environments * environments % self.experience.shape.capacity
        goal = self.env.task.goal(self.experience.next_observation[row]).copy()
        return self.experience.joint_position[row].copy(), self._velocities(row), goal

    def _velocities(self, rows: Any) -> NDArray[Any]:
        """Joint velocities [..., n] rad/s after the transitions in `rows`."""
        columns = self.env.task.columns("joint_velocity")
        scaled = self.experience.next_observation[rows][..., columns]
        return np.asarray(scaled * self.env.arm.velocity_limit)

    # ---- the run -------------------------------------------------------------------------------

    def run(self) -> Outcome | None:
        """Learns to the end and reports; None when stopped before, with a checkpoint left."""
        bar = ProgressBar(self.config.total_steps, self.loop.state.env_steps)
        try:
            finished = self._learn(bar)
            self._requests.end()
            self._set_phase("saving")
            # The collector goes on until told otherwise, and would write into what is being saved.
            self._source.pause()
            self._save_if_possible()
            self._set_phase("reporting")
            outcome = self._report(bar) if finished else None
            if outcome is None:
                newest = self.directory.checkpoints[:1]
                say(f"stopped; the checkpoint is {newest[0]}" if newest else "stopped")
            return outcome
        except CollectorError:
            # Nobody writes any more, and what was learned is whole.
            self._save_if_possible()
            raise
        finally:
            self._requests.end()
            bar.close()
            self.close()

    def close(self) -> None:
        """Ends the collector and the simulation. Calling it twice does nothing."""
        self._source.close()
        self.records.close()
        self.env.close()

    def save_checkpoint(self) -> Path:
        """Writes everything that `resume` needs; returns where.

        In one process the episodes in flight end here, and new ones begin from a seed that follows
        from the steps, as they do in a run that is resumed from here: both go on alike.

        Raises:
            OSError: it could not be written; the checkpoints before it are untouched.
        """
        content = pack(
            self.config,
            self.agent,
            self.experience,
            self._rng,
            self.loop.state,
            self.records.points,
            self._best,
        )
        path = keep_checkpoint(self.directory.path, content, self.config.keep_checkpoints)
        self._source.reset_episodes(self._collector_seed())
        return path

    def export_policy(self) -> Path:
        """Evaluates the averaged actor, writes the best so far as the run's policy file.

        Returns where.
        """
        self._evaluate(lambda: False)
        self._write_policy()
        return self.directory.policy

    def evaluate(self) -> Evaluation | None:
        """Evaluates the averaged actor on the held-out goals; None when stopped meanwhile."""
        return self._evaluate(self._stopped.is_set)

    def _save_if_possible(self) -> None:
        """A full disk must not end a training: memory still holds all that was learned."""
        try:
            self.save_checkpoint()
        except OSError as error:
            older = self.directory.checkpoints[:1]
            kept = f"the latest is still {older[0].name}" if older else "there is none yet"
            say(f"no checkpoint could be written, {kept}: {error}")

    def _learn(self, bar: ProgressBar) -> bool:
        state, config = self.loop.state, self.config
        started, first_step = time.perf_counter(), state.env_steps
        if not self.directory.checkpoints:
            # So that a kill at any moment leaves something. The collector has not been let go yet.
            self._save_if_possible()
        next_evaluation = self._next_evaluation(state.env_steps)
        next_checkpoint = _next_multiple(config.checkpoint_interval, state.env_steps)
        next_record = 0.0
        self._set_phase("training")
        while state.env_steps < config.total_steps:
            self._requests.serve(self._standing_still)
            self._wait_while_paused()
            if not self.loop.run_block(self._stopped.is_set) or self._stopped.is_set():
                return False
            elapsed = time.perf_counter() - started
            self._update_progress(elapsed, state.env_steps - first_step)
            bar.show(self.progress)
            if elapsed >= next_record:
                self.records.add_progress(self.progress, state.metrics)
                next_record = elapsed + _RECORD_INTERVAL
            if state.env_steps >= next_evaluation:
                self._evaluate_and_record()
                next_evaluation = self._next_evaluation(state.env_steps)
            if state.env_steps >= next_checkpoint:
                self._standing_still(self._save_if_possible)
                next_checkpoint = _next_multiple(config.checkpoint_interval, state.env_steps)
        return True

    def _report(self, bar: ProgressBar) -> Outcome | None:
        state = self.loop.state
        if self._evaluate(self._stopped.is_set) is None:
            return None
        policy = self._write_policy()
        report = FinalReport(self.directory, self.config, self.records, state)
        result = report.write(
            policy, self.env, lambda: self._make_env(1, "rgb_array"), self._stopped.is_set
        )
        if result is None:
            return None
        bar.close()
        sys.stdout.write(f"{report.text(result)}\n")
        sys.stdout.flush()
        return Outcome(self.directory.policy, result, state.env_steps, state.learning_seconds)

    def _write_policy(self) -> Policy:
        state, best = self.loop.state, self._best
        assert best.evaluation is not None, "what is written has been evaluated"
        rows = np.unique(np.linspace(0, max(self.experience.size - 1, 0), 20_000).astype(int))
        return write_policy(
            self.directory.policy,
            actor=best.actor,
            env=self.env,
            config=self.config,
            joint_positions=self.experience.joint_position[rows],
            joint_velocities=self._velocities(rows),
            env_steps=state.env_steps,
            actor_env_steps=best.env_steps,
            learning_seconds=state.learning_seconds,
            evaluation=best.evaluation,
        )

    # ---- parts ---------------------------------------------------------------------------------

    def _make_env(self, number: int, render_mode: str | None = None) -> ArmVectorEnv:
        return ArmVectorEnv(number, render_mode=render_mode, **self._env_arguments())

    def _env_arguments(self) -> dict[str, Any]:
        config = self.config
        names = ("arm", "base_link", "tip_link", "task", "backend")
        named = {name: getattr(config, name) for name in names}
        return {**named, **dataclasses.asdict(config.env)}

    def _capacity(self) -> int:
        # Room for what the collector writes ahead of the last block.
        sac = self.config.sac
        ahead = 2000 + round(4 * UPDATES_PER_BLOCK / sac.updates_per_step)
        return min(sac.replay_capacity, max(self.config.total_steps, sac.learning_starts) + ahead)

    def _start_source(self, shape: ActorShape) -> InProcessSource | WorkerSource:
        setup = CollectorSetup(
            environment_id=environment_id(self.config.task),
            environment_arguments=self._env_arguments(),
            environments=self.config.environments,
            actor_shape=shape,
            warm_up_steps=self.config.warm_up_steps,
            random_steps=self.config.sac.learning_starts,
            early_steps=self.config.early_steps,
            early_episode_steps=round(
                self.config.early_episode_seconds * self.config.env.control_rate_hz
            ),
            continue_probability=self.config.continue_probability,
            seed=self._collector_seed(),
        )
        source = WorkerSource if self.config.worker else InProcessSource
        return source(setup, self.experience)

    def _collector_seed(self) -> int:
        """Follows from the steps: a resumed run must not meet the episodes of its start again."""
        return self.config.seed + 7919 * self.experience.env_steps

    def _wait_while_paused(self) -> None:
        if not self._pause_wanted.is_set():
            return
        self._source.pause()
        self._set_phase("paused")
        while self._pause_wanted.is_set() and not self._stopped.is_set():
            self._requests.serve(self._standing_still)
            time.sleep(_PAUSE_POLL)
        self._set_phase("training")
        self._source.resume()

    def _standing_still(self, action: Callable[[], Any]) -> Any:
        """Calls `action` while the collector writes nothing and gains no head start."""
        # Not by what is wanted: a pause may be asked for while the collector still writes.
        if self.experience.paused:
            return action()
        self._source.pause()
        try:
            return action()
        finally:
            self._source.resume()

    def _next_evaluation(self, env_steps: int) -> int:
        interval = self.config.evaluation_interval * (5 if self.records.solved else 1)
        return _next_multiple(interval, env_steps)

    def _evaluate_and_record(self) -> None:
        self._set_phase("evaluating")
        result: Evaluation | None = self._standing_still(self.evaluate)
        if result is not None:
            state = self.loop.state
            self.records.add_evaluation(
                EvaluationPoint.of(state.env_steps, state.learning_seconds, result)
            )
            self.progress = dataclasses.replace(
                self.progress, held_out_success=result.success_rate(0.05)
            )
        self._set_phase("training")

    def _evaluate(self, interrupted: Callable[[], bool]) -> Evaluation | None:
        self._actor.load(self.agent.averaged_parameters.to_numpy())
        result = evaluate(
            self.env,
            lambda observations, _: (None, self._actor.deterministic(observations)),
            episodes=self.config.evaluation_episodes,
            seed=HELD_OUT_SEED,
            interrupted=interrupted,
        )
        if result is not None:
            self._best.offer(self.agent.averaged_actor, result, self.loop.state.env_steps)
        return result

    def _update_progress(self, elapsed: float, steps: int) -> None:
        state = self.loop.state
        episodes = self.experience.recent_episodes(40)
        rate = steps / elapsed if elapsed > 0 else 0.0
        left = max(0, self.config.total_steps - state.env_steps)
        self.progress = dataclasses.replace(
            self.progress,
            env_steps=state.env_steps,
            updates=state.updates,
            learning_seconds=state.learning_seconds,
            steps_per_second=rate,
            updates_per_second=rate * self.config.sac.updates_per_step,
            seconds_left=left / rate if rate > 0 else 0.0,
            episode_return=float(episodes[:, 0].mean()) if len(episodes) else 0.0,
            episode_success=float(np.mean(episodes[:, 1] < 0.05)) if len(episodes) else 0.0,
        )

    def _set_phase(self, phase: str) -> None:
        self.progress = dataclasses.replace(self.progress, phase=phase)


def _next_multiple(interval: int, steps: int) -> int:
    """Of a run's steps from its start, so that a resumed run keeps to those of the first."""
    return (steps // interval + 1) * interval
