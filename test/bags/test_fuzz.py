# SPDX-License-Identifier: Apache-2.0
"""Damaged bags: never a traceback, never a hang, always one of the three exit codes.

A hundred of them here; ``SAC_ROS_THOROUGH=1`` makes a thousand.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from bag_maker import TYPE_OF, TYPES, Entry, Motion, write_bag
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from tiny_policy import write_tiny_policy

from sac_ros.cli.evaluate_bag import main

DAMAGED = 1000 if os.environ.get("SAC_ROS_THOROUGH") else 100
LONGEST_S = 60  # a hang, not a slow machine: a good bag of this size takes some milliseconds


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Good storage files of every kind."""
    folder = tmp_path_factory.mktemp("good")
    entries = Motion(count=150).entries()
    bags = [write_bag(folder / kind, entries, kind) for kind in ("sqlite3", "mcap")]
    for mode in (CompressionMode.FILE, CompressionMode.MESSAGE, CompressionMode.STORAGE):
        path = folder / mode.name
        writer = Writer(path, version=9, storage_plugin=StoragePlugin.MCAP)
        writer.set_compression(mode, CompressionFormat.ZSTD)
        _fill(writer, entries)
        bags.append(path)
    return sorted(file for bag in bags for file in bag.iterdir())


def _fill(writer: Writer, entries: list[Entry]) -> None:
    with writer:
        known = {}
        for each in sorted(entries, key=lambda each: each.time_ns):
            if each.topic not in known:
                known[each.topic] = writer.add_connection(
                    each.topic, TYPE_OF[each.kind], typestore=TYPES
                )
            writer.write(known[each.topic], each.time_ns, each.cdr)


@pytest.fixture(autouse=True)
def no_hang() -> Iterator[None]:
    """An alarm for each damaged bag: `signal.alarm` is set anew before every one."""

    def hang(*_: object) -> None:
        raise TimeoutError("this damaged bag hangs")

    before = signal.signal(signal.SIGALRM, hang)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def damaged(content: bytes, generator: np.random.Generator) -> bytes:
    """Cut off, with bits flipped, with a stretch overwritten, or several of them."""
    changed = bytearray(content)
    kind = generator.integers(4)
    if kind in (0, 3):
        del changed[generator.integers(len(changed)) :]
    if kind in (1, 3) and changed:
        for _ in range(generator.integers(1, 12)):
            changed[generator.integers(len(changed))] ^= 1 << generator.integers(8)
    if kind == 2:
        start = int(generator.integers(len(changed)))
        noise = generator.bytes(int(generator.integers(1, 300)))
        changed[start : start + len(noise)] = noise
    return bytes(changed)


@pytest.mark.timeout(3600)
@pytest.mark.filterwarnings("error")  # numpy's would go to stderr too
def test_damaged_bags_are_evaluated_or_refused_with_one_sentence(
    tmp_path: Path, good: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    model = write_tiny_policy(tmp_path / "tiny.onnx")
    codes = {0: 0, 2: 0}
    for number in range(DAMAGED):
        generator = np.random.default_rng(number)
        original = good[number % len(good)]
        folder = tmp_path / f"{number}"
        folder.mkdir()
        for sibling in original.parent.iterdir():
            content = sibling.read_bytes()
            if sibling == original:
                content = damaged(content, generator)
            (folder / sibling.name).write_bytes(content)
        signal.alarm(LONGEST_S)
        code = main([str(folder), "--model", str(model)])
        signal.alarm(0)
        output = capsys.readouterr()
        assert code in codes, f"{original.name}, damage {number}"
        if code == 2:
            assert output.err.count("\n") == 1, f"{original.name}, damage {number}: {output.err}"
            assert output.out == ""
        codes[code] += 1
        for each in folder.iterdir():
            each.unlink()
    assert codes[0] > DAMAGED // 10, "nearly nothing was readable: the damage is no test"
    assert codes[2] > DAMAGED // 10, "nearly nothing was refused: the damage is no test"
