# SPDX-License-Identifier: Apache-2.0
"""A policy swapped every second under load, every command judged."""

from __future__ import annotations

import itertools
import os
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from command_audit import CommandAudit
from faulty_robot.answers import Answers
from faulty_robot.driver import FaultyDriver
from faulty_robot.models import opposite, wrong_files
from faulty_robot.motion import Motion
from faulty_robot.policy_process import PolicyProcess, wait_until
from faulty_robot.run_delay import RunDelay
from numpy.typing import NDArray
from rclpy.node import Node

from benchmarks import result
from benchmarks.figure import Figure
from sac_ros.policy.runtime import Policy
from sac_ros.policy.spec import PolicySpec

NAME = "swap"
WATCHDOG_S = 0.05  # the node's default
SLEW = 40.0  # N·m/s, so slow that a swap to the opposite torque takes it up for a while
JITTER_S = 0.05  # as in the soak: between deciding a torque and publishing it, on a busy machine
_PARAMETERS = (
    "autostart:=true",
    "soft_start_s:=0.1",
    f"watchdog_s:={WATCHDOG_S}",
    f"slew_limit:={SLEW}",
)
_BLOCK = 5  # seconds with a swap in each, then as many without: both meet the same machine
_LAST_ANSWER_S = 0.2  # that the last states of the last block are given
_WRONG_EVERY = 3
_QUEUE = 5  # states that wait for policy_node until it loses one
MUST_BE_ZERO = (
    "violations of the always-true list",
    "never answered, with swaps",
    "exit code of policy_node",
)
_PATIENCE = 0.0001  # s that a thread of the robot may keep the others from publishing a state

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass
class Swap:
    """Drives a policy_node to ever new goals, and changes its policy once a second.

    The two policies want opposite torques. Every third file is a wrong one.

    Attributes:
        seconds: how long with swaps; as long without them is measured in turns.
        seed: of the goals and of the moments.
        model: the one policy file; the other is made of it.
        rate_hz: of the joint states.
    """

    seconds: float
    seed: int
    model: Path
    rate_hz: float = 500.0
    _swaps: Counter[str] = field(default_factory=Counter)
    _starts: list[float] = field(default_factory=list)  # s of the wall clock, of each block
    _run_delays: list[RunDelay] = field(default_factory=list)  # of the robot and policy_node

    def measure(self, node: Node, directory: Path) -> dict[str, Any]:
        """Run it with the robot's ``node``; see `benchmarks.result.describe`."""
        spec = Policy.load(self.model).spec
        policy = PolicyProcess(node)
        answers = Answers(node)
        driver = FaultyDriver(node, spec.joint_names, Motion(spec), 1.0 / self.rate_hz)
        patience = sys.getswitchinterval()
        sys.setswitchinterval(_PATIENCE)
        try:
            code = self._run(policy, driver, spec, directory)
        finally:
            sys.setswitchinterval(patience)
            for delay in self._run_delays:
                delay.close()
            driver.close()
            policy.kill()
        return self._judge(policy, driver, answers, spec, code)

    def _run(
        self, policy: PolicyProcess, driver: FaultyDriver, spec: PolicySpec, directory: Path
    ) -> int:
        models = itertools.cycle([opposite(self.model, directory / "opposite.onnx"), self.model])
        wrong = itertools.cycle(wrong_files(self.model, directory))
        generator = random.Random(self.seed)
        policy.start(self.model, _PARAMETERS)
        self._run_delays = [RunDelay(os.getpid()), RunDelay(policy.process.pid)]
        wait_until(lambda: driver.commands or not policy.alive, "a command")
        seconds = round(self.seconds)
        block = min(_BLOCK, seconds)
        for second in range(2 * seconds):
            if not policy.alive:
                raise RuntimeError(f"policy_node ended in second {second}:\n{policy.log}")
            if second % block == 0:
                self._starts.append(time.time())
            end = time.monotonic() + 1.0
            self._send_goal(policy, spec, generator)
            time.sleep(generator.uniform(0.2, 0.6))
            if second // block % 2 == 0:
                if sum(self._swaps.values()) % _WRONG_EVERY == _WRONG_EVERY - 1:
                    self._swap(policy, next(wrong), "refused")
                else:
                    self._swap(policy, next(models), "done")
            time.sleep(max(0.0, end - time.monotonic()))
        self._starts.append(time.time())
        time.sleep(_LAST_ANSWER_S)
        policy.signal()
        code = policy.wait()
        wait_until(lambda: driver.readers == 0, "the node is gone")
        return code

    def _swap(self, policy: PolicyProcess, path: Path, wanted: str) -> None:
        successful, why = policy.set_model(path)
        found = "done" if successful else "refused"
        if found != wanted:
            raise RuntimeError(f"a swap to {path.name} must be {wanted}; it was {found} {why}")
        self._swaps[found] += 1

    def _send_goal(self, policy: PolicyProcess, spec: PolicySpec, chosen: random.Random) -> None:
        bounds = zip(spec.goal.low, spec.goal.high, strict=True)
        x, y, z = (chosen.uniform(low, high) for low, high in bounds)
        policy.send_goal(x, y, z, frame=spec.goal.frame)

    def _judge(
        self,
        policy: PolicyProcess,
        driver: FaultyDriver,
        answers: Answers,
        spec: PolicySpec,
        code: int,
    ) -> dict[str, Any]:
        limit = np.array(spec.torque_limit)
        slew = SLEW * limit / limit.max()
        audit = CommandAudit(limit, slew, np.zeros(spec.joints), WATCHDOG_S, JITTER_S)
        times = np.array([command.time for command in driver.commands])
        torques = [command.torque for command in driver.commands]
        states = np.array(driver.state_times)
        found, _ = audit.judge(times, torques, states, self._waited, ended=True)
        figures = {
            "swaps done": ("", self._swaps["done"]),
            "swaps refused, as they must be": ("", self._swaps["refused"]),
            "violations of the always-true list": ("", len(found)),
            "faults": ("", policy.log.count("(clear with ~/clear_fault)")),
            "exit code of policy_node": ("", code),
            **self._timing(driver, times, torques, answers, slew),
        }
        return result.describe(
            NAME,
            f"Swap: {self.rate_hz:g} Hz, {self.seconds:g} s with a swap a second, as long without",
            [Figure(name, unit, (float(value),)) for name, (unit, value) in figures.items()],
            {
                "seconds": self.seconds,
                "rate_hz": self.rate_hz,
                "seed": self.seed,
                "model": self.model.name,
                "watchdog_s": WATCHDOG_S,
                "slew_limit": SLEW,
                "jitter_s": JITTER_S,
            },
            {"violations": [each.sentence for each in found[:100]]},
        )

    def _timing(
        self,
        driver: FaultyDriver,
        times: Array,
        torques: list[Array],
        answers: Answers,
        slew: Array,
    ) -> dict[str, tuple[str, float]]:
        """How the states were answered in the blocks with swaps, and in those without."""
        states = np.array(driver.state_times)
        delays = answers.delays(states)
        gaps = np.diff(times)
        # s of the slew limit's budget that a command used beyond the time since the one before
        ahead = (np.abs(np.diff(torques, axis=0)) / slew).max(axis=1) - gaps
        figures: dict[str, tuple[str, float]] = {}
        for place, kind in enumerate(("with swaps", "without")):
            of_states, of_gaps = (self._within(place, each) for each in (states, times[1:]))
            delay, answered = delays[of_states], delays[of_states & np.isfinite(delays)]
            lost = states[of_states & np.isinf(delays)]
            starved = sum(self._had_no_processor(each) for each in lost)
            figures |= {
                f"states, {kind}": ("", len(delay)),
                f"never answered, {kind}": ("", float(len(lost) - starved)),
                f"for want of a processor, {kind}": ("", float(starved)),
                f"after more than a period, {kind}": (
                    "",
                    float(np.sum(answered > driver.period_s)),
                ),
                f"after more than a watchdog, {kind}": ("", float(np.sum(answered > WATCHDOG_S))),
                f"answered after, median, {kind}": ("ms", 1e3 * np.median(answered)),
                f"answered after, longest, {kind}": ("ms", 1e3 * answered.max()),
                f"longest gap between commands, {kind}": ("ms", 1e3 * gaps[of_gaps].max()),
                f"slew limit ahead of the clock, {kind}": ("ms", 1e3 * ahead[of_gaps].max()),
            }
        return figures

    def _had_no_processor(self, state: float) -> bool:
        """Tell whether the node or the robot waited for one about the time of a state."""
        queue_s = _QUEUE / self.rate_hz
        return self._waited(state - queue_s, state + queue_s) > 0.5 * queue_s

    def _waited(self, start: float, end: float) -> float:
        return sum(delay.within(start, end) for delay in self._run_delays)

    def _within(self, place: int, times: Array) -> Bools:
        """Which times are in the blocks with swaps (place 0), or in those without (1)."""
        block = np.searchsorted(self._starts, times, side="right") - 1
        settled = times > self._starts[0] + 1.0  # not the first goal's soft start
        inside = (block >= 0) & (block < len(self._starts) - 1)
        return np.asarray(inside & settled & (block % 2 == place))
