# SPDX-License-Identifier: Apache-2.0
"""A policy_node that is hurt once a second, with a command_guard behind it or without."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from command_audit import CommandAudit
from faulty_robot.calls import Calls
from faulty_robot.driver import FaultyDriver
from faulty_robot.motion import Motion
from faulty_robot.policy_process import PolicyProcess, start_guard, wait_until
from faulty_robot.run_delay import RunDelay
from faulty_robot.state_faults import STATE_FAULTS
from rclpy.node import Node
from std_srvs.srv import Trigger

from benchmarks import result
from benchmarks.figure import Figure
from sac_ros.policy.runtime import Policy
from sac_ros.policy.spec import PolicySpec

NAME = "soak"
WATCHDOG_S = 0.1  # twice the node's default, so that a busy machine is not one long fault
SLEW = 200.0  # N·m/s, a fifth of the default, so that what the jitter hides stays small
JITTER_S = 0.05  # that a busy machine may add between deciding a torque and publishing it
# A joint that jumps by 1 rad and tells 3 rad/s was there in truth where the last state that is
# believed is a third of a second old.
_TRUE_TOGETHER = {"two robots", "frozen at speed"}
_PARAMETERS = (
    "autostart:=true",
    "soft_start_s:=0.1",
    f"watchdog_s:={WATCHDOG_S}",
    f"slew_limit:={SLEW}",
)
_OF_THE_GUARD = (
    f"command_timeout_s:={WATCHDOG_S}",
    f"watchdog_s:={WATCHDOG_S}",
    f"slew_limit:={2.0 * SLEW}",
)


@dataclass
class Soak:
    """Drives a policy_node at 500 Hz and hurts it once a second.

    Attributes:
        seconds: how long.
        seed: of the faults and their moments.
        model: the policy file, for an iiwa.
        guarded: whether a command_guard stands between policy_node and the robot.
    """

    seconds: float
    seed: int
    model: Path
    guarded: bool = False
    _resident_mb: list[float] = field(default_factory=list)
    _faults: list[tuple[float, str]] = field(default_factory=list)
    _recovered: int = 0
    _run_delays: list[RunDelay] = field(default_factory=list)
    _guard: subprocess.Popen[bytes] | None = None

    def measure(self, node: Node, directory: Path) -> dict[str, Any]:
        """Run it with the robot's ``node``; see `benchmarks.result.describe`."""
        spec = Policy.load(self.model).spec
        policy = PolicyProcess(node)
        driver = FaultyDriver(node, spec.joint_names, Motion(spec))
        try:
            code = self._soak(policy, driver, spec, directory)
        finally:
            for delay in self._run_delays:
                delay.close()
            driver.close()
            policy.kill()
            if self._guard is not None:
                self._guard.kill()
                self._guard.wait()
        return self._judge(driver, spec, code)

    def _soak(
        self, policy: PolicyProcess, driver: FaultyDriver, spec: PolicySpec, directory: Path
    ) -> int:
        models = [directory / "one.onnx", directory / "other.onnx"]
        for path in models:
            shutil.copy(self.model, path)
        bad = directory / "bad.onnx"
        bad.write_text("Dear robot,\nplease move.\n", encoding="utf-8")
        commands = "commands"
        if self.guarded:
            commands = "policy_commands"
            self._guard = start_guard(_OF_THE_GUARD)
            self._run_delays.append(RunDelay(self._guard.pid))
        policy.start(models[0], _PARAMETERS, commands=commands)
        self._run_delays.append(RunDelay(policy.process.pid))
        wait_until(lambda: driver.commands or not policy.alive, "a command")
        calls = Calls(policy, spec.goal, models, bad, commands)
        generator = random.Random(self.seed)
        start = time.monotonic()
        for second in range(round(self.seconds)):
            if not policy.alive:
                raise RuntimeError(f"policy_node ended in second {second}:\n{policy.log}")
            self._one_second(policy, driver, calls, spec, generator)
            self._resident_mb.append(_resident_mb(policy.process.pid))
            time.sleep(max(0.0, start + second + 1.0 - time.monotonic()))
        policy.signal()
        code = policy.wait()
        if self._guard is not None:
            self._guard.send_signal(signal.SIGINT)
            code = code or self._guard.wait(timeout=30.0)
        wait_until(lambda: driver.readers == 0, "the nodes are gone")
        return code

    def _one_second(
        self,
        policy: PolicyProcess,
        driver: FaultyDriver,
        calls: Calls,
        spec: PolicySpec,
        generator: random.Random,
    ) -> None:
        """Clear what the last fault left, give a goal, and begin and end one fault or two."""
        if self.guarded:
            policy.call(Trigger, "command_guard/clear_fault", Trigger.Request())
        self._recovered += policy.clear_fault() == ""
        bounds = zip(spec.goal.low, spec.goal.high, strict=True)
        x, y, z = (generator.uniform(low, high) for low, high in bounds)
        policy.send_goal(x, y, z, frame=spec.goal.frame)
        names = [*STATE_FAULTS, *calls.names]
        chosen = generator.sample(names, 2 if generator.random() < 0.25 else 1)
        while set(chosen) == _TRUE_TOGETHER:
            chosen = generator.sample(names, 2)
        for name in chosen:
            time.sleep(generator.uniform(0.0, 0.3))
            self._faults.append((time.time(), name))
            (driver if name in STATE_FAULTS else calls).begin(name)
        time.sleep(generator.uniform(0.0, 0.3))
        for name in chosen:
            (driver if name in STATE_FAULTS else calls).end(name)

    def _waited(self, start: float, end: float) -> float:
        """How long the nodes waited for a processor between two times of the wall clock, s."""
        return sum(delay.within(start, end) for delay in self._run_delays)

    def _newest_fault(self, when: float) -> str:
        """The fault that began last before a time of the wall clock, and how long before."""
        before = [(when - began, name) for began, name in self._faults if began <= when]
        return f"{before[-1][0]:.3f} s after {before[-1][1]}" if before else "before any fault"

    def _judge(self, driver: FaultyDriver, spec: PolicySpec, code: int) -> dict[str, Any]:
        limit = np.array(spec.torque_limit)
        slew = 2.0 * SLEW if self.guarded else SLEW
        audit = CommandAudit(
            limit, slew * limit / limit.max(), np.zeros(spec.joints), WATCHDOG_S, JITTER_S
        )
        times = np.array([command.time for command in driver.commands])
        torques = [command.torque for command in driver.commands]
        states = np.array(driver.state_times)
        found, excused = audit.judge(times, torques, states, self._waited, ended=True)
        tenth = max(1, len(self._resident_mb) // 10)
        figures = {
            "violations of the always-true list": ("", len(found)),
            "exit code": ("", code),
            "gaps for want of a processor": ("", excused),
            "commands judged": ("", len(times)),
            "usable states": ("", len(driver.state_times)),
            "faults": ("", len(self._faults)),
            "seconds that began in tracking": ("", self._recovered),
            "resident memory, second tenth": ("MB", _median(self._resident_mb[tenth : 2 * tenth])),
            "resident memory, last tenth": ("MB", _median(self._resident_mb[-tenth:])),
        }
        return result.describe(
            f"{NAME}_guarded" if self.guarded else NAME,
            f"Soak: 500 Hz, a random fault every second, {self.seconds / 60.0:g} minutes"
            + (", behind a command_guard" if self.guarded else ""),
            [Figure(name, unit, (float(value),)) for name, (unit, value) in figures.items()],
            {
                "seconds": self.seconds,
                "seed": self.seed,
                "model": self.model.name,
                "watchdog_s": WATCHDOG_S,
                "slew_limit": SLEW,
                "jitter_s": JITTER_S,
            },
            {
                "faults": Counter(name for _, name in self._faults),
                "violations": [
                    {
                        "sentence": each.sentence,
                        "after": self._newest_fault(times[each.index]),
                    }
                    for each in found[:100]
                ],
                "violations_by_rule": Counter(each.rule.value for each in found),
                "resident_mb": [round(each, 2) for each in self._resident_mb],
            },
        )


def _resident_mb(process_id: int) -> float:
    """Resident memory of a process, from Linux' /proc."""
    for line in Path(f"/proc/{process_id}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return float(line.split()[1]) / 1024.0
    return float("nan")


def _median(values: Sequence[float]) -> float:
    return float(np.median(values)) if values else float("nan")
