# SPDX-License-Identifier: Apache-2.0
"""Bags of a simulated arm with hidden parameters."""

from __future__ import annotations

from pathlib import Path

from bag_maker import COMMANDS, START_NS, STATES, Entry, joint_state, numbers, write_bag

from benchmarks.hidden_arm import HIDDEN, Drive, Hidden, Run, run

__all__ = ["HIDDEN", "Drive", "Hidden", "Run", "run", "write"]


def write(
    made: Run,
    path: Path,
    *,
    commands: bool = True,
    effort: bool = False,
    late_ns: int = 200_000,
) -> Path:
    """Write a run as a bag: joint states with header stamps, and commands that come after each."""
    entries = []
    for k, time in enumerate(made.time):
        at = START_NS + round(time * 1e9)
        torque = made.torque[max(k - 1, 0)] if effort else ()  # in force at that moment
        state = joint_state(at, made.arm.joint_names, made.position[k], made.velocity[k], torque)
        entries.append(Entry(STATES, "states", at, state))
        if commands:
            entries.append(Entry(COMMANDS, "numbers", at + late_ns, numbers(made.torque[k])))
    return write_bag(path, entries)
