# SPDX-License-Identifier: Apache-2.0
"""The soak runs, hurts the node and judges what it published."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: `make setup` brings it")

import soak
from command_audit import Rule, Violation
from faulty_robot import driver

pytestmark = pytest.mark.long


@pytest.fixture(autouse=True)
def domain_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROS_DOMAIN_ID", os.environ["ROS_DOMAIN_ID"])  # the soak takes its own


def figures(directory: Path) -> dict[str, float]:
    found = json.loads((directory / "soak.json").read_text())
    return {figure["name"]: figure["median"] for figure in found["figures"]}


def test_a_sound_node_breaks_no_rule(tmp_path: Path) -> None:
    assert soak.main(["--minutes", "0.05", "--directory", str(tmp_path)]) == 0
    found = figures(tmp_path)
    assert found["violations of the always-true list"] == 0
    assert found["faults"] >= 3
    assert found["commands judged"] > 100
    assert found["resident memory, last tenth"] > 10


def test_a_wrong_command_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = driver.FaultyDriver._record

    def wrongly(self: driver.FaultyDriver, message: object, info: object) -> None:
        record(self, message, info)
        self.commands[-1].torque[0] += 1e3

    monkeypatch.setattr(driver.FaultyDriver, "_record", wrongly)
    assert soak.main(["--minutes", "0.02", "--directory", str(tmp_path)]) == 1
    assert figures(tmp_path)["violations of the always-true list"] > 0


@pytest.mark.parametrize(("waited", "excused"), [(0.35, True), (0.3, False)])
def test_a_gap_is_excused_only_as_far_as_the_node_had_no_processor(
    monkeypatch: pytest.MonkeyPatch, waited: float, excused: bool
) -> None:
    times = np.array([0.0, 0.5])  # with a watchdog of 0.1 s and a jitter of 0.05 s: 0.17 s may be
    quiet = Violation(Rule.NEVER_QUIET, 0, "stands for 0.5 s")
    monkeypatch.setattr(soak.RunDelay, "within", lambda _self, start, end: waited)
    one = soak.Soak(1.0, 0, Path("model"), _run_delay=object.__new__(soak.RunDelay))
    assert one._had_no_processor(quiet, times) == excused
    assert not one._had_no_processor(Violation(Rule.SLEW, 0, "too fast"), times)
    last = Violation(Rule.NEVER_QUIET, 1, "stands for ever")
    assert not one._had_no_processor(last, times)
