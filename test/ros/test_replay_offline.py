# SPDX-License-Identifier: Apache-2.0
"""What `evaluate_bag` computes is what `replay_node` publishes, to the last bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: `make setup` brings it")

from bag_maker import GOALS, Entry, Motion, damaged, pose, write_bag
from rclpy.serialization import deserialize_message
from replay_bags import TORQUES, Replay, replay_here, said
from sensor_msgs.msg import JointState
from tiny_policy import write_tiny_policy

from sac_ros.bags.events import stamp_of
from sac_ros.bags.files import SERIES_FILE
from sac_ros.cli.evaluate_bag import main as evaluate_bag

__all__ = ["replay_here"]


@pytest.mark.parametrize("storage", ["sqlite3", "mcap"])
@pytest.mark.parametrize("state_size", [0, 3])
def test_a_bag_with_losses_and_faults_has_the_same_torques_offline_and_in_the_replay(
    replay_here: Replay, tmp_path: Path, state_size: int, storage: str
) -> None:
    motion = Motion(rate_hz=400.0, count=2000, goal=None)
    states = damaged(motion, np.random.default_rng(7))
    goals = [
        Entry(GOALS, "pose", states[i].time_ns - 1, pose(0.3, 0.1, g))
        for i, g in ((50, 0.2), (900, -0.3))
    ]
    bag = write_bag(tmp_path / "bag", [*states, *goals], storage)
    model = write_tiny_policy(tmp_path / "m.onnx", state_size=state_size, control_rate_hz=90.0)
    assert evaluate_bag([str(bag), "--model", str(model), "--output", str(tmp_path / "o")]) == 0
    series = dict(np.load(tmp_path / "o" / SERIES_FILE))
    first_ns = stamp_of(states[0].cdr)

    code, log = replay_here(bag, tmp_path / "r", f"model_path:={model}", "clear_faults:=true")
    assert code == 0, log
    for topic, name in ((TORQUES[0], "policy_torque_0"), (TORQUES[1], "published_torque_0")):
        published = [
            deserialize_message(cdr, JointState) for *_, cdr in said(tmp_path / "r", topic)
        ]
        stamps = [10**9 * m.header.stamp.sec + m.header.stamp.nanosec for m in published]
        # What answers no state has no stamp; a doubled stamp is refused, and answered so.
        of_stamp = {s: np.float32(m.effort) for s, m in zip(stamps, published, strict=True) if s}
        known = np.isfinite(series[name]).all(axis=1)
        times = (np.round(series["time_s"][known] * 1e9).astype(int) + first_ns).tolist()
        assert len(times) > 1400
        expected = [of_stamp[stamp] for stamp in times if stamp in of_stamp]
        assert len(expected) == len(times) or name == "published_torque_0"
        rows = [i for i, stamp in enumerate(times) if stamp in of_stamp]
        np.testing.assert_array_equal(series[name][known][rows], expected)
