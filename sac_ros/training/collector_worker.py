# SPDX-License-Identifier: Apache-2.0
"""The collector process, started by `WorkerSource`."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

from sac_ros.training.collector import Collector, CollectorSetup
from sac_ros.training.shared_memory import MemoryShape, SharedMemory

_POLL = 0.0005  # s


def main() -> int:
    """Collects into the shared memory that stdin's message names, until the stop."""
    message: dict[str, Any] = json.load(sys.stdin)
    shared = SharedMemory(MemoryShape(**message["memory"]), message["file_descriptor"])
    collector = CollectorSetup.from_json(message["setup"]).make(shared)
    shared.control.running = 1
    # A learner that was killed sends no stop; an orphan gets another parent.
    while not shared.control.stopped and os.getppid() == message["parent"]:
        if not step_if_allowed(collector, shared):
            time.sleep(_POLL)
    return 0


def step_if_allowed(collector: Collector, shared: SharedMemory) -> bool:
    """Steps unless paused or ahead of the learner; returns whether it did."""
    # Read once: a pause that came between two readings would be answered and not kept.
    control = shared.control
    pause = control.paused
    control.standing = pause
    if pause or shared.replay.env_steps >= control.allowed_steps:
        return False
    collector.step()
    return True


if __name__ == "__main__":
    sys.exit(main())
