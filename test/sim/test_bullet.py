# SPDX-License-Identifier: Apache-2.0
"""Bullet greets on a stdout that belongs to `--json`; nobody must hear it."""

from __future__ import annotations

import subprocess
import sys

CODE = """
from sac_ros.sim.backend import make_backend
from sac_ros.robots.arm import load_arm
sim = make_backend("bullet", load_arm("iiwa"), gravity=False)
sim.step([0.0] * 7, 1)
sim.close()
import os, sys
os.write(1, b"out")
os.write(2, b"err")
sys.stdout.write("!")
"""


def test_importing_and_running_bullet_prints_nothing_and_leaves_the_streams_open() -> None:
    ended = subprocess.run([sys.executable, "-c", CODE], capture_output=True, timeout=60.0)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == b"out!"
    assert ended.stderr == b"err"


def test_what_was_printed_before_bullet_loads_is_not_lost() -> None:
    code = "print('first')\nimport sac_ros.sim.bullet\nprint('second')"
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60.0
    )
    assert ended.stdout.split() == ["first", "second"]
