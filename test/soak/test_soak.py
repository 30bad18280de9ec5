# SPDX-License-Identifier: Apache-2.0
"""A policy_node that is hurt at random keeps the always-true list, with a guard or without.

`SAC_ROS_MINUTES` says for how long, `SAC_ROS_SEED` which faults and when.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: `make setup` brings it")

from faulty_robot import driver
from kept_result import keep
from soak import Soak

from sac_ros.utils.package_share import share_path

pytestmark = [pytest.mark.long, pytest.mark.timeout(0)]

MODEL = share_path("models", "iiwa_reach.onnx")
SECONDS = 60.0 * float(os.environ.get("SAC_ROS_MINUTES", "1"))
SEED = int(os.environ.get("SAC_ROS_SEED", "0"))


@pytest.mark.parametrize("guarded", [False, True], ids=["alone", "guarded"])
def test_a_node_that_is_hurt_once_a_second_breaks_no_rule(
    ros: Any, tmp_path: Path, guarded: bool
) -> None:
    found = Soak(SECONDS, SEED, MODEL, guarded).measure(ros.node("robot"), tmp_path)
    figures = keep(found)
    assert found["details"]["violations"] == []
    assert figures["exit code"] == 0
    assert figures["faults"] >= SECONDS
    assert figures["commands judged"] > 50 * SECONDS
    assert figures["resident memory, last tenth"] > 10


def test_a_wrong_command_is_told(
    ros: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = driver.FaultyDriver._record

    def wrongly(self: driver.FaultyDriver, message: object, info: object) -> None:
        record(self, message, info)
        self.commands[-1].torque[0] += 1e3

    monkeypatch.setattr(driver.FaultyDriver, "_record", wrongly)
    found = Soak(1.0, 0, MODEL).measure(ros.node("robot"), tmp_path)
    assert keep(found)["violations of the always-true list"] > 0
