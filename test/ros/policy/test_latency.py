# SPDX-License-Identifier: Apache-2.0
"""Latencies are kept in a bounded window."""

from __future__ import annotations

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: `make setup` brings it")

from sac_ros.ros.policy.diagnostics import LatencyWindow


def test_percentiles_are_in_milliseconds_and_the_window_starts_anew() -> None:
    window = LatencyWindow()
    for millisecond in range(1, 101):
        window.add(millisecond * 1e-3)
    taken = window.take()
    assert taken["p50"] == pytest.approx(50.5)
    assert taken["max"] == pytest.approx(100.0)
    assert window.take() == {}


def test_a_full_window_keeps_the_newest() -> None:
    window = LatencyWindow(size=10)
    for second in range(25):
        window.add(float(second))
    assert window.take()["p50"] == pytest.approx(19_500.0)
