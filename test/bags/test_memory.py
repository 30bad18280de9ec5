# SPDX-License-Identifier: Apache-2.0
"""A bag larger than the memory: its numbers go to files, and only those of the chosen topics."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from bag_maker import START_NS, STATES, TYPE_OF, TYPES, joint_state, numbers
from rosbags.rosbag2 import StoragePlugin, Writer
from tiny_policy import JOINTS, write_tiny_policy

from sac_ros.bags.columns import Column, Spool
from sac_ros.utils.errors import BagError

_ROWS = 400_000
_MEGABYTES = 50  # what the process may take beyond the interpreter with its libraries

_LIMITED = """
import resource, sys
from pathlib import Path
from sac_ros.bags.columns import Spool
from sac_ros.bags.evaluation import EvaluationOptions, evaluate_bags
from sac_ros.policy.runtime import Policy

policy = Policy.load(sys.argv[2])
used = int(next(line for line in open("/proc/self/status") if "VmData" in line).split()[1])
limit = (used + int(sys.argv[4]) * 1024) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
spool = Spool(Path(sys.argv[3]))
evaluation, series = evaluate_bags([Path(sys.argv[1])], [policy], EvaluationOptions(), spool)
print(evaluation.models[0].samples, evaluation.bags[0].bytes)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
@pytest.mark.parametrize("storage", [pytest.param("SQLITE3", marks=pytest.mark.long), "MCAP"])
def test_memory_does_not_grow_with_the_bag(tmp_path: Path, storage: str) -> None:
    bag = tmp_path / "bag"
    state = bytearray(joint_state(0, JOINTS, [0.1] * 3, [0.0] * 3, [0.3] * 3))
    picture = numbers(np.zeros(20_000))  # what nobody asked for: 160 kB each
    with Writer(bag, version=9, storage_plugin=StoragePlugin[storage]) as writer:
        states = writer.add_connection(STATES, TYPE_OF["states"], typestore=TYPES)
        pictures = writer.add_connection("/pictures", TYPE_OF["states"], typestore=TYPES)
        for i in range(_ROWS):
            time_ns = START_NS + i * 2_000_000
            seconds, rest = divmod(time_ns, 10**9)
            state[4:12] = seconds.to_bytes(4, "little") + rest.to_bytes(4, "little")
            writer.write(states, time_ns, bytes(state))
            if i % 400 == 0:
                writer.write(pictures, time_ns, picture)
    model = write_tiny_policy(tmp_path / "tiny.onnx")
    spool = tmp_path / "spool"
    spool.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", _LIMITED, bag, model, spool, str(_MEGABYTES)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    samples, size = map(int, done.stdout.split())
    assert samples == _ROWS
    assert size > 2 * _MEGABYTES * 2**20


def test_a_full_disk_is_told_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(BagError, match=rf"^large arrays need room in {tmp_path}: No space left"):
        Spool(tmp_path, in_memory=100).empty((100, 7))
    column = Column(Spool(tmp_path / "gone", in_memory=100))
    with pytest.raises(BagError, match=r"need room in .*gone: No such file"):
        column.append(np.zeros(100))
