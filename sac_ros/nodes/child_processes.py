# SPDX-License-Identifier: Apache-2.0
"""Console scripts as child processes that never outlive their parent's work."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress

_GRACE = 5.0  # s for a node to end by itself after a signal


# What pip's console scripts do. Not the scripts themselves: colcon installs them elsewhere.
_SCRIPT = "import sys; from {module} import main; sys.argv[0] = {name!r}; sys.exit(main())"


class ChildProcesses(ExitStack):
    """Console scripts run as child processes; leaving the context ends them, the last one first.

    The order matters: a policy node started after its robot publishes its last, safe command to a
    robot that is still there.
    """

    def __init__(self) -> None:
        """Starts nothing yet."""
        super().__init__()
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def start(
        self,
        name: str,
        module: str,
        arguments: Sequence[str],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Runs `main()` of `module` with `arguments`, called `name` in messages.

        The environment is ours where none is given.

        Its stderr is ours, so that an error is read; its stdout is dropped, since it is ours to
        answer on.
        """
        child = self._children[name] = subprocess.Popen(
            [sys.executable, "-c", _SCRIPT.format(module=module, name=name), *arguments],
            env=environment,
            stdout=subprocess.DEVNULL,
            # Ctrl-C reaches the whole group: the children are to hear it from us, and once.
            start_new_session=True,
        )
        self.callback(_end, child)

    def ended(self) -> str:
        """Says which child has ended, such as `sim_node ended with exit code 2`; else empty."""
        for name, child in self._children.items():
            if (code := child.poll()) is not None:
                return f"{name} ended with exit code {code}"
        return ""


def _end(child: subprocess.Popen[bytes]) -> None:
    """First ask by SIGINT, then tell by SIGTERM, then kill."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        if child.poll() is not None:
            return
        child.send_signal(number)
        with suppress(subprocess.TimeoutExpired):
            child.wait(_GRACE)
