# SPDX-License-Identifier: Apache-2.0
"""Updates per CPU second: ours, the peers', and those of the bare matrix products of one."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.figure import Figure, ratio
from benchmarks.gemm_bound import matrix_work, products_of_update
from benchmarks.interleave import interleaved_rates, one_core, timed
from benchmarks.peers import sbx_sac, stable_baselines3_sac
from benchmarks.result import describe
from sac_ros.sac.agent import SacAgent
from sac_ros.sac.config import SacConfig
from sac_ros.sim.env import ArmEnv
from sac_ros.training.hindsight import HindsightRelabeler
from sac_ros.training.replay_sampler import ReplaySampler
from sac_ros.training.shared_memory import MemoryShape, SharedMemory
from sac_ros.training.training_loop import UPDATES_PER_BLOCK

NAME = "update_rate"
OURS, OURS_V = "sac_ros", "sac_ros, value network"
ALONE = "sac_ros, batch given"
EAGER, MIXED = "sac_ros, not recorded", "sac_ros, bfloat16 products"
SB3, SBX = "stable-baselines3", "SBX"
BOUND, BOUND_V = "matrix products", "matrix products, value network"
_ROWS = 20_000  # transitions in every replay
_GOALS = 4096


@dataclass(frozen=True)
class UpdateRate:
    """What to measure.

    An update is all that a gradient step takes in training, drawing its batch from the replay
    included; ours changes goals in hindsight meanwhile, as it does in training.  Every contestant
    does `UPDATES_PER_BLOCK` updates a turn, on one thread, with the same sizes and batch.
    """

    hidden_sizes: tuple[tuple[int, ...], ...] = ((256, 256), (64, 64))
    batch_size: int = 256
    turns: int = 20
    repetitions: int = 3
    peers: tuple[str, ...] = field(default=(SB3, SBX))

    def measure(self) -> dict[str, Any]:
        """The result, see `benchmarks.result`."""
        figures: list[Figure] = []
        flop = {}
        with one_core():
            env = ArmEnv()
            data = _Data(env)
            for sizes in self.hidden_sizes:
                contestants = self._contestants(env, data, sizes)
                rates = interleaved_rates(
                    contestants,
                    per_turn=UPDATES_PER_BLOCK,
                    turns=self.turns,
                    repetitions=self.repetitions,
                    unit="updates/s",
                )
                figures += _with_ratios("x".join(map(str, sizes)), rates)
                flop["x".join(map(str, sizes))] = sum(p.flop for p in self._products(env, sizes))
            env.close()
        settings = {
            "batch_size": self.batch_size,
            "updates_per_turn": UPDATES_PER_BLOCK,
            "turns": self.turns,
            "threads": 1,
            "flop_per_update": flop,
        }
        title = (
            f"Update rate per CPU second, batch {self.batch_size}, one core (2018b unless named)"
        )
        return describe(NAME, title, figures, settings)

    def _contestants(
        self, env: ArmEnv, data: _Data, sizes: tuple[int, ...]
    ) -> dict[str, Callable[[], float]]:
        ours = {
            OURS: self._ours(data, sizes),
            OURS_V: self._ours(data, sizes, value_function=True),
            EAGER: self._ours(data, sizes, capture_updates=False),
            MIXED: self._ours(data, sizes, mixed_precision=True),
            ALONE: self._ours_alone(data, sizes),
            BOUND: self._bound(env, sizes, value_function=False),
            BOUND_V: self._bound(env, sizes, value_function=True),
        }
        makers = {SB3: stable_baselines3_sac, SBX: sbx_sac}
        for name in self.peers:
            model = makers[name](
                env,
                batch_size=self.batch_size,
                buffer_size=_ROWS,
                policy_kwargs={"net_arch": list(sizes)},
            )
            if model is None:
                print(f"{NAME}: without {name}, which is not installed (`make bench` brings it)")
                continue
            data.fill(model.replay_buffer)
            ours[name] = _train(model, self.batch_size)
        return ours

    def _ours(self, data: _Data, sizes: tuple[int, ...], **settings: Any) -> Callable[[], float]:
        agent = self._agent(data, sizes, **settings)
        replay = data.replay()

        def updates() -> None:
            for batch in replay.batches(UPDATES_PER_BLOCK, self.batch_size):
                agent.update(batch)

        return timed(updates)

    def _ours_alone(self, data: _Data, sizes: tuple[int, ...]) -> Callable[[], float]:
        agent = self._agent(data, sizes)
        batches = list(data.replay().batches(UPDATES_PER_BLOCK, self.batch_size))

        def updates() -> None:
            for batch in batches:
                agent.update(batch)

        return timed(updates)

    def _agent(self, data: _Data, sizes: tuple[int, ...], **settings: Any) -> SacAgent:
        config = SacConfig(hidden_sizes=sizes, batch_size=self.batch_size, **settings)
        size, n = data.buffer.observation.shape[1], data.buffer.action.shape[1]
        return SacAgent(size, n, config)

    def _bound(
        self, env: ArmEnv, sizes: tuple[int, ...], *, value_function: bool
    ) -> Callable[[], float]:
        work = matrix_work(self._products(env, sizes, value_function=value_function))

        def products() -> None:
            for _ in range(UPDATES_PER_BLOCK):
                work()

        return timed(products)

    def _products(
        self, env: ArmEnv, sizes: tuple[int, ...], *, value_function: bool = False
    ) -> list[Any]:
        return products_of_update(
            env.rows.task.size,
            env.rows.arm.joints,
            sizes,
            self.batch_size,
            value_function=value_function,
        )


class _Data:
    """The same random transitions for all: an update's cost does not depend on what they are."""

    def __init__(self, env: ArmEnv) -> None:
        rng = np.random.default_rng(0)
        size, n = env.rows.task.size, env.rows.arm.joints
        self.buffer = buffer = SharedMemory(MemoryShape(_ROWS, size, n, 1)).replay
        buffer.observation[:] = rng.uniform(-1.0, 1.0, (_ROWS, size))
        buffer.next_observation[:] = rng.uniform(-1.0, 1.0, (_ROWS, size))
        buffer.action[:] = rng.uniform(-1.0, 1.0, (_ROWS, n))
        buffer.reward[:] = rng.uniform(-1.0, 0.0, _ROWS)
        buffer.env_steps = _ROWS
        self._task = env.rows.task
        self._goals = rng.uniform(env.rows.arm.goal_low, env.rows.arm.goal_high, (_GOALS, 3))

    def replay(self) -> ReplaySampler:
        """As a training session makes it."""
        return ReplaySampler(
            self.buffer,
            np.random.default_rng(0),
            relabel=HindsightRelabeler(self._task, self._goals.astype(np.float32), 0.8, 0.25),
        )

    def fill(self, buffer: Any) -> None:
        """Puts the transitions into a replay buffer of stable-baselines3."""
        buffer.observations[:, 0] = self.buffer.observation
        buffer.next_observations[:, 0] = self.buffer.next_observation
        buffer.actions[:, 0] = self.buffer.action
        buffer.rewards[:, 0] = self.buffer.reward
        buffer.full = True


def _train(model: Any, batch_size: int) -> Callable[[], float]:
    return timed(lambda: model.train(gradient_steps=UPDATES_PER_BLOCK, batch_size=batch_size))


def _with_ratios(sizes: str, rates: dict[str, Figure]) -> list[Figure]:
    """The rates of networks of these `sizes`, then what they are measured against."""
    figures = list(rates.values())
    for peer in (SB3, SBX):
        if peer in rates:
            figures += [
                ratio(f"{each} / {peer}", rates[each], rates[peer])
                for each in (OURS, OURS_V, MIXED, BOUND)  # the bound: what float32 cannot exceed
            ]
    figures += [
        ratio(f"share of the GEMM bound, {ours}", rates[ours], rates[bound], "%")
        for ours, bound in ((OURS, BOUND), (ALONE, BOUND), (OURS_V, BOUND_V))
    ]
    return [Figure(f"{sizes}: {each.name}", each.unit, each.repetitions) for each in figures]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds this benchmark's options."""
    parser.add_argument(
        "--update-turns", type=int, default=20, metavar="N", help="turns of each a repetition"
    )


def from_options(options: argparse.Namespace) -> UpdateRate:
    """From the options of `python -m benchmarks`."""
    return UpdateRate(turns=options.update_turns, repetitions=options.repetitions)
