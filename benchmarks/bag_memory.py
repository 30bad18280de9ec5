# SPDX-License-Identifier: Apache-2.0
"""What each joint state of a bag adds to the memory that `evaluate_bag` takes; Linux only."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.bag_rate import MODEL, write_bag
from benchmarks.figure import Figure
from benchmarks.result import describe
from sac_ros.policy.runtime import Policy

NAME = "bag_memory"
_EVERY_S = 0.02  # between two looks at a process


@dataclass(frozen=True)
class BagMemory:
    """What to measure: the command on two bags of states and commands, the second larger.

    The kernel can take the pages of files back, those of libraries and of arrays that were put
    into files alike; the memory of its own it cannot.
    """

    states: tuple[int, int] = (40_000, 160_000)

    def measure(self) -> dict[str, Any]:
        """The result, see `benchmarks.result`."""
        policy = Policy.load(MODEL)
        with tempfile.TemporaryDirectory() as folder:
            peaks = [self._peaks(Path(folder) / str(n), policy, n) for n in self.states]
        figures = []
        for kind, smaller, larger in zip(("its own", "with pages of files"), *peaks, strict=True):
            each = (larger - smaller) / (self.states[1] - self.states[0])
            figures += [
                Figure(f"largest memory, {kind}, {n} states", "MB", (peak / 1e6,))
                for n, peak in zip(self.states, (smaller, larger), strict=True)
            ]
            figures.append(Figure(f"each state adds, {kind}", "bytes", (each,)))
        title = f"Memory of evaluate_bag, {policy.spec.joints} joints"
        return describe(NAME, title, figures, {"states": [*self.states]})

    def _peaks(self, path: Path, policy: Policy, states: int) -> tuple[int, int]:
        """Return the largest memory of its own, and with the pages of files, in bytes."""
        write_bag(path, "sqlite3", policy, states)
        arguments = [str(path), "--model", str(MODEL), "--json"]
        command = [sys.executable, "-m", "sac_ros.cli.evaluate_bag", *arguments]
        own = resident = 0
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            while process.poll() is None:
                status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
                found = dict(re.findall(r"(RssAnon|VmHWM):\s+(\d+) kB", status))
                own = max(own, int(found.get("RssAnon", 0)))
                resident = max(resident, int(found.get("VmHWM", 0)))
                time.sleep(_EVERY_S)
        if process.returncode:
            raise RuntimeError(f"evaluate_bag ended with {process.returncode}")
        return 1024 * own, 1024 * resident


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds this benchmark's options."""
    parser.add_argument(
        "--bag-states",
        type=int,
        nargs=2,
        default=BagMemory.states,
        metavar="N",
        help="of the smaller and of the larger bag",
    )


def from_options(options: argparse.Namespace) -> BagMemory:
    """From the options of `python -m benchmarks`."""
    return BagMemory(tuple(options.bag_states))
