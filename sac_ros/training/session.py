# SPDX-License-Identifier: Apache-2.0
"""A training run from its configuration to its policy file."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sac_ros.collect.experience import Experience, ExperienceShape
from sac_ros.collect.numpy_actor import ActorShape, NumpyActor
from sac_ros.collect.source import CollectorSetup, InProcessSource, WorkerSource
from sac_ros.errors import SacRosError
from sac_ros.policy.runtime import Policy
from sac_ros.sac.agent import SacAgent
from sac_ros.sac.checkpoint import load_checkpoint, save_checkpoint
from sac_ros.sac.replay import Replay
from sac_ros.sac.training_loop import UPDATES_PER_BLOCK, LoopState, TrainingLoop
from sac_ros.sim.arm_env import ArmEnv
from sac_ros.training.config import TrainConfig
from sac_ros.training.evaluation import (
    HELD_OUT_SEED,
    Controller,
    Evaluation,
    evaluate,
    policy_controller,
)
from sac_ros.training.policy_file import write_policy
from sac_ros.training.progress import EvaluationPoint, Progress, ProgressBar, Records
from sac_ros.training.report import evaluation_table, save_learning_curve, save_reaching
from sac_ros.training.resume import pack, unpack
from sac_ros.training.run_directory import RunDirectory

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
            ConfigurationError: the checkpoint to resume is missing, torn or of another run.
        """
        # The learner and the collector share the cores, a thread each.
        torch.set_num_threads(1)
        self.config = config
        self.directory = run
        self.progress = Progress(total_steps=config.total_steps)
        self._stopped = threading.Event()
        self._pause_wanted = threading.Event()
        self._requests: SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = SimpleQueue()

        saved = load_checkpoint(run.checkpoint) if config.resume else None
        self.env = self._make_env()
        torch.manual_seed(config.seed)
        rng = np.random.default_rng([config.seed, 0])
        size, n = self.env.encoding.size, self.env.arm.joints
        self.agent = SacAgent(size, n, config.sac)
        actor_shape = ActorShape.of(
            size, n, config.sac.hidden_sizes, (config.sac.log_std_min, config.sac.log_std_max)
        )
        self.experience = Experience(
            ExperienceShape(self._capacity(), size, n, actor_shape.parameters)
        )
        state = LoopState()
        points: list[EvaluationPoint] = []
        if saved is not None:
            state, points = unpack(saved, config, self.agent, self.experience, rng)
        self._actor = NumpyActor(actor_shape)
        goals = self.env.postures.draw(np.random.default_rng([config.seed, 3]), GOAL_POOL)[1]
        replay = Replay(
            self.experience,
            rng,
            task=self.env.task,
            goals=goals.astype(np.float32),
            share=config.relabel_share,
        )
        self._rng = rng
        self._source = self._start_source(actor_shape, state.env_steps)
        self.loop = TrainingLoop(
            self.agent, replay, self._source, total_steps=config.total_steps, state=state
        )
        self.loop.publish_actor()
        self.records = Records(run.path, points)
        self._ended = threading.Event()

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
        future: Future[Any] = Future()
        self._requests.put((action, future))
        if self._ended.is_set():
            self._end_requests()
        return future

    def latest_state(self) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]] | None:
        """Position [n] rad, velocity [n] rad/s and goal [3] m of one arm in training, if any."""
        steps, environments = self.experience.env_steps, self.config.environments
        if steps < environments:
            return None
        # Rows of the environments take turns: this is the newest of the first one.
        row = (steps - 1) // environments * environments % self.experience.shape.capacity
        observation = self.experience.observation[row]
        encoding = self.env.encoding
        position = np.arctan2(
            observation[encoding.columns("joint_position_sin")],
            observation[encoding.columns("joint_position_cos")],
        )
        velocity = observation[encoding.columns("joint_velocity")] * self.env.arm.velocity_limit
        return position, velocity, observation[encoding.columns("goal")].copy()

    # ---- the run -------------------------------------------------------------------------------

    def run(self) -> Outcome | None:
        """Learns to the end and reports; None when stopped before, with a checkpoint left."""
        bar = ProgressBar(self.config.total_steps, self.loop.state.env_steps)
        try:
            finished = self._learn(bar)
            self._end_requests()
            self._set_phase("saving")
            # The collector goes on until told otherwise, and would write into what is being saved.
            self._source.pause()
            self.save_checkpoint()
            if finished:
                self._set_phase("reporting")
                return self._report(bar)
            bar.say(f"stopped; the checkpoint is {self.directory.checkpoint}")
            return None
        finally:
            self._end_requests()
            bar.close()
            self.close()

    def close(self) -> None:
        """Ends the collector and the simulation. Calling it twice does nothing."""
        self._source.close()
        self.records.close()
        self.env.close()

    def save_checkpoint(self) -> Path:
        """Writes everything that `resume` needs; returns where."""
        content = pack(
            self.config,
            self.agent,
            self.experience,
            self._rng,
            self.loop.state,
            self.records.points,
        )
        save_checkpoint(self.directory.checkpoint, content)
        return self.directory.checkpoint

    def export_policy(self) -> Path:
        """Evaluates the averaged actor and writes it as the run's policy file; returns where."""
        result = self._evaluate(lambda: False)
        assert result is not None, "an evaluation that nothing interrupts has a result"
        self._write_policy(result)
        return self.directory.policy

    def evaluate(self) -> Evaluation | None:
        """Evaluates the averaged actor on the held-out goals; None when stopped meanwhile."""
        return self._evaluate(self._stopped.is_set)

    def _learn(self, bar: ProgressBar) -> bool:
        state, config = self.loop.state, self.config
        started, first_step = time.perf_counter(), state.env_steps
        next_evaluation = self._next_evaluation(state.env_steps)
        next_checkpoint = state.env_steps + config.checkpoint_interval
        next_record = 0.0
        self._set_phase("training")
        while state.env_steps < config.total_steps:
            self._serve_requests()
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
                self._standing_still(self.save_checkpoint)
                next_checkpoint = state.env_steps + config.checkpoint_interval
        return True

    def _report(self, bar: ProgressBar) -> Outcome | None:
        state = self.loop.state
        averaged = self._evaluate(self._stopped.is_set)
        if averaged is None:
            bar.say(f"stopped; the checkpoint is {self.directory.checkpoint}")
            return None
        policy = self._write_policy(averaged)
        controller = policy_controller(policy, self.env)
        # The file itself, through onnxruntime: what the table says is true of what is shipped.
        result = evaluate(
            self.env,
            controller,
            episodes=self.config.evaluation_episodes,
            seed=HELD_OUT_SEED,
            interrupted=self._stopped.is_set,
        )
        if result is None:
            return None
        bar.close()
        self._write_results(result)
        save_learning_curve(
            self.records.points,
            self.directory.learning_curve,
            f"{self.config.arm}, seed {self.config.seed}",
        )
        bar.say(f"\n{self.directory.policy}\n{evaluation_table(result, self._time_rows())}\n")
        if self.config.record_video:
            self._record_video(controller)
        for path in sorted(self.directory.path.glob("*.*")):
            if not path.name.startswith("events."):
                bar.say(f"  {path}")
        return Outcome(self.directory.policy, result, state.env_steps, state.learning_seconds)

    def _record_video(self, controller: Controller) -> None:
        camera_env = self._make_env(render_mode="rgb_array")
        try:
            save_reaching(camera_env, controller, self.directory.video)
        finally:
            camera_env.close()

    def _write_policy(self, result: Evaluation) -> Policy:
        state = self.loop.state
        rows = np.linspace(0, max(self.experience.size - 1, 0), 20_000).astype(int)
        return write_policy(
            self.directory.policy,
            agent=self.agent,
            env=self.env,
            config=self.config,
            observations=self.experience.observation[np.unique(rows)],
            env_steps=state.env_steps,
            learning_seconds=state.learning_seconds,
            evaluation=result,
        )

    def _write_results(self, result: Evaluation) -> None:
        state = self.loop.state
        content = {
            **dataclasses.asdict(result),
            "seconds_to": {str(share): self.records.seconds_to(share) for share in _THRESHOLDS},
            "learning_seconds": state.learning_seconds,
            "env_steps": state.env_steps,
            "updates": state.updates,
        }
        partial = self.directory.evaluation.with_suffix(".partial")
        partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        partial.replace(self.directory.evaluation)

    def _time_rows(self) -> list[tuple[str, str]]:
        state = self.loop.state
        rows = []
        for share in _THRESHOLDS:
            seconds = self.records.seconds_to(share)
            value = "not reached" if seconds is None else f"{seconds:.1f} s of learning"
            rows.append((f"{share:.0%} within 5 cm after", value))
        rows.append(("learning", f"{state.learning_seconds:.1f} s"))
        rows.append(("env steps", f"{state.env_steps:,}"))
        rows.append(("updates", f"{state.updates:,}"))
        return rows

    # ---- parts ---------------------------------------------------------------------------------

    def _make_env(self, render_mode: str | None = None) -> ArmEnv:
        return ArmEnv(self.config.arm, render_mode=render_mode, **self._env_arguments())

    def _env_arguments(self) -> dict[str, Any]:
        return dataclasses.asdict(self.config.env)

    def _capacity(self) -> int:
        # Room for what the collector writes ahead of the last block.
        sac = self.config.sac
        ahead = 2000 + round(4 * UPDATES_PER_BLOCK / sac.updates_per_step)
        return min(sac.replay_capacity, self.config.total_steps + ahead)

    def _start_source(self, shape: ActorShape, steps: int) -> InProcessSource | WorkerSource:
        setup = CollectorSetup(
            environment_id="sac_ros/ArmReach-v0",
            environment_arguments={"arm": self.config.arm, **self._env_arguments()},
            environments=self.config.environments,
            actor_shape=shape,
            random_steps=self.config.sac.learning_starts,
            continue_share=self.config.continue_share,
            # A resumed run must not meet the episodes of its beginning again.
            seed=self.config.seed + 7919 * steps,
        )
        source = WorkerSource if self.config.worker else InProcessSource
        return source(setup, self.experience)

    def _serve_requests(self) -> None:
        while True:
            try:
                action, future = self._requests.get_nowait()
            except Empty:
                return
            try:
                future.set_result(self._standing_still(action))
            except Exception as error:  # the caller waits for it in another thread
                future.set_exception(error)

    def _end_requests(self) -> None:
        """Answers what nobody will serve any more, so that no caller waits for it."""
        self._ended.set()
        with contextlib.suppress(Empty):
            while True:
                _, future = self._requests.get_nowait()
                future.set_exception(SacRosError("the training has ended"))

    def _wait_while_paused(self) -> None:
        if not self._pause_wanted.is_set():
            return
        self._source.pause()
        self._set_phase("paused")
        while self._pause_wanted.is_set() and not self._stopped.is_set():
            self._serve_requests()
            time.sleep(_PAUSE_POLL)
        self._set_phase("training")
        self._source.resume()

    def _standing_still(self, action: Callable[[], Any]) -> Any:
        """Calls `action` while the collector writes nothing and gains no head start."""
        if self._pause_wanted.is_set():
            return action()
        self._source.pause()
        try:
            return action()
        finally:
            self._source.resume()

    def _next_evaluation(self, env_steps: int) -> int:
        interval = self.config.evaluation_interval * (5 if self.records.solved else 1)
        return (env_steps // interval + 1) * interval

    def _evaluate_and_record(self) -> None:
        self._set_phase("evaluating")
        result: Evaluation | None = self._standing_still(self.evaluate)
        if result is not None:
            state = self.loop.state
            self.records.add_evaluation(
                EvaluationPoint.of(state.env_steps, state.learning_seconds, result)
            )
            self.progress = dataclasses.replace(self.progress, held_out_success=result.success_5cm)
        self._set_phase("training")

    def _evaluate(self, interrupted: Callable[[], bool]) -> Evaluation | None:
        self._actor.load(self.agent.averaged_parameters.values.cpu().numpy())
        return evaluate(
            self.env,
            lambda observation, _: (None, self._actor.deterministic(observation[None])[0]),
            episodes=self.config.evaluation_episodes,
            seed=HELD_OUT_SEED,
            interrupted=interrupted,
        )

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


_THRESHOLDS = (0.5, 0.9, 0.95)
