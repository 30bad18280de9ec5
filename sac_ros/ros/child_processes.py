# SPDX-License-Identifier: Apache-2.0
"""Console scripts as child processes that never outlive their parent's work."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from sac_ros.utils.interrupts import held_back

_GRACE = 5.0  # s for a node to end by itself after a signal

# What pip's console scripts do. Not the scripts themselves: colcon installs them elsewhere.
# Linux sends a SIGTERM to a child whose parent was killed, which could not end it any more.
_SCRIPT = (
    "import ctypes, sys; getattr(ctypes.CDLL(None), 'prctl', int)({on_death}, {sigterm}); "
    "sys.argv[0] = {name!r}; from {module} import {name}; sys.exit({name}())"
)
_ON_DEATH = 1  # PR_SET_PDEATHSIG of linux/prctl.h


class ChildProcesses(ExitStack):
    """Console scripts run as child processes; leaving the context ends them, the last one first.

    So a policy node that was started after its robot sends its last command to a living robot.
    """

    def __init__(self) -> None:
        """Starts nothing yet."""
        super().__init__()
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def start_node(
        self,
        name: str,
        namespace: str,
        files: Iterable[Path] = (),
        *,
        topics: Mapping[str, str] | None = None,
        **parameters: object,
    ) -> None:
        """Runs a node of this package with parameter files and, above them, parameters.

        `topics` are new names by those that the node has for them.
        """
        arguments = ["--ros-args", "--log-level", "warn", "-r", f"__ns:={namespace}"]
        for own, new in (topics or {}).items():
            arguments += ["-r", f"{own}:={new}"]
        for file in files:
            arguments += ["--params-file", str(file)]
        for key, value in parameters.items():
            arguments += ["-p", f"{key}:={value}"]
        self.start(name, arguments)

    def start(self, name: str, arguments: Sequence[str], module: str = "sac_ros.entry") -> None:
        """Runs the console script `name`, which is a function of `module`.

        Its stderr is ours; its stdout is dropped, since a command answers on that.
        """
        script = _SCRIPT.format(
            module=module, name=name, on_death=_ON_DEATH, sigterm=int(signal.SIGTERM)
        )
        with held_back():
            child = self._children[name] = subprocess.Popen(
                [sys.executable, "-c", script, *arguments],
                stdout=subprocess.DEVNULL,
                # Ctrl-C reaches a whole group: the children get their one signal from `_end`.
                start_new_session=True,
            )
            self.callback(_end, child)

    def wait(self, name: str) -> int:
        """Waits for the end of a child that ends by itself; returns its exit code."""
        return self._children[name].wait()

    def ended(self) -> str:
        """Returns which child has ended, such as `sim_node ended with exit code 2`; else empty."""
        for name, child in self._children.items():
            if (code := child.poll()) is not None:
                return f"{name} ended with exit code {code}"
        return ""


def _end(child: subprocess.Popen[bytes]) -> None:
    """Send SIGINT, and SIGTERM and SIGKILL where the one before has no effect."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        if child.poll() is not None:
            return
        child.send_signal(number)
        with suppress(subprocess.TimeoutExpired):
            child.wait(_GRACE)
