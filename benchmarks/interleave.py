# SPDX-License-Identifier: Apache-2.0
"""Rates of several contestants that take short turns, so that all meet the same machine."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping

import torch

from benchmarks.figure import Figure
from sac_ros.training.process import prepare_process

# CPU seconds of this process: on one core and without waiting they are what a clock on the wall
# would show on an idle machine, whatever else needs that core meanwhile.
clock = time.process_time


@contextlib.contextmanager
def one_core() -> Iterator[None]:
    """Keeps this process, and every thread pool that starts meanwhile, to one core and thread.

    torch is set directly, as in training; libraries with thread pools of their own (JAX) see one
    core, where the system can pin.
    """
    threads = torch.get_num_threads()
    prepare_process()
    pinned = hasattr(os, "sched_setaffinity")
    cores = os.sched_getaffinity(0) if pinned else set()
    if pinned:
        os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        if pinned:
            os.sched_setaffinity(0, cores)


def interleaved_rates(
    contestants: Mapping[str, Callable[[], float]],
    *,
    per_turn: int,
    turns: int,
    repetitions: int,
    unit: str,
) -> dict[str, Figure]:
    """Units of work per CPU second of every contestant.

    Args:
        contestants: by name, a function that does one turn's work and returns the CPU seconds
            (`clock`) which that took, so that it may prepare outside of its clock.
        per_turn: units of work in a turn, the same for all.
        turns: turns of each in a repetition; they alternate.
        repetitions: numbers in each figure.
        unit: what is counted, such as `updates/s`.

    Every contestant has one turn before, uncounted: what is compiled or allocated at first use.
    """
    for turn in contestants.values():
        turn()
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(repetitions):
        seconds = dict.fromkeys(contestants, 0.0)
        for _ in range(turns):
            for name, turn in contestants.items():
                seconds[name] += turn()
        for name in contestants:
            rates[name].append(turns * per_turn / seconds[name])
    return {name: Figure(name, unit, tuple(values)) for name, values in rates.items()}


def timed(work: Callable[[], object]) -> Callable[[], float]:
    """A turn that needs no preparation: all of `work` is timed."""

    def turn() -> float:
        started = clock()
        work()
        return clock() - started

    return turn
