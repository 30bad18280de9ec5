# SPDX-License-Identifier: Apache-2.0
"""Transitions from this process and from a worker process, and how a worker ends."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from collecting import ENVIRONMENTS, collector_setup, memory_for, never

from sac_ros.training.collector import CollectorSetup
from sac_ros.training.sources import InProcessSource, WorkerSource
from sac_ros.utils.errors import SacRosError

Eventually = Callable[..., None]


@pytest.fixture(scope="module")
def setup() -> CollectorSetup:
    return collector_setup()


@pytest.fixture
def worker(setup: CollectorSetup) -> Iterator[WorkerSource]:
    source = WorkerSource(setup, memory_for(setup), lead=10)
    yield source
    source.close()


def has_ended(process_id: int) -> bool:
    """Whether a process is gone, or a zombie that nobody has collected."""
    try:
        status = Path(f"/proc/{process_id}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return status.rpartition(")")[2].split()[0] == "Z"


# ---- in this process ---------------------------------------------------------------------------


def test_the_in_process_source_is_repeatable_bit_for_bit(setup: CollectorSetup) -> None:
    found = []
    for _ in range(2):
        shared = memory_for(setup)
        source = InProcessSource(setup, shared)
        assert source.advance(60, never)
        source.close()
        assert shared.replay.env_steps == 60
        found.append((shared.replay.observation.tobytes(), shared.replay.action.tobytes()))
    assert found[0] == found[1]
    other = memory_for(setup)
    InProcessSource(dataclasses.replace(setup, seed=4), other).advance(60, never)
    assert other.replay.observation.tobytes() != found[0][0]


def test_the_in_process_source_collects_no_step_more_than_asked(setup: CollectorSetup) -> None:
    shared = memory_for(setup)
    source = InProcessSource(setup, shared)
    assert source.advance(10, never)
    assert shared.replay.env_steps == 10
    assert not source.advance(20, lambda: True)
    assert shared.replay.env_steps == 10


# ---- from a worker process ---------------------------------------------------------------------


def test_a_worker_writes_what_the_same_collector_writes_here(
    setup: CollectorSetup, worker: WorkerSource
) -> None:
    assert worker.advance(60, never)
    worker.pause()
    here = memory_for(setup)
    InProcessSource(setup, here).advance(60, never)
    there = worker.shared.replay
    for name in ("observation", "action", "reward", "next_observation", "terminated"):
        np.testing.assert_array_equal(
            getattr(there, name)[:60], getattr(here.replay, name)[:60], name
        )


def test_a_worker_runs_ahead_by_its_lead_and_no_further(
    worker: WorkerSource, eventually: Eventually
) -> None:
    assert worker.advance(20, never)
    eventually(lambda: worker.shared.replay.env_steps >= 30, "the lead of 10")
    worker.pause()  # only answered when no step is under way
    assert worker.shared.replay.env_steps < 30 + ENVIRONMENTS


def test_a_paused_worker_stands_still_until_it_is_resumed(
    worker: WorkerSource, eventually: Eventually
) -> None:
    worker.shared.control.allowed_steps = 100_000
    assert worker.advance(20, never)
    for _ in range(30):
        worker.pause()
        steps, rows = worker.shared.replay.env_steps, worker.shared.replay.observation.tobytes()
        time.sleep(0.002)  # time in which a worker that went on would write
        assert worker.shared.replay.env_steps == steps
        assert worker.shared.replay.observation.tobytes() == rows
        worker.resume()
    eventually(lambda: worker.shared.replay.env_steps > steps, "it goes on")


def test_pausing_twice_needs_one_resume(worker: WorkerSource, eventually: Eventually) -> None:
    assert worker.advance(10, never)
    worker.pause()
    worker.pause()
    worker.resume()
    assert worker.advance(worker.shared.replay.env_steps + 10, never)


def test_waiting_for_a_worker_can_be_interrupted(worker: WorkerSource) -> None:
    asked = iter([False, False, True])
    assert not worker.advance(100_000, lambda: next(asked))


def test_closing_ends_the_worker(setup: CollectorSetup) -> None:
    source = WorkerSource(setup, memory_for(setup))
    source.advance(10, never)
    source.close()
    assert source._process.returncode == 0
    source.close()  # and again does nothing


def test_a_worker_that_has_not_started_is_paused_at_once(
    setup: CollectorSetup, eventually: Callable[..., None]
) -> None:
    source = WorkerSource(setup, memory_for(setup))
    control = source.shared.control
    control.allowed_steps = 100
    source.pause()
    assert not control.running
    eventually(lambda: control.running and control.standing == control.paused, "it stands still")
    assert source.shared.replay.env_steps == 0
    source.close()


def test_closing_ends_a_paused_worker_and_one_that_has_not_started(setup: CollectorSetup) -> None:
    paused = WorkerSource(setup, memory_for(setup))
    paused.advance(1, lambda: False)
    paused.pause()
    paused.close()
    assert paused._process.returncode == 0
    early = WorkerSource(setup, memory_for(setup))
    early.close()
    assert early._process.returncode in (0, -9)  # killed while it imports


def test_a_worker_that_dies_is_one_sentence(worker: WorkerSource) -> None:
    worker.advance(10, never)
    worker._process.kill()
    with pytest.raises(SacRosError, match="collector process ended with exit code -9"):
        worker.advance(100_000, never)
    with pytest.raises(SacRosError, match="collector process ended"):
        worker.pause()


def test_a_worker_that_cannot_start_is_one_sentence(setup: CollectorSetup) -> None:
    wrong = dataclasses.replace(setup, environment_arguments={"arm": "ur99"})
    source = WorkerSource(wrong, memory_for(setup))
    with pytest.raises(SacRosError, match=r"collector process ended with exit code \d"):
        source.advance(10, never)
    source.close()


def test_a_worker_whose_learner_is_killed_ends_by_itself(
    setup: CollectorSetup, eventually: Eventually
) -> None:
    code = (
        "import json, sys, time\n"
        "from sac_ros.training.shared_memory import MemoryShape, SharedMemory\n"
        "from sac_ros.training.collector import CollectorSetup\n"
        "from sac_ros.training.sources import WorkerSource\n"
        "setup = CollectorSetup.from_json(json.load(sys.stdin)); shape = setup.actor_shape\n"
        "size = MemoryShape(2000, shape.sizes[0], shape.sizes[-1] // 2, shape.parameters)\n"
        "source = WorkerSource(setup, SharedMemory(size))\n"
        "source.advance(10, lambda: False)\n"
        "print(source._process.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    import json

    learner = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert learner.stdin is not None
    assert learner.stdout is not None
    learner.stdin.write(json.dumps(dataclasses.asdict(setup)))
    learner.stdin.close()
    worker_id = int(learner.stdout.readline())
    try:
        assert not has_ended(worker_id)
        learner.kill()
        learner.wait()
        eventually(lambda: has_ended(worker_id), "the orphan ends")
    finally:
        learner.stdout.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker_id, signal.SIGKILL)
