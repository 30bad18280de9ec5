# SPDX-License-Identifier: Apache-2.0
"""Starts trainings on request without the seconds that their imports take.

Reads a JSON object a line, `{"directory": ..., "changes": ..., "kill_at": ...}`, forks a process
that runs that tiny run, and prints its process id and, once it has ended, its exit code. The
child's own output goes to `directory/log`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from pathlib import Path

from tiny_run import open_session

from sac_ros.training.runner import TrainingSession


def main() -> int:
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            os._exit(train(Path(request["directory"]), request["changes"], request["kill_at"]))
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
    return 0


def train(directory: Path, changes: dict[str, object], kill_at: int | None) -> int:
    log = os.open(directory / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    try:
        run = open_session(directory, **changes)
        if kill_at is not None:
            die_after(run, kill_at)
        run.run()
    except BaseException:  # nothing may return into the server's loop
        traceback.print_exc()
        return 1
    return 0


def die_after(run: TrainingSession, steps: int) -> None:
    """Let it kill itself right after the first checkpoint at so many steps or more."""
    save = run.save_checkpoint

    def save_and_die() -> Path:
        path = save()
        if run.state.replay.env_steps >= steps:
            os.kill(os.getpid(), signal.SIGKILL)
        return path

    run.save_checkpoint = save_and_die  # type: ignore[method-assign]


if __name__ == "__main__":
    sys.exit(main())
