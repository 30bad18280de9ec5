# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C at random moments over all commands and launch files: what is left behind, and when.

`python -m benchmarks.interrupts` starts each as a terminal does and sends SIGINT to its process
group. Linux only. Exit code 1: a traceback or a process was left behind, or one took too long.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import sac_ros
from benchmarks.bag_rate import MODEL, write_bag
from sac_ros.entry import COMMANDS, NODES
from sac_ros.policy.runtime import Policy
from sac_ros.utils.package_share import share_path

LIMIT = 2.0  # s from the signal to the end
TRAINING_LIMIT = 5.0  # s, where a word names what takes so long
_WORD = "stopping"
_SHORTEST = 0.001  # s from the start to the signal
_GIVEN_UP = 60.0  # s after the signal
_LOST = 6.0  # s after which a signal may be lost: a user tries again
_AFTERWARDS = 0.3  # s for what a process has killed to be gone
_KEPT_LINES = 40
_MARK = "SAC_ROS_INTERRUPTS"  # in the environment of all that a try starts
_SCRIPT = (
    "import sys; sys.argv[0] = {name!r}; from sac_ros.entry import {name}; sys.exit({name}())"
)
_STATES = 100_000  # of a bag that takes a while to evaluate

NODE_ARGUMENTS = {
    "command_guard": ["-p", "arm:=iiwa"],
    "policy_node": ["-p", f"model_path:={MODEL}"],
    "recorder_node": [],
    "replay_node": ["-p", "bag:={bag}", "-p", f"model_path:={MODEL}"],
    "sim_node": ["--params-file", str(share_path("config", "sim.yaml"))],
    "train_node": ["-p", "total_steps:=300000"],
}
COMMAND_ARGUMENTS = {
    "check_arm": ["iiwa"],
    "convert_policy": [str(MODEL), "converted.onnx"],  # refused after a while
    "evaluate_bag": ["{bag}", "--model", str(MODEL), "--output", "result"],
    "evaluate_policy": [str(MODEL), "--episodes", "2000"],
    "identify_robot": ["{bag}", "--arm", "iiwa"],
    "reach_demo": ["--goals", "20", "--record", "recorded"],
    "sweep": [str(share_path("config", "sweeps", "settings.yaml"))],
}
LAUNCH_ARGUMENTS = {
    "deploy": ["record:=true"],
    "replay": ["bag:={bag}", f"model:={MODEL}"],
    "simulate": [],
    "train": [],
}
# Other ways through the same script.
VARIANTS = {
    "train_node": [
        ["-p", "total_steps:=2000"],  # its report, after some ten seconds
        ["-p", "total_steps:=300000", "-p", "collector:=ray"],
    ],
}


@dataclass(frozen=True)
class Try:
    """What one Ctrl-C came to.

    Attributes:
        name: of the console script or the launch file.
        arguments: the rest of the command line.
        after: s from the start to the signal.
        took: s from the signal to the end; NaN: it had ended before.
        code: the exit code; negative: the number of the signal that ended it.
        traceback: whose code was interrupted: `ours`, `theirs` (the interpreter's or that of
            ROS, before the first line or after the last one of this package), or none.
        orphans: the command lines of what was left.
        limit: s that it may take.
        output: its last lines.
    """

    name: str
    arguments: str
    after: float
    took: float
    code: int
    traceback: str
    orphans: tuple[str, ...]
    limit: float
    output: str

    @property
    def faults(self) -> list[str]:
        """What is wrong with it."""
        found = ["a traceback"] if self.traceback == "ours" else []
        if self.took > self.limit:
            found.append(f"longer than {self.limit:g} s")
        return [*found, *(f"left behind: {each}" for each in self.orphans)]

    def __str__(self) -> str:
        took = "ended before" if math.isnan(self.took) else f"{self.took:7.2f} s"
        theirs = "; a traceback of the interpreter" if self.traceback == "theirs" else ""
        words = "; ".join(self.faults) or "ok"
        return (
            f"{self.name:16s} {self.after:7.3f} s {took:>12s}  exit {self.code:4d}  "
            f"{words}{theirs}  ({self.arguments})"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m benchmarks.interrupts`."""
    options = _parser().parse_args(arguments)
    ros2 = options.ros2 or shutil.which("ros2")
    launches = [f"{name}.launch.py" for name in LAUNCH_ARGUMENTS] if ros2 else []
    if not ros2:
        print("no launch files: there is no ros2 here (--ros2 names one)")
    names = options.only or [*NODES, *COMMANDS, *launches]
    chosen = random.Random(options.seed)
    tries = []
    with tempfile.TemporaryDirectory() as folder:
        bag = Path(folder) / "bag"
        write_bag(bag, "mcap", Policy.load(MODEL), options.states)
        for number in range(options.tries):
            name = names[number % len(names)]
            work = Path(folder) / str(number)
            work.mkdir()
            low, high = math.log(_SHORTEST), math.log(options.longest)
            after = math.exp(chosen.uniform(low, high))
            command = _command(name, ros2 or "", str(bag), chosen)
            tries.append(_interrupted(name, command, after, work, options.slack))
            print(tries[-1], flush=True)
            if tries[-1].faults:
                print(textwrap.indent(tries[-1].output, "    | "), flush=True)
    print(_table(tries))
    return 1 if any(each.faults for each in tries) else 0


def _command(name: str, ros2: str, bag: str, chosen: random.Random) -> list[str]:
    """As a console script and as `python -m` in turn."""
    if name.endswith(".launch.py"):
        given = LAUNCH_ARGUMENTS[name.removesuffix(".launch.py")]
        start = [ros2, "launch", str(share_path("launch", name))]
    else:
        usual = NODE_ARGUMENTS.get(name) or COMMAND_ARGUMENTS.get(name, [])
        given = chosen.choice([usual, *VARIANTS.get(name, [])])
        if name in NODES:
            given = ["--ros-args", *given]
        module = NODES.get(name) or COMMANDS[name]
        script = ["-c", _SCRIPT.format(name=name)]
        start = [sys.executable, *chosen.choice([script, ["-m", module]])]
    return [*start, *(each.format(bag=bag) for each in given)]


def _interrupted(name: str, command: list[str], after: float, work: Path, slack: float) -> Try:
    mark = uuid.uuid4().hex
    log = work / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=work,
            env={**os.environ, _MARK: mark},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        with suppress(subprocess.TimeoutExpired):
            process.wait(after)
        ended = process.returncode is not None
        sent = time.monotonic()
        if not ended:
            os.killpg(process.pid, signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_LOST)
        if process.returncode is None and _traceback(log.read_text(errors="replace")) == "theirs":
            sent = time.monotonic()  # the interpreter has lost the first one
            os.killpg(process.pid, signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GIVEN_UP)
        took = math.nan if ended else time.monotonic() - sent
    time.sleep(_AFTERWARDS)
    orphans = _marked(mark)
    for each in orphans:
        with suppress(OSError):
            os.kill(each, signal.SIGKILL)
    code = process.wait()
    text = log.read_text(errors="replace")
    kept = "\n".join(text.splitlines()[-_KEPT_LINES:])
    limit = TRAINING_LIMIT if _WORD in text else LIMIT
    words = " ".join(each.rpartition("/")[2] for each in command[1:])
    found, left = _traceback(text), tuple(orphans.values())
    return Try(name, words, after, took, code, found, left, limit * slack, kept)


def _traceback(text: str) -> str:
    """Whose it is: a traceback of ours has a frame in this package or its launch files."""
    if not any(
        words in text for words in ("Traceback (most", "Exception ignored", "Fatal Python")
    ):
        return ""
    ours = [f'File "{each}/' for each in (share_path("launch"), Path(sac_ros.__file__).parent)]
    return "ours" if any(each in text for each in ours) else "theirs"


def _marked(mark: str) -> dict[int, str]:
    """The processes that carry the mark, with their command lines; none that are dead."""
    found = {}
    for directory in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"{_MARK}={mark}".encode() in (directory / "environ").read_bytes():
                line = (directory / "cmdline").read_bytes().replace(b"\0", b" ")
                if line:  # else a zombie
                    found[int(directory.name)] = line.decode(errors="replace")[:100]
    return found


def _table(tries: list[Try]) -> str:
    columns = ["", "tries", "ended before", "tracebacks, ours", "the interpreter's"]
    columns += ["left behind", "median, s", "longest, s", "exit codes"]
    lines = ["", f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for name in [*dict.fromkeys(each.name for each in tries), "all"]:
        of_it = [each for each in tries if name in (each.name, "all")]
        took = [each.took for each in of_it if not math.isnan(each.took)] or [math.nan]
        cells: list[object] = [
            name,
            len(of_it),
            sum(math.isnan(each.took) for each in of_it),
            sum(each.traceback == "ours" for each in of_it),
            sum(each.traceback == "theirs" for each in of_it),
            sum(len(each.orphans) for each in of_it),
            f"{statistics.median(took):.2f}",
            f"{max(took):.2f}",
            ", ".join(map(str, sorted({each.code for each in of_it}))),
        ]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.interrupts", description=__doc__)
    add = parser.add_argument
    add("--tries", type=int, default=100, help="in all (default: %(default)s)")
    add("--seed", type=int, default=0, help="of the moments (default: %(default)s)")
    add("--only", nargs="*", metavar="NAME", help="console scripts and launch files")
    add("--longest", type=float, default=15.0, help="s before a signal (default: %(default)s)")
    add("--slack", type=float, default=1.0, help="times the limits, for a busy machine")
    add("--states", type=int, default=_STATES, help="of the bag that is read")
    add("--ros2", help="command that runs `ros2` (default: the one on the PATH)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
