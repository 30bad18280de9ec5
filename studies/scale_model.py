# SPDX-License-Identifier: Apache-2.0
"""How many collectors on how many machines pay, computed from what one machine measured.

    python -m benchmarks.ray_collectors table && python -m studies.scale_model [--json]

A simulation of the learner and of N actors on Ray: an actor makes a chunk of 640 transitions
(CPU of its own node, and in a slow world a wait), two are asked for at once; the learner takes
chunks as they come, at some microseconds of its core a transition, and makes 16 updates for every
80 transitions. Processes that are busy on a node share its cores. Its inputs are measured here,
apart from the rows that it must then reproduce: the CPU time of a transition in a collector and of
an update, each alone. It predicts nothing before it has printed how far it is from those rows.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from benchmarks.ray_collectors import RESULT, SLOW, session
from sac_ros.training.ray_collector import CHUNK, LONGEST, RemoteCollector
from sac_ros.training.ray_source import IN_FLIGHT
from sac_ros.training.sources import InProcessSource

POLL = 0.2  # s, as of RaySource
CORES = 2  # of the machine that was measured
ENVIRONMENTS = 4
UPDATES_PER_STEP = 0.2
BLOCK = 16
NODES = (1, 3, 10, 30, 100)
NODE_CORES = 16
NETWORK = 125e6  # bytes/s of one gigabit a second
WORLDS = {"PyBullet, as here": 0.0, "20 ms a step": 0.02, "200 ms a step": 0.2}


@dataclass(frozen=True)
class Costs:
    """What was measured.

    Attributes:
        transition: s of a collector's core.
        update: s of the learner's core.
        taking: s of the learner's core a transition: asking, waiting, writing.
        beside: pace of an update, as a fraction, while the machine's other core is busy, too.
        transition_bytes: of one transition.
        weight_bytes: of the actor's weights.
    """

    transition: float
    update: float
    taking: float
    beside: float
    transition_bytes: float
    weight_bytes: float


@dataclass
class Load:
    """What a system of collectors and one learner comes to."""

    steps_per_second: float
    learner: float  # fraction of its core that is busy
    age: float  # updates that weights were behind when their chunk came


def simulate(costs: Costs, actors: int, wait: float, *, shared: bool, seconds: float) -> Load:
    """Runs the model.

    Args:
        costs: of its parts.
        actors: their number.
        wait: s that a step of an actor's `ENVIRONMENTS` arms waits.
        shared: whether all share `CORES` with the learner, as where it was measured; else each
            has a core of its own.
        seconds: simulated.
    """
    # A chunk of a slow world ends after a second.
    alone = costs.transition + wait / ENVIRONMENTS
    chunk = min(CHUNK, ENVIRONMENTS * max(1, round(LONGEST / (ENVIRONMENTS * alone))))
    work, asleep = chunk * costs.transition, chunk / ENVIRONMENTS * wait
    makes: list[list[float] | None] = [None] * actors  # CPU and wait that are left of a chunk
    asked: list[list[float]] = [[] for _ in range(actors)]  # updates made when each was asked for
    turns = [0] * actors
    ready: list[int] = []
    allowed, under_way, plenty = IN_FLIGHT * actors, 0, 0
    learner, taking, waits, told = 0.0, False, False, 0.0
    now = steps = updates = busy = 0.0
    ages: list[float] = []
    while now < seconds:
        if learner <= 0.0:
            if steps * UPDATES_PER_STEP >= updates + BLOCK:
                learner, taking, waits = BLOCK * costs.update, False, False
            elif ready:
                plenty = plenty + 1 if len(ready) > 1 else 0
                if plenty >= allowed:
                    allowed, plenty = max(1, allowed // 2), 0
                learner, taking, waits = chunk * costs.taking, True, False
            elif not waits or now - told >= POLL:
                allowed, waits, told = min(IN_FLIGHT * actors, allowed + 1), True, now
                plenty = 0
        while under_way < allowed:
            i = min(range(actors), key=lambda each: (len(asked[each]), turns[each]))
            if len(asked[i]) == IN_FLIGHT:
                break
            asked[i].append(updates)
            turns[i] += 1
            under_way += 1
            if makes[i] is None:
                makes[i] = [work, asleep]
        active = [each for each in makes if each is not None]
        running = [each for each in active if each[0] > 0.0]
        together = len(running) + (learner > 0.0)
        rate = 1.0
        if shared and together > 1:
            rate = costs.beside * min(1.0, CORES / together)
        ends = [each[0] / rate if each[0] > 0.0 else each[1] for each in active]
        ends += [learner / rate] if learner > 0.0 else [POLL]
        span = max(min(ends), 1e-9)
        now += span
        for each in active:
            each[each[0] <= 0.0] -= span * (rate if each[0] > 0.0 else 1.0)
        if learner > 0.0:
            busy += span
            learner -= span * rate
            if learner <= 1e-12:
                learner = 0.0
                if taking:
                    i = ready.pop(0)
                    steps += chunk
                    under_way -= 1
                    ages.append(updates - asked[i].pop(0))
                else:
                    updates += BLOCK
        for i, made in enumerate(makes):
            if made is not None and made[0] <= 1e-12 and made[1] <= 1e-12:
                ready.append(i)
                # The next that it was asked for begins at once.
                more = len(asked[i]) > ready.count(i)
                makes[i] = [work, asleep] if more else None
    late = ages[len(ages) // 2 :]
    return Load(steps / now, busy / now, statistics.fmean(late) if late else 0.0)


def measured_costs(rows: list[dict[str, float]]) -> Costs:
    """Times a collector's chunk and an update, each alone in this process."""
    with session(collector="in_process", total_steps=200_000) as run:
        loop, source = run.loop, run._source
        assert isinstance(source, InProcessSource)
        while run.state.loop.updates < 160:
            loop.run_block(run.is_stopped)
        shape = dataclasses.replace(run.shared.shape, capacity=CHUNK + ENVIRONMENTS)
        collector = RemoteCollector(shape, source._setup)
        weights = run.shared.weights.parameters.copy()
        chunks = []
        for each in range(8):
            begun = time.process_time()
            columns, _ = collector.collect(10_000 + each * CHUNK, weights)
            chunks.append((time.process_time() - begun) / len(columns["reward"]))
        blocks = [_seconds(loop._update) for _ in range(40)]
        other = get_context("spawn").Process(target=_keep_busy, daemon=True)
        other.start()
        time.sleep(2.0)
        beside = [_seconds(loop._update) for _ in range(40)]
        other.kill()
        return Costs(
            transition=statistics.median(chunks[1:]),
            update=statistics.median(blocks) / BLOCK,
            taking=statistics.median(row["driver_cpu_us"] for row in rows if not row["slow"])
            * 1e-6,
            beside=min(1.0, statistics.median(blocks) / statistics.median(beside)),
            transition_bytes=rows[0]["bytes"],
            weight_bytes=float(weights.nbytes),
        )


def _seconds(action: Callable[[], object]) -> float:
    """The CPU time of an action of this process."""
    begun = time.process_time()
    action()
    return time.process_time() - begun


def _keep_busy() -> None:
    """What a collector does all the time: small arrays."""
    values = np.random.default_rng(0).normal(size=(64, 64))
    while True:
        values = np.tanh(values @ values.T * 0.01)


def main() -> int:
    """Prints the measured rows beside the model's, then what it predicts."""
    parser = argparse.ArgumentParser(description="Where collectors on many machines saturate.")
    parser.add_argument("--json", type=Path, help="a file for the predictions")
    options = parser.parse_args()
    rows = json.loads(RESULT.read_text(encoding="utf-8"))["table"]
    costs = measured_costs(rows)
    print(
        f"alone: a transition {1e6 * costs.transition:.0f} µs, "
        f"an update {1e6 * costs.update:.0f} µs; "
        f"taking a transition {1e6 * costs.taking:.1f} µs; {costs.transition_bytes:.0f} bytes; "
        f"with both cores busy each has {costs.beside:.0%} of its pace"
    )
    print("| world | collectors | steps/s measured | model | updates old, measured | model |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        wait = SLOW if row["slow"] else 0.0
        found = simulate(costs, int(row["collectors"]), wait, shared=True, seconds=60.0)
        print(
            f"| {'slow' if row['slow'] else 'fast'} | {row['collectors']:.0f} "
            f"| {row['steps_per_second']:.0f} | {found.steps_per_second:.0f} "
            f"| {row['age_updates']:.0f} | {found.age:.0f} |"
        )
    learner = 1.0 / (costs.taking + UPDATES_PER_STEP * costs.update)
    print(f"\nthe learner's core takes at most {learner:.0f} transitions/s with their updates")
    print(
        "| world | nodes | collectors | steps/s | learner busy | weights old | MB/s in | MB kept |"
    )
    print("|---|---|---|---|---|---|---|---|")
    predictions = []
    for world, wait in WORLDS.items():
        for nodes in NODES:
            actors = nodes * NODE_CORES
            found = simulate(costs, actors, wait, shared=False, seconds=60.0)
            rate = found.steps_per_second
            weights = costs.weight_bytes * rate / CHUNK  # go along with every request
            inwards = rate * costs.transition_bytes / 1e6
            kept = actors * IN_FLIGHT * CHUNK * costs.transition_bytes / 1e6
            predictions.append(
                {"world": world, "nodes": nodes, "actors": actors, **dataclasses.asdict(found)}
            )
            full = " (network full)" if inwards * 1e6 + weights > NETWORK else ""
            print(
                f"| {world} | {nodes} | {actors} | {rate:.0f} | {found.learner:.0%} "
                f"| {found.age:.0f} updates | {inwards:.1f}{full} | {kept:.0f} |"
            )
    if options.json:
        options.json.write_text(json.dumps(predictions, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
