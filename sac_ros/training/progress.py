# SPDX-License-Identifier: Apache-2.0
"""How a run is doing: for the terminal, for TensorBoard, for a CSV file, for ROS."""

from __future__ import annotations

import contextlib
import csv
import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from sac_ros.sac.agent import Metrics
from sac_ros.training.config import QualityBar
from sac_ros.training.evaluation import Evaluation
from sac_ros.utils.atomic_write import atomic_write
from sac_ros.utils.heartbeat import INTERVAL_S, printed, repeat_with

SUSTAINED = 3  # evaluations in a row that must reach a threshold


@dataclass(frozen=True)
class Progress:
    """A moment of a training run."""

    env_steps: int = 0
    total_steps: int = 0
    updates: int = 0
    learning_seconds: float = 0.0
    steps_per_second: float = 0.0
    updates_per_second: float = 0.0
    seconds_left: float = 0.0
    episode_return: float = 0.0  # mean of the latest training episodes
    episode_success: float = 0.0  # fraction of them that ended within 5 cm
    held_out_success: float = 0.0  # of the latest evaluation, 5 cm
    phase: str = "starting"
    detail: str = ""  # how far the phase is


@dataclass(frozen=True)
class EvaluationPoint:
    """One point of the learning curve."""

    env_steps: int
    learning_seconds: float
    success_5cm: float
    success_2cm: float
    median_error_m: float
    p95_error_m: float
    mean_return: float
    rms_torque_step: float = math.nan  # N·m; unknown in checkpoints from before it was kept
    torque_power_above_10hz: float = math.nan  # fraction; likewise

    @classmethod
    def of(cls, env_steps: int, learning_seconds: float, result: Evaluation) -> EvaluationPoint:
        """The point that an evaluation adds."""
        return cls(
            env_steps,
            learning_seconds,
            result.success_rate(0.05),
            result.success_rate(0.02),
            result.median_error_m,
            result.p95_error_m,
            result.mean_return,
            result.rms_torque_step,
            result.torque_power_above_10hz,
        )


class _Lines:
    """Stderr for a bar where no terminal shows it: a line each time, in place of the same one.

    `ros2 launch` and `docker logs` show what ends with a new line only.
    """

    def write(self, text: str) -> None:
        if line := text.strip("\r\n "):
            sys.stderr.write(f"{line}\n")
            printed()

    def flush(self) -> None:
        sys.stderr.flush()


def bar_file() -> Any:
    """Where tqdm writes a bar: stderr, line by line where that is no terminal."""
    return sys.stderr if sys.stderr.isatty() else _Lines()


class ProgressBar:
    """A line on stderr: steps, success, return and time left."""

    def __init__(self, total_steps: int, first_step: int = 0) -> None:
        """Starts at `first_step`; in a log file it writes a line every two seconds."""
        terminal = sys.stderr.isatty()
        self._bar = tqdm(
            total=total_steps,
            initial=first_step,
            unit="step",
            unit_scale=True,
            file=bar_file(),
            mininterval=0.2 if terminal else INTERVAL_S,
            miniters=1,  # tqdm's own guess would keep quiet while the learning slows down
            dynamic_ncols=True,
            bar_format="{desc}{percentage:3.0f}% |{bar:20}| {n_fmt}/{total_fmt} steps "
            "[{elapsed}<{remaining}]{postfix}",
        )
        repeat_with(self._bar.refresh)

    def show(self, progress: Progress, *, at_once: bool = False) -> None:
        """Moves the bar to `progress`; `at_once`: also where the last line is not old enough."""
        self._bar.set_postfix_str(
            f"{progress.phase}{progress.detail and ' ' + progress.detail}, "
            f"held-out success {progress.held_out_success:4.0%}, "
            f"training {progress.episode_success:4.0%}, return {progress.episode_return:7.1f}",
            refresh=False,
        )
        self._bar.update(min(progress.env_steps, progress.total_steps) - self._bar.n)
        if at_once:
            self._bar.refresh()
        if sys.stderr.isatty():
            printed()

    def close(self) -> None:
        """Leaves the bar as it stands."""
        repeat_with(None)
        self._bar.close()


def say(line: str) -> None:
    """Prints a line on stderr, above the progress bar if there is one."""
    printed(line)
    tqdm.write(line, file=sys.stderr)


class Records:
    """Writes a run's figures to TensorBoard and its learning curve to `evaluations.csv`.

    Tags are those of stable-baselines3, so that runs of both compare in one TensorBoard. A disk
    that is full costs figures, reported in a line, and not the training.
    """

    def __init__(self, directory: Path, points: list[EvaluationPoint], env_steps: int = 0) -> None:
        """Goes on after `points`, and from `env_steps`, those of a resumed run.

        TensorBoard leaves out what a killed run wrote after the checkpoint that is resumed.
        """
        self._csv = directory / "evaluations.csv"
        self._writer: SummaryWriter | None = SummaryWriter(
            str(directory), flush_secs=10, purge_step=env_steps or None
        )
        self.points = points

    def add_progress(self, progress: Progress, metrics: Metrics | None) -> None:
        """Scalars of training episodes, of speed and of the last update."""
        scalars = {
            "rollout/ep_rew_mean": progress.episode_return,
            "rollout/success_rate": progress.episode_success,
            "time/fps": progress.steps_per_second,
            "time/updates_per_second": progress.updates_per_second,
        }
        if metrics is not None:
            scalars |= {
                "train/critic_loss": metrics.q_loss.item(),
                "train/actor_loss": metrics.policy_loss.item(),
                "train/value_loss": metrics.value_loss.item(),
                "train/ent_coef": metrics.temperature.item(),
                "train/entropy": metrics.entropy.item(),
                "train/q_mean": metrics.q_mean.item(),
            }
        self._add_scalars(scalars, progress.env_steps)

    def add_evaluation(self, point: EvaluationPoint) -> None:
        """A point of the learning curve."""
        self.points.append(point)
        scalars = {
            "eval/success_rate": point.success_5cm,
            "eval/success_rate_2cm": point.success_2cm,
            "eval/median_error_m": point.median_error_m,
            "eval/mean_reward": point.mean_return,
            "eval/rms_torque_step": point.rms_torque_step,
            "eval/torque_power_above_10hz": point.torque_power_above_10hz,
        }
        self._add_scalars(scalars, point.env_steps)
        try:
            self._write_csv()
        except OSError as error:  # the next evaluation writes this point too
            say(f"{self._csv.name} could not be written: {error}")

    def add_torques(self, torques: Mapping[str, Any], step: int) -> None:
        """Histograms of each joint's torques [m] in an evaluation, as fractions of its limit."""
        self._write(
            lambda writer: [
                writer.add_histogram(f"eval_torque/{joint}", values, step)
                for joint, values in torques.items()
            ]
        )

    def add_film(self, film: bytes, size: tuple[int, int], step: int) -> None:
        """A GIF of the arm reaching; TensorBoard plays it among its images."""
        width, height = size
        image = Summary.Image(width=width, height=height, colorspace=3, encoded_image_string=film)
        summary = Summary(value=[Summary.Value(tag="eval/reaching", image=image)])
        self._write(lambda writer: writer.file_writer.add_summary(summary, step))

    def flush(self) -> None:
        """Writes what is buffered."""
        self._write(lambda writer: writer.flush())

    def seconds_to(self, success: float) -> float | None:
        """Learning seconds until `success` within 5 cm was reached and sustained, None if never.

        Sustained: the two evaluations that follow reach it too. Dips are real, so a single lucky
        evaluation does not count.
        """
        reached = [point.success_5cm >= success for point in self.points]
        for index, point in enumerate(self.points):
            if all(reached[index : index + SUSTAINED]):
                return point.learning_seconds
        return None

    @property
    def solved(self) -> bool:
        """Whether the last evaluations all reached 95 %."""
        latest = self.points[-SUSTAINED:]
        return len(latest) == SUSTAINED and all(point.success_5cm >= 0.95 for point in latest)

    def is_good(self, bar: QualityBar) -> bool:
        """Whether the last evaluations all reached precision and success of `bar`."""
        latest = self.points[-SUSTAINED:]
        return len(latest) == SUSTAINED and all(
            point.success_2cm >= bar.success_rate and point.median_error_m <= bar.median_error_m
            for point in latest
        )

    def close(self) -> None:
        """Flushes what is still buffered."""
        if self._writer is not None:
            with contextlib.suppress(OSError):
                self._writer.close()

    def _add_scalars(self, scalars: dict[str, float], step: int) -> None:
        self._write(
            lambda writer: [writer.add_scalar(tag, value, step) for tag, value in scalars.items()]
        )

    def _write(self, action: Callable[[Any], object]) -> None:
        if self._writer is None:
            return
        try:
            action(self._writer)
        except OSError as error:  # its thread has ended, so it would fail from now on
            self._writer = None
            say(f"TensorBoard's events can no longer be written: {error}")

    def _write_csv(self) -> None:
        with (
            atomic_write(self._csv) as partial,
            partial.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, list(asdict(self.points[0])))
            writer.writeheader()
            writer.writerows(asdict(point) for point in self.points)
