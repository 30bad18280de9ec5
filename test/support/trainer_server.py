# SPDX-License-Identifier: Apache-2.0
"""Starts trainings on request without the seconds that their imports take.

Reads a JSON object a line, `{"directory": ..., "changes": ...}`, forks a process that runs that
tiny run, and prints its process id. The child's own output goes to `directory/log`.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path

from tiny_run import open_session


def main() -> int:
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            os._exit(train(Path(request["directory"]), request["changes"]))
        print(child, flush=True)
        os.waitpid(child, 0)
        print("ended", flush=True)
    return 0


def train(directory: Path, changes: dict[str, object]) -> int:
    log = os.open(directory / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    try:
        open_session(directory, **changes).run()
    except BaseException:  # nothing may return into the server's loop
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
