# SPDX-License-Identifier: Apache-2.0
"""Recordings that others made: all evaluated, or refused with one sentence and exit code 2."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sac_ros.cli.evaluate_bag import main

SHARED = Path(__file__).parents[3] / "shared" / "bags"  # beside the repository
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason=f"{SHARED} is not there")
IIWA = SHARED / "iiwa_gazebo_torque"
SHIPPED = Path(__file__).parents[2] / "models" / "iiwa_reach.onnx"
MAPPING = ",".join(f"lbr_iiwa_joint_{i}=joint_a{i}" for i in range(1, 8))
NO_STATES = "must have sensor_msgs/msg/JointState messages"


@needs_shared
@pytest.mark.parametrize(
    ("name", "factor"),
    [("joint_space_1", 0.53), ("joint_space_3", 0.61), ("operational_space_1", 0.35)],
)
def test_the_iiwa_bags_evaluate(
    name: str, factor: float, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(IIWA / name), "--model", str(SHIPPED), "--joints", MAPPING]
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    clock = found["recording"]["clock"]
    assert clock["name"] == "header"
    assert clock["factor"] == pytest.approx(factor, abs=0.04)
    assert not found["recording"]["effort_filled"]
    assert any("effort is not filled" in warning for warning in found["warnings"])
    model = found["models"][0]
    assert model["errors"][0]["samples"] > 100
    assert 0.0 < model["coverage"]["outside_fraction"] <= 1.0
    assert main(arguments[:3]) == 2
    assert "joint_a1, joint_a2" in capsys.readouterr().err


def shared_bags() -> list[Path]:
    endings = (".db3", ".mcap", ".zstd")
    files = [each for each in SHARED.rglob("*") if each.suffix in endings]
    return sorted({*files, *(each.parent for each in files)})


@needs_shared
@pytest.mark.parametrize("bag", shared_bags(), ids=lambda bag: str(bag.relative_to(SHARED)))
def test_every_shared_bag_is_evaluated_or_refused_with_one_sentence(
    bag: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main([str(bag), "--model", str(SHIPPED), "--joints", MAPPING])
    output = capsys.readouterr()
    if "iiwa_gazebo_torque" in str(bag):
        assert (code, output.err) == (0, "")
        return
    assert code == 2
    assert output.out == ""
    assert output.err.count("\n") == 1
    expected = {
        "empty_bag": "has no messages",
        "wrong_rmw_test": "must be serialised as cdr",
        "zero_byte_db3": "is empty: 0 bytes",
        "one_joint_state_mcap": "has no joint joint_a1",
    }
    known = [message for part, message in expected.items() if part in str(bag)]
    assert (known or [NO_STATES])[0] in output.err or NO_STATES in output.err
