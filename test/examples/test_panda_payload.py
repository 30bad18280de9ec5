# SPDX-License-Identifier: Apache-2.0
"""The example for a lab: its tables, how it goes on, how it ends. `.ci/run` runs all of it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: `make setup` brings it")
pytest.importorskip("mujoco", reason="mujoco is not installed: the extra mujoco brings it")

import panda_payload
import payload_report

from sac_ros.identification.findings import Estimate
from sac_ros.utils.errors import ConfigurationError

SCRIPT = Path(__file__).parents[2] / "examples" / "panda_payload.py"
WORLD = panda_payload.hidden_world(3)
JOINTS = panda_payload.ARM.joint_names


def estimate(name: str, value: float, joint: str = "", useful: bool = True) -> dict[str, Any]:
    numbers = {"value": value, "low": 0.9 * value, "high": 1.1 * value, "described": 0.0}
    found = Estimate(name, joint, estimated=useful, **numbers)
    return {**dataclasses.asdict(found), "unit": found.unit}  # as findings_json has it


def results(trained: Sequence[float | None] = (1.0, 1.2), decision: str = "go") -> dict[str, Any]:
    """As the steps leave them; the times of the trained policy's goals, None for one missed."""
    found: dict[str, Any] = {
        "identify": {
            "estimates": [
                estimate("torque_gain", 1.0, JOINTS[0]),  # of what was not hidden
                estimate("coulomb_friction", 1.5, JOINTS[1]),
                estimate("coulomb_friction", 1.5, JOINTS[6], useful=False),
                estimate("payload_kg", 1.1),
                estimate("delay_s", 0.011),
            ]
        },
        "verdict": {"decision": decision},
    }
    for name in payload_report.COLOURS:
        success = [{"position_tolerance_m": 0.02, "rate": 1.0}]
        found[f"simulate_{name}"] = {
            "success": success,
            "median_error_m": 0.001,
            "p95_error_m": 0.002,
        }
        times = trained if name == "trained" else [None, 2.0]
        track = [[0.0, 0.3], [1.0, 0.01]]
        found[name] = {
            "reaches": [{"distance": 0.01, "seconds": each, "track": track} for each in times]
        }
    return found


def test_the_robot_differs_with_its_seed_and_carries_what_a_panda_may() -> None:
    assert panda_payload.hidden_world(3) == WORLD
    worlds = [panda_payload.hidden_world(seed) for seed in range(50)]
    payloads = [world["payload_kg"][0] for world in worlds]
    assert len(set(payloads)) > 40
    assert max(payloads) < 2.27  # kg; with the hand 3


def test_every_estimate_of_something_hidden_is_beside_its_true_value() -> None:
    found = payload_report.with_truth(results(), WORLD, JOINTS)
    named = {(each["name"], each["joint"]): true for true, each in found}
    assert named == {
        ("coulomb_friction", JOINTS[1]): WORLD["coulomb_friction"][2],
        ("coulomb_friction", JOINTS[6]): WORLD["coulomb_friction"][12],
        ("payload_kg", ""): WORLD["payload_kg"][0],
        ("delay_s", ""): pytest.approx(1e-3 * WORLD["command_latency_ms"][0]),
    }


def test_the_table_and_the_picture_show_what_was_found_and_who_reached(tmp_path: Path) -> None:
    found = payload_report.with_truth(results(), WORLD, JOINTS)
    text = payload_report.table(results(), found)
    assert f"| payload_kg |  | {WORLD['payload_kg'][0]:.3g} | 1.1, 0.99 to 1.21 kg |" in text
    assert "| not estimated |" in text
    assert "| trained | 100% | 1.0 mm | 2.0 mm | 2 of 2 | 1.10 s | 10.0 mm |" in text
    assert "| shipped | 100% | 1.0 mm | 2.0 mm | 1 of 2 | 2.00 s | 10.0 mm |" in text
    payload_report.save_picture(results(), found, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("found", "good"),
    [
        (results(), True),
        (results(decision="shadow"), True),
        (results(decision="no"), False),
        (results(trained=(1.0, None)), False),
    ],
)
def test_a_policy_that_misses_or_may_not_go_is_a_bad_answer(
    found: dict[str, Any], good: bool
) -> None:
    assert payload_report.is_good(found) is good


def test_a_folder_of_another_seed_is_refused_before_anything_runs(tmp_path: Path) -> None:
    kept = {"seed": 4, **vars(panda_payload.QUICK)}
    (tmp_path / "settings.json").write_text(json.dumps(kept))
    with pytest.raises(ConfigurationError, match="has seed 4"):
        panda_payload.run(tmp_path, 3, panda_payload.QUICK)


def test_steps_that_have_a_result_are_not_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = []

    def of(name: str) -> Any:
        def step(*given: Any, **_: Any) -> Any:
            # Those that run once for each contestant have its name, or its files.
            ran.append(name)
            kept = results()
            if name == "drive":
                return kept[given[1]]
            if name == "simulate":
                return kept["simulate_trained"]
            return kept.get(name, {})

        return step

    for name in ("record", "identify", "train", "simulate", "drive", "verdict"):
        monkeypatch.setattr(panda_payload, name, of(name))
    assert panda_payload.run(tmp_path, 3, panda_payload.QUICK) == 0
    assert ran == ["record", "identify", "train", *3 * ["simulate"], *3 * ["drive"], "verdict"]
    (tmp_path / "shipped.json").unlink()  # as after a Ctrl-C in that step
    ran.clear()
    assert panda_payload.run(tmp_path, 3, panda_payload.QUICK) == 0
    assert ran == ["drive"]
    assert "== train: " in capsys.readouterr().out
    assert "| trained |" in (tmp_path / "summary.md").read_text()


@pytest.mark.slow
def test_ctrl_c_while_the_arm_is_driven_ends_every_node_and_says_so(
    tmp_path: Path, eventually: Callable[..., None]
) -> None:
    log, output = tmp_path / "log", tmp_path / "output"
    with log.open("w") as file:
        example = subprocess.Popen(
            [sys.executable, str(SCRIPT), "--quick", "--output", str(output)],
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    started = "goal       x"
    eventually(lambda: started in log.read_text() or example.poll() is not None, timeout=90.0)
    example.send_signal(signal.SIGINT)
    code = example.wait(timeout=60.0)
    assert code == 130, log.read_text()
    assert "Traceback" not in log.read_text()
    assert nodes_of(output) == []
    assert not (output / "record.json").exists()


def nodes_of(output: Path) -> list[str]:
    """The command lines of processes that were given a file there."""
    found = []
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it may end while it is read
            if str(output) in (line := each.read_text()):
                found.append(line)
    return found


@pytest.mark.parametrize(("states", "kept"), [(950, True), (400, False)])
def test_a_recording_of_a_machine_that_was_too_slow_is_refused(
    states: int, kept: bool, tmp_path: Path
) -> None:
    topic = {"topic_metadata": {"name": "/panda_payload/joint_states"}, "message_count": states}
    about = {"topics_with_message_count": [topic], "duration": {"nanoseconds": 10_000_000_000}}
    (tmp_path / "metadata.yaml").write_text(json.dumps({"rosbag2_bagfile_information": about}))
    with contextlib.nullcontext() if kept else pytest.raises(ConfigurationError, match="at 40 Hz"):
        panda_payload.check_rate(tmp_path)


def test_numbers_of_the_hidden_world_are_ranges_of_no_width() -> None:
    for values in WORLD.values():
        low, high = np.reshape(values, (-1, 2)).T
        np.testing.assert_array_equal(low, high)
