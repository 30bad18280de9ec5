# SPDX-License-Identifier: Apache-2.0
"""From a joint state's publication to its command's receipt: policy_node against bare echoes.

Figure 4 of the speed figures. Every contestant is a process of its own that meets the same driver
(`node_driver.py`), in short turns that alternate; a turn starts a new process.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.figure import Figure, ratio
from benchmarks.result import describe
from sac_ros.policy.runtime import Policy
from sac_ros.policy.spec import PolicySpec
from sac_ros.utils.errors import ConfigurationError
from sac_ros.utils.package_share import share_path

NAME = "node_latency"
OURS, ECHO, FLOOR = "policy_node", "echo", "echo, bare wait set"
GUARD = "command_guard"
GUARDED = "policy_node and command_guard"
_ECHOES = {
    ECHO: "single_threaded",
    FLOOR: "bare_wait_set",
}
CONTESTANTS = (OURS, GUARDED, *_ECHOES)
_MODEL = share_path("models", "iiwa_reach.onnx")
_ANSWER_S = 30.0  # for a process to get ready, and for a turn beyond its own time
# A desktop's hiccups shall not latch a fault.
_PARAMETERS = {
    "autostart": "true",
    "watchdog_s": "0.5",
    "state_timeout_s": str(_ANSWER_S),
}


@dataclass(frozen=True)
class NodeLatency:
    """What to measure.

    Attributes:
        model: policy file of policy_node.
        rates_hz: of the joint states.
        seconds: for each contestant and rate, over all turns.
        turns: into how many turns these are divided.
        warm_up: s before each turn that are not counted.
        contestants: some of `CONTESTANTS`.
    """

    model: Path = _MODEL
    rates_hz: tuple[float, ...] = (500.0, 1000.0)
    seconds: float = 60.0
    turns: int = 6
    warm_up: float = 1.0
    contestants: tuple[str, ...] = CONTESTANTS

    def measure(self) -> dict[str, Any]:
        """The result, see `benchmarks.result`."""
        spec = Policy.load(self.model).spec
        figures: list[Figure] = []
        with _ros_environment() as environment:
            for rate in self.rates_hz:
                seen: dict[str, list[dict[str, Any]]] = {name: [] for name in self.contestants}
                for _ in range(self.turns):
                    for name in self.contestants:
                        seen[name].append(self._turn(name, spec, rate, environment))
                figures += _figures(rate, seen)
        settings = {
            "model": self.model.name,
            "rates_hz": list(self.rates_hz),
            "seconds": self.seconds,
            "turns": self.turns,
            "control_rate_hz": spec.control_rate_hz,
        }
        title = f"Node latency, {spec.name}: a joint state's publication to its command's receipt"
        return describe(NAME, title, figures, settings)

    def _turn(
        self, name: str, spec: PolicySpec, rate: float, environment: Mapping[str, str]
    ) -> dict[str, Any]:
        """One turn of a contestant: what `node_driver.Seen` holds."""
        job = start_job(self, name, spec, rate)
        command = _command(name, self.model)
        with ExitStack() as processes:
            driver, *servers = (
                processes.enter_context(_process(each, environment))
                for each in (
                    ["-m", "benchmarks.node_driver"],
                    command,
                    *([_guard(spec)] if name == GUARDED else []),
                )
            )
            job.update(pid=servers[-1].pid, started=time.monotonic())
            limit = job["seconds"] + self.warm_up + _ANSWER_S
            try:
                out, _ = driver.communicate(json.dumps(job) + "\n", timeout=limit)
            except subprocess.TimeoutExpired:
                raise ConfigurationError(f"{name} did not answer within {limit:g} s") from None
        seen: dict[str, Any] = json.loads(out.splitlines()[-1])
        return seen


def start_job(run: NodeLatency, name: str, spec: PolicySpec, rate: float) -> dict[str, Any]:
    """The fields of `node_driver.Job` that do not depend on the server's process."""
    goal = None
    if name in (OURS, GUARDED):
        pairs = zip(spec.goal.low, spec.goal.high, strict=True)
        goal = [spec.goal.frame, *(0.5 * (low + high) for low, high in pairs)]
    return {
        "rate_hz": rate,
        "seconds": run.seconds / run.turns,
        "warm_up": run.warm_up,
        "names": list(spec.joint_names),
        "position": [0.5 * (low + high) for low, high in spec.position_limit],
        "goal": goal,
        "guarded": name == GUARDED,
    }


def _command(name: str, model: Path) -> list[str]:
    if name not in (OURS, GUARDED):
        return ["-m", "benchmarks.node_echo", _ECHOES[name]]
    given = {"model_path": str(model), **_PARAMETERS}
    parameters = [part for item in given.items() for part in ("-p", ":=".join(item))]
    remapped = ["-r", "commands:=policy_commands"] if name == GUARDED else []
    return ["-m", "sac_ros.ros.policy.node", "--ros-args", *parameters, *remapped]


def _guard(spec: PolicySpec) -> list[str]:
    given = {"arm": spec.arm, "watchdog_s": "0.5", "command_timeout_s": "0.5"}
    parameters = [part for item in given.items() for part in ("-p", ":=".join(item))]
    return ["-m", "sac_ros.ros.policy.command_guard", "--ros-args", *parameters]


def _figures(rate: float, seen: Mapping[str, Sequence[dict[str, Any]]]) -> list[Figure]:
    """All figures of one rate; a number for each turn."""
    figures: list[Figure] = []
    compared: dict[str, dict[str, Figure]] = {}
    for name, turns in seen.items():
        measured = _GUARDS if name == GUARDED else _MEASURES
        who = GUARD if name == GUARDED else name
        compared[name] = {
            key: Figure(f"{rate:g} Hz: {who}, {key}", unit, tuple(map(of, turns)))
            for key, (unit, of) in measured.items()
        }
        figures += compared[name].values()
    if OURS in compared and ECHO in compared:
        for key in ("p50", "p99", "CPU"):
            label = f"{rate:g} Hz: {key}, {OURS} / {ECHO}"
            figures.append(ratio(label, compared[OURS][key], compared[ECHO][key]))
    return figures


def _percentile(percent: float, times: str = "milliseconds") -> Any:
    return lambda seen: float(np.percentile(seen[times], percent))


_MEASURES: dict[str, tuple[str, Any]] = {
    "p50": ("ms", _percentile(50)),
    "p99": ("ms", _percentile(99)),
    "max": ("ms", _percentile(100)),
    "missed": ("%", lambda seen: 100.0 * seen["missed"] / seen["states"]),
    "late": ("%", lambda seen: 100.0 * seen["late"] / seen["states"]),
    "CPU": ("% of a core", lambda seen: 100.0 * seen["server_cpu"]),
    "memory": ("MiB", lambda seen: seen["server_rss"]),
    "start to first command": ("s", lambda seen: seen["start_s"]),
    "driver's CPU": ("% of a core", lambda seen: 100.0 * seen["driver_cpu"]),
    "driver's publish": ("µs", lambda seen: seen["publish_us"]),
}

# Not the round trip of the two: the driver counts answers by their order, and the guard takes the
# newest of the commands that wait.
_GUARDS = {
    "adds p50": ("ms", _percentile(50, "forwarded_ms")),
    "adds p99": ("ms", _percentile(99, "forwarded_ms")),
    **{key: _MEASURES[key] for key in ("CPU", "memory")},
}


@contextmanager
def _ros_environment() -> Iterator[dict[str, str]]:
    """An environment in which processes meet in a domain of their own, on this machine."""
    # Only here: the other benchmarks do without ROS.
    from sac_ros.ros.private_ros import PrivateDomain, loopback_only  # noqa: PLC0415

    domain = PrivateDomain()
    environment = {**os.environ, "ROS_DOMAIN_ID": str(domain.id)}
    loopback_only(environment)
    try:
        yield environment
    finally:
        domain.release()


@contextmanager
def _process(
    arguments: Sequence[str], environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[str]]:
    """A Python process that is ended at the end: asked first, killed where it does not listen."""
    process = subprocess.Popen(
        [sys.executable, *arguments],
        env=dict(environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        if "benchmarks.node_driver" in arguments and process.stdout is not None:
            process.stdout.readline()  # it is ready
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.communicate(timeout=_ANSWER_S)
        except (
            subprocess.TimeoutExpired,
            ValueError,
        ):  # its pipes are closed
            process.kill()
        process.wait()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds this benchmark's options."""
    parser.add_argument(
        "--seconds", type=float, default=60.0, metavar="S", help="node_latency: of each and rate"
    )
    parser.add_argument(
        "--node-turns", type=int, default=6, metavar="N", help="node_latency: turns of each"
    )


def from_options(options: argparse.Namespace) -> NodeLatency:
    """From the options of `python -m benchmarks`."""
    return NodeLatency(
        seconds=options.seconds,
        turns=options.node_turns,
    )
