# SPDX-License-Identifier: Apache-2.0
"""`make soak`: a random fault every second, every published command judged."""

from __future__ import annotations

import argparse
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from command_audit import TICK, CommandAudit, Rule, Violation
from faulty_robot.calls import Calls
from faulty_robot.driver import FaultyDriver
from faulty_robot.motion import Motion
from faulty_robot.policy_process import PolicyProcess, wait_until
from faulty_robot.private_ros import private_node
from faulty_robot.run_delay import RunDelay
from faulty_robot.state_faults import STATE_FAULTS
from numpy.typing import NDArray

from benchmarks import result
from benchmarks.figure import Figure
from sac_ros.policy.runtime import Policy
from sac_ros.policy.spec import PolicySpec
from sac_ros.utils.errors import run_command
from sac_ros.utils.package_share import share_path

NAME = "soak"
WATCHDOG_S = 0.1  # twice the node's default, so that a busy machine is not one long fault
SLEW = 200.0  # N·m/s, a fifth of the default, so that what the jitter hides stays small
JITTER_S = 0.05  # that a busy machine may add between deciding a torque and publishing it
_PARAMETERS = (
    "autostart:=true",
    "soft_start_s:=0.1",
    f"watchdog_s:={WATCHDOG_S}",
    f"slew_limit:={SLEW}",
)


@dataclass
class Soak:
    """Drives a policy_node at 500 Hz and hurts it once a second.

    Attributes:
        seconds: how long.
        seed: of the faults and their moments.
        model: the policy file.
    """

    seconds: float
    seed: int
    model: Path
    _resident_mb: list[float] = field(default_factory=list)
    _faults: list[tuple[float, str]] = field(default_factory=list)
    _recovered: int = 0
    _run_delay: RunDelay | None = None

    def measure(self) -> dict[str, Any]:
        """Run it; see `benchmarks.result.describe`."""
        spec = Policy.load(self.model).spec
        with private_node("robot") as node, tempfile.TemporaryDirectory() as directory:
            policy = PolicyProcess(node)
            driver = FaultyDriver(node, spec.joint_names, Motion(spec))
            try:
                code = self._soak(policy, driver, spec, Path(directory))
            finally:
                if self._run_delay is not None:
                    self._run_delay.close()
                driver.close()
                policy.kill()
        return self._judge(driver, spec, code)

    def _soak(
        self, policy: PolicyProcess, driver: FaultyDriver, spec: PolicySpec, directory: Path
    ) -> int:
        models = [directory / "one.onnx", directory / "other.onnx"]
        for path in models:
            shutil.copy(self.model, path)
        bad = directory / "bad.onnx"
        bad.write_text("Dear robot,\nplease move.\n", encoding="utf-8")
        policy.start(models[0], _PARAMETERS)
        self._run_delay = RunDelay(policy.process.pid)
        wait_until(lambda: driver.commands or not policy.alive, "a command")
        calls = Calls(policy, spec.goal, models, bad)
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
        wait_until(lambda: driver.readers == 0, "the node is gone")
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
        self._recovered += policy.clear_fault() == ""
        bounds = zip(spec.goal.low, spec.goal.high, strict=True)
        x, y, z = (generator.uniform(low, high) for low, high in bounds)
        policy.send_goal(x, y, z, frame=spec.goal.frame)
        names = [*STATE_FAULTS, *calls.names]
        chosen = generator.sample(names, 2 if generator.random() < 0.25 else 1)
        for name in chosen:
            time.sleep(generator.uniform(0.0, 0.3))
            self._faults.append((time.time(), name))
            (driver if name in STATE_FAULTS else calls).begin(name)
        time.sleep(generator.uniform(0.0, 0.3))
        for name in chosen:
            (driver if name in STATE_FAULTS else calls).end(name)

    def _had_no_processor(self, violation: Violation, times: NDArray[np.float64]) -> bool:
        """Tell whether a node was quiet for too long only since the kernel did not let it run."""
        if violation.rule is not Rule.NEVER_QUIET or violation.index + 1 == len(times):
            return False
        start, end = times[violation.index : violation.index + 2]
        waited = 0.0 if self._run_delay is None else self._run_delay.within(start, end)
        return bool(end - start - waited <= TICK * WATCHDOG_S + JITTER_S)

    def _newest_fault(self, when: float) -> str:
        """The fault that began last before a time of the wall clock, and how long before."""
        before = [(when - began, name) for began, name in self._faults if began <= when]
        return f"{before[-1][0]:.3f} s after {before[-1][1]}" if before else "before any fault"

    def _judge(self, driver: FaultyDriver, spec: PolicySpec, code: int) -> dict[str, Any]:
        limit = np.array(spec.torque_limit)
        audit = CommandAudit(
            limit, SLEW * limit / limit.max(), np.zeros(spec.joints), WATCHDOG_S, JITTER_S
        )
        times = np.array([command.time for command in driver.commands])
        torques = [command.torque for command in driver.commands]
        judged = audit.violations(times, torques, driver.state_times, ended=True)
        found = [each for each in judged if not self._had_no_processor(each, times)]
        tenth = max(1, len(self._resident_mb) // 10)
        figures = {
            "violations of the always-true list": ("", len(found)),
            "exit code of policy_node": ("", code),
            "gaps for want of a processor": ("", len(judged) - len(found)),
            "commands judged": ("", len(times)),
            "usable states": ("", len(driver.state_times)),
            "faults": ("", len(self._faults)),
            "seconds that began in tracking": ("", self._recovered),
            "resident memory, second tenth": ("MB", _median(self._resident_mb[tenth : 2 * tenth])),
            "resident memory, last tenth": ("MB", _median(self._resident_mb[-tenth:])),
        }
        return result.describe(
            NAME,
            f"Soak: 500 Hz, a random fault every second, {self.seconds / 60.0:g} minutes",
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the soak; returns 0, 1 where a rule was broken, or 2 for wrong arguments."""
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long (default 10)")
    parser.add_argument("--seed", type=int, default=0, help="of the faults (default 0)")
    parser.add_argument(
        "--model",
        type=Path,
        default=share_path("models", "iiwa_reach.onnx"),
        help="policy file (default: the shipped one)",
    )
    parser.add_argument("--directory", type=Path, default=result.DIRECTORY, help="for the result")
    options = parser.parse_args(arguments)

    def run() -> int:
        found = Soak(options.minutes * 60.0, options.seed, options.model).measure()
        print(f"{result.text(found)}\n  {result.save(found, options.directory)}")
        broken = found["details"]["violations"] or found["figures"][1]["median"]
        return 1 if broken else 0

    return run_command(run)


if __name__ == "__main__":
    raise SystemExit(main())
