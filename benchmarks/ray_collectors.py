# SPDX-License-Identifier: Apache-2.0
"""Collectors on Ray, measured on one machine.

    python -m benchmarks.ray_collectors speed   # beside the worker process, in turn
    python -m benchmarks.ray_collectors table   # 1, 2, 4, 8 collectors in a fast and a slow world
    python -m benchmarks.ray_collectors kills   # four collectors, ten of them killed, three seeds

The slow world waits for 20 ms in every step of its four arms, as a simulator would that needs so
long on a core of its own. `studies/scale_model.py` begins with what `table` writes.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from benchmarks.ray_nodes import ray_processes
from sac_ros.training import parts
from sac_ros.training.callbacks import PeriodicEvaluation
from sac_ros.training.collector import Collector, CollectorSetup
from sac_ros.training.config import TrainConfig
from sac_ros.training.ray_source import RaySource
from sac_ros.training.run_directory import find_run_directory
from sac_ros.training.runner import TrainingSession
from sac_ros.training.shared_memory import SharedMemory

SLOW = 0.02  # s a step
RESULT = Path(__file__).parent / "results" / "ray_collectors.json"
MEASURED_SECONDS = 12.0  # of a row
KILLS = 10


class SlowSetup(CollectorSetup):
    """A collector whose environments take their time."""

    def make(self, shared: SharedMemory) -> Collector:
        """As of its base, but for the wait."""
        collector = super().make(shared)
        environments = collector._environments
        step = environments.step

        def slowly(actions: Any) -> Any:
            time.sleep(SLOW)
            return step(actions)

        environments.step = slowly  # type: ignore[method-assign]
        return collector


class Watched:
    """A Ray source whose chunks' ages and whose waits are kept."""

    def __init__(self, source: RaySource) -> None:
        """Stands between from now on."""
        self.ages: list[int] = []  # updates that the weights of a chunk were behind when it came
        self._asked: dict[Any, int] = {}
        self._source = source
        self._ask, self._take = source._ask, source._take
        source._ask, source._take = self._asking, self._taking  # type: ignore[method-assign]

    def _asking(self) -> None:
        self._ask()
        version = self._source.shared.weights.version
        for chunk in self._source._owners:
            self._asked.setdefault(chunk, version)

    def _taking(self, chunk: Any) -> None:
        # The version counts twice for every block of 16 updates.
        version = self._asked.pop(chunk, self._source.shared.weights.version)
        self.ages.append((self._source.shared.weights.version - version) // 2 * 16)
        self._take(chunk)


@contextmanager
def session(
    setup: type[CollectorSetup] = CollectorSetup, **values: Any
) -> Iterator[TrainingSession]:
    """A training of the iiwa as config/train.yaml has it, with no report."""
    with tempfile.TemporaryDirectory() as directory, patch.object(parts, "CollectorSetup", setup):
        config = TrainConfig(name="run", directory=directory, stop_when_good=False, **values)
        run = TrainingSession(config, find_run_directory(config))
        run.callbacks = []
        try:
            yield run
        finally:
            run.close()


def measure(collectors: int, setup: type[CollectorSetup], seconds: float) -> dict[str, float]:
    """One row of the table: `seconds` of learning once updates have begun."""
    values = {"collector": "ray", "ray_collectors": collectors} if collectors else {}
    with session(setup, total_steps=200_000, **values) as run:
        watched = Watched(run._source) if isinstance(run._source, RaySource) else None
        # In a fast world until the number of chunks under way has settled.
        while run.state.loop.updates < (160 if setup is SlowSetup else 4_000):
            run.loop.run_block(run.is_stopped)
        steps, updates = run.state.loop.env_steps, run.state.loop.updates
        if watched is not None:
            watched.ages.clear()
        waited = _Waiting(run)
        begun, cpu = time.perf_counter(), time.process_time()
        while time.perf_counter() - begun < seconds:
            run.loop.run_block(run.is_stopped)
        took = time.perf_counter() - begun
        steps = run.state.loop.env_steps - steps
        replay = run.state.replay
        return {
            "collectors": collectors,
            "slow": float(setup is SlowSetup),
            "steps_per_second": steps / took,
            "updates_per_second": (run.state.loop.updates - updates) / took,
            "age_updates": statistics.fmean(watched.ages) if watched and watched.ages else 0.0,
            "driver_cpu_us": 1e6 * waited.cpu / steps,
            "learner_cpu": (time.process_time() - cpu) / took,
            "bytes": sum(getattr(replay, name)[0].nbytes for name in replay.COLUMNS),
        }


class _Waiting:
    """CPU seconds of this process in `advance`: asking, waiting, writing."""

    def __init__(self, run: TrainingSession) -> None:
        self.cpu = 0.0
        self._advance = run._source.advance
        run._source.advance = self._measured  # type: ignore[method-assign]

    def _measured(self, step: int, interrupted: Callable[[], bool]) -> bool:
        begun = time.process_time()
        done = self._advance(step, interrupted)
        self.cpu += time.process_time() - begun
        return done


def speed() -> list[dict[str, float]]:
    """The worker process and two actors in turn, three times."""
    rows = []
    for _ in range(3):
        for collectors in (0, 2):
            rows.append(measure(collectors, CollectorSetup, MEASURED_SECONDS))
            _print(rows[-1])
    rates = [
        statistics.median(row["steps_per_second"] for row in rows if row["collectors"] == number)
        for number in (0, 2)
    ]
    print(f"collector:=ray with two actors: {rates[1] / rates[0]:.0%} of the worker process")
    return rows


def table() -> list[dict[str, float]]:
    """One to eight collectors, in both worlds."""
    rows = []
    for setup in (CollectorSetup, SlowSetup):
        for collectors in (1, 2, 4, 8):
            rows.append(measure(collectors, setup, MEASURED_SECONDS))
            _print(rows[-1])
    slow = {row["collectors"]: row["steps_per_second"] for row in rows if row["slow"]}
    print(f"slow world, four actors: {slow[4] / slow[1]:.2f} times one")
    return rows


def kills() -> list[dict[str, float]]:
    """Four collectors, with and without kills."""
    rows = []
    for seed in (0, 1, 2):
        for number in (0, KILLS):
            rows.append(_killed(seed, number))
            print(json.dumps(rows[-1]), flush=True)
    for number in (0, KILLS):
        of = [row for row in rows if row["kills"] == number]
        success = statistics.median(row["success"] for row in of)
        print(
            f"{number} kills: median within 2 cm {success:.0%}, "
            f"median error {1e3 * statistics.median(r['median_error_m'] for r in of):.1f} mm, "
            f"longest wait {max(r['longest_wait_s'] for r in of):.1f} s, "
            f"transitions twice {sum(r['twice'] for r in of):.0f}"
        )
    return rows


def _killed(seed: int, number: int) -> dict[str, float]:
    total, rng = 40_000, random.Random(seed)
    with session(
        total_steps=total, seed=seed, collector="ray", ray_collectors=4, evaluation_interval=10_000
    ) as run:
        run.callbacks = [PeriodicEvaluation()]
        moments = sorted(rng.uniform(2_000, 0.95 * total) for _ in range(number))
        ended = threading.Event()

        def kill() -> None:
            for moment in moments:
                while run.state.replay.env_steps < moment and not ended.wait(0.01):
                    pass
                actors = ray_processes("ray::RemoteCollector")
                if actors:
                    rng.choice(actors).send_signal(signal.SIGKILL)

        killer = threading.Thread(target=kill, daemon=True)
        killer.start()
        longest, block = 0.0, run.loop.run_block

        def timed(interrupted: Callable[[], bool]) -> bool:
            nonlocal longest
            begun = time.perf_counter()
            done = block(interrupted)
            if run.state.loop.updates:  # the start is none
                longest = max(longest, time.perf_counter() - begun)
            return done

        run.loop.run_block = timed  # type: ignore[method-assign]
        run._learn()
        ended.set()
        killer.join()
        run.evaluate()
        best, replay = run.state.best.evaluation, run.state.replay
        assert best is not None
        seen = replay.observation[: replay.size]
        return {
            "seed": seed,
            "kills": number,
            "success": best.success_rate(0.02),
            "median_error_m": best.median_error_m,
            "longest_wait_s": longest,
            "twice": float(len(seen) - len(np.unique(seen, axis=0))),
        }


def _print(row: dict[str, float]) -> None:
    print(
        f"{row['collectors']:2.0f} collectors{' (slow)' if row['slow'] else '':7s} "
        f"{row['steps_per_second']:7.0f} steps/s {row['updates_per_second']:6.0f} updates/s, "
        f"weights {row['age_updates']:4.0f} updates old, {row['driver_cpu_us']:5.1f} µs of the "
        f"driver's CPU and {row['bytes']:.0f} bytes a transition, "
        f"learner's core {row['learner_cpu']:.0%}",
        flush=True,
    )


def main() -> int:
    """Measures, prints and keeps what was measured."""
    parser = argparse.ArgumentParser(description="Collectors on Ray, on one machine.")
    parts_of_it = {"speed": speed, "table": table, "kills": kills}
    parser.add_argument("part", choices=parts_of_it)
    chosen = parser.parse_args().part
    rows = parts_of_it[chosen]()
    kept = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.exists() else {}
    kept[chosen] = rows
    RESULT.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
