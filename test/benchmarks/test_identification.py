# SPDX-License-Identifier: Apache-2.0
"""The benchmark of the identification prints what it found beside what is hidden."""

from __future__ import annotations

import re

import pytest

pytest.importorskip("mujoco", reason="mujoco is not installed: the extra mujoco brings it")

from benchmarks.identification import main


def test_a_table_of_a_world_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--worlds", "1", "--seconds", "15"]) == 0
    printed = capsys.readouterr().out
    for name in ("armature", "joint_damping", "coulomb_friction", "payload_kg", "delay_s"):
        assert re.search(rf"^{name} +\d+ ", printed, re.MULTILINE)
    assert re.search(r"^\d+ of \d+ intervals of 95 % hold", printed, re.MULTILINE)
