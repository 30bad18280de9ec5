# SPDX-License-Identifier: Apache-2.0
"""Transitions from a Ray cluster of two nodes: each once, whoever dies."""

from __future__ import annotations

import dataclasses
import math
import signal
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from collecting import collector_setup, memory_for, never
from tiny_run import open_session

from benchmarks.ray_nodes import ray_processes, two_nodes
from sac_ros.training import ray_collector, ray_source
from sac_ros.training.collector import CollectorSetup
from sac_ros.training.ray_cluster import connect
from sac_ros.training.ray_collector import CHUNK, RemoteCollector
from sac_ros.training.ray_source import IN_FLIGHT, MAX_FAILURES, RaySource
from sac_ros.training.shared_memory import SharedMemory
from sac_ros.training.sources import CollectorError
from sac_ros.utils.errors import ConfigurationError

SETUP = collector_setup()
E = SETUP.environments


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    with two_nodes() as address:
        yield address


@pytest.fixture
def open_source(cluster: str) -> Iterator[Callable[..., RaySource]]:
    opened: list[RaySource] = []

    def make(
        shared: SharedMemory, setup: CollectorSetup = SETUP, collectors: int = 2
    ) -> RaySource:
        opened.append(RaySource(setup, shared, address=cluster, collectors=collectors))
        return opened[-1]

    yield make
    for each in opened:
        each.close()


def collectors() -> list[psutil.Process]:
    """The processes of the actors, as Ray names them."""
    return ray_processes("ray::RemoteCollector")


def assert_each_once(shared: SharedMemory) -> None:
    """Rows are chains: what follows a row stands E rows behind it, and no row comes twice."""
    replay = shared.replay
    rows = np.arange(replay.env_steps - E)
    goes_on = replay.ended[rows] == 0.0
    after = rows[goes_on] + E
    np.testing.assert_array_equal(
        replay.next_observation[rows[goes_on]], replay.observation[after]
    )
    seen = replay.observation[: replay.env_steps]
    assert len(np.unique(seen, axis=0)) == replay.env_steps


# ---- without a cluster -------------------------------------------------------------------------


def test_a_collector_gives_the_same_chunks_for_the_same_seed_and_weights(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ray_collector, "LONGEST", math.inf)
    shared = memory_for(SETUP)
    shape = dataclasses.replace(shared.shape, capacity=CHUNK + E)

    def chunks(seed: int) -> list[bytes]:
        setup = dataclasses.replace(SETUP, seed=seed)
        found, steps, collector = [], 0, RemoteCollector(shape, setup)
        for _ in range(3):
            columns, episodes = collector.collect(steps, shared.weights.parameters)
            steps += len(columns["reward"])
            found.append(b"".join([*(each.tobytes() for each in columns.values()), episodes]))
        return found

    first = chunks(1)
    assert first == chunks(1)
    assert all(ours != others for ours, others in zip(first, chunks(2), strict=True))
    assert all(before != after for before, after in pairwise(first))


def test_a_chunk_of_a_slow_world_is_a_short_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_collector, "LONGEST", 0.0)
    shared = memory_for(SETUP)
    shape = dataclasses.replace(shared.shape, capacity=CHUNK + E)
    columns, _ = RemoteCollector(shape, SETUP).collect(0, shared.weights.parameters)
    assert len(columns["reward"]) == E


def test_without_ray_one_sentence_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'sac_ros\[ray\]'"):
        open_session(tmp_path, collector="ray")


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nonsense", "localhost:99999", "ray://x:1"])
def test_where_no_cluster_answers_that_is_said_at_once(address: str) -> None:
    begun = time.monotonic()
    with pytest.raises(ConfigurationError, match=r"ray_address must be auto or HOST:PORT") as told:
        connect(address, 1)
    assert repr(address) in str(told.value)
    assert time.monotonic() - begun < 10.0  # Ray itself tries for minutes


# ---- in a cluster ------------------------------------------------------------------------------


def test_every_transition_of_every_actor_arrives_once(
    open_source: Callable[..., RaySource],
) -> None:
    shared = memory_for(SETUP)
    source = open_source(shared)
    for step in range(50, 2500, 50):
        assert source.advance(step, never)
        assert step <= shared.replay.env_steps < step + CHUNK + E
        shared.weights.publish(shared.weights.parameters + 0.01)
    assert_each_once(shared)
    assert shared.replay.episodes_done > 0


@pytest.mark.long
def test_a_slow_learner_asks_for_fewer_chunks_and_one_that_waits_for_more(
    open_source: Callable[..., RaySource], eventually: Callable[..., None]
) -> None:
    source = open_source(memory_for(SETUP))
    owners, ray = source._owners, source._ray

    def all_ready() -> bool:
        return len(ray.wait([*owners], num_returns=len(owners), timeout=0)[0]) == len(owners)

    assert source.advance(1, never)
    most = len(owners)
    for _ in range(10):
        eventually(all_ready, "every chunk that was asked for")
        assert source.advance(source.shared.replay.env_steps + 1, never)
    assert len(owners) == 1 < most <= 2 * IN_FLIGHT
    while len(owners) < most:  # by a learner that takes all at once
        assert source.advance(source.shared.replay.env_steps + 1, never)


@pytest.mark.long
def test_chunks_of_killed_actors_are_dropped_whole_and_others_take_their_places(
    open_source: Callable[..., RaySource],
    monkeypatch: pytest.MonkeyPatch,
    eventually: Callable[..., None],
) -> None:
    told: list[str] = []
    monkeypatch.setattr(ray_source, "say", told.append)
    shared = memory_for(SETUP)
    source = open_source(shared)

    def missed() -> list[str]:
        return [line for line in told if "is gone" in line]

    def two_run(kills: int) -> bool:
        if len(missed()) < kills:  # an actor is missed when its next chunk is asked for
            assert source.advance(shared.replay.env_steps + 1, never)
        return len(missed()) == kills and len(collectors()) == 2

    for kills in range(4):
        eventually(lambda kills=kills: two_run(kills), "two actors run", 60.0)
        if kills < 3:
            assert source.advance(shared.replay.env_steps + 400, never)
            collectors()[kills % 2].send_signal(signal.SIGKILL)
    assert source.advance(shared.replay.env_steps + 400, never)
    assert_each_once(shared)
    assert all("another takes its place" in line for line in missed())


def test_an_actor_that_cannot_begin_ends_the_run_with_its_reason(
    open_source: Callable[..., RaySource],
) -> None:
    arguments = {**SETUP.environment_arguments, "arm": "nonesuch"}
    setup = dataclasses.replace(SETUP, environment_arguments=arguments)
    source = open_source(memory_for(SETUP), setup)
    with pytest.raises(CollectorError, match=r"on Ray ended with an error: .*nonesuch"):
        source.advance(10, never)


def test_actors_that_die_again_and_again_end_the_run(
    open_source: Callable[..., RaySource], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_source, "say", lambda _: None)
    source = open_source(memory_for(SETUP), collectors=1)
    source._ray.kill(source._slots[0].actor)
    monkeypatch.setattr(source, "_start", lambda _: None)  # whoever takes its place is dead, too
    with pytest.raises(CollectorError, match=f"ended {MAX_FAILURES + 1} times in a row"):
        source.advance(10, never)


def test_waiting_for_actors_can_be_interrupted(open_source: Callable[..., RaySource]) -> None:
    source = open_source(memory_for(SETUP))
    assert not source.advance(10**6, lambda: source.shared.replay.env_steps > 800)


def test_a_cluster_that_was_joined_stays_and_our_actors_leave_it(
    open_source: Callable[..., RaySource], eventually: Callable[..., None], cluster: str
) -> None:
    source = open_source(memory_for(SETUP))
    assert source.advance(10, never)
    source.close()
    eventually(lambda: not collectors(), "no actor is left")
    ray: Any = connect(cluster, 1)
    try:
        assert len([node for node in ray.nodes() if node["Alive"]]) == 2
    finally:
        ray.shutdown()


def test_joining_leaves_the_signal_handlers_as_they_were(cluster: str) -> None:
    before = signal.getsignal(signal.SIGTERM)
    connect(cluster, 1).shutdown()
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_run_on_a_cluster_of_its_own_ends_and_leaves_no_process(
    tmp_path: Path, eventually: Callable[..., None]
) -> None:
    before = {each.pid for each in psutil.process_iter()}
    run = open_session(tmp_path, collector="ray", total_steps=1500)
    outcome = run.run()
    assert outcome is not None
    assert run.state.loop.env_steps >= 1500
    eventually(
        lambda: (
            not [
                each
                for each in psutil.process_iter(["name", "pid"])
                if each.info["pid"] not in before and "ray" in (each.info["name"] or "")
            ]
        ),
        "no process of Ray is left",
    )
