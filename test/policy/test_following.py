# SPDX-License-Identifier: Apache-2.0
"""A goal that is streamed is followed: control loop, safety filter and the shipped policy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sac_ros.policy.control_loop import ControlLoop
from sac_ros.policy.runtime import Policy
from sac_ros.policy.safety_config import SafetyConfig
from sac_ros.robots.arm import load_arm
from sac_ros.sim.bullet import BulletBackend
from sac_ros.tasks.track import TrackTask

MODEL = Path(__file__).parents[2] / "models" / "iiwa_track.onnx"
RATE = 500


def errors(rate_hz: float, jitter: float, stops_at: float = np.inf) -> np.ndarray:
    """m, from the second second on, of 8 s on a circle at 0.25 m/s; goals at `rate_hz`, late."""
    arm = load_arm("iiwa")
    task = TrackTask(arm)
    task.follow("circle", 0.25)
    place = np.append(arm.chain.forward(arm.home), [0.0, 0.0, 0.0, 1.0])
    path = task.path(place[:3], place, np.random.default_rng(3))
    backend, rng, n = BulletBackend(arm, gravity=False), np.random.default_rng(0), arm.joints
    loop = ControlLoop(Policy.load(MODEL), SafetyConfig(soft_start_s=0.2))
    frame, due, told, found = arm.base_link, 0.0, 0.0, []
    for step in range(8 * RATE):
        now = step / RATE
        row = backend.read()
        if step == 1:
            loop.activate(now)
        if step > 1 and now >= due and now < stops_at:
            told = now
            loop.set_goal(now, frame, path(now)[0], round(1e9 * (1.0 + now)))
            due = now + (1.0 + jitter * rng.uniform(-1, 1)) / rate_hz
        stamp = round(1e9 * now) + 1
        command = loop.state(now, np.array(row[:n]), np.array(row[n : 2 * n]), stamp)
        backend.step([0.0] * n if command is None else command.torque.tolist(), 1)
        wanted = path(now if now < stops_at else told)[0]
        found.append(np.linalg.norm(np.array(row[2 * n : 2 * n + 3]) - wanted))
    backend.close()
    assert not loop.safety.faults
    return np.array(found[2 * RATE :])


@pytest.mark.parametrize(("rate_hz", "jitter"), [(100.0, 0.0), (20.0, 0.0), (20.0, 0.5)])
def test_a_circle_is_followed_whatever_the_rate_of_its_messages(
    rate_hz: float, jitter: float
) -> None:
    assert np.sqrt(np.mean(np.square(errors(rate_hz, jitter)))) < 0.015


def test_where_the_stream_ends_the_arm_rests_at_the_last_goal() -> None:
    assert errors(50.0, 0.0, stops_at=5.0)[-RATE:].max() < 0.02
