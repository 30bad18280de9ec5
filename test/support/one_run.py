# SPDX-License-Identifier: Apache-2.0
"""A tiny run in a process of its own: `python one_run.py DIRECTORY CHANGES KILL_AT`.

CHANGES are those of `tiny_config`, as JSON. The process kills itself right after the first
checkpoint at KILL_AT steps or more.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from tiny_run import open_session


def main(directory: str, changes: str, kill_at: str) -> int:
    run = open_session(Path(directory), **json.loads(changes))
    save = run.save_checkpoint

    def save_and_die() -> Path:
        path = save()
        if run.state.replay.env_steps >= int(kill_at):
            os.kill(os.getpid(), signal.SIGKILL)
        return path

    run.save_checkpoint = save_and_die  # type: ignore[method-assign]
    run.run()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
