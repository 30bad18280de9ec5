# SPDX-License-Identifier: Apache-2.0
"""The soak runs, hurts the node and judges what it published."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: `make setup` brings it")

from benchmarks import soak
from benchmarks.faulty_robot import driver


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
