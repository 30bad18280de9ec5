# SPDX-License-Identifier: Apache-2.0
"""`identify_robot` on bags of a simulated arm, and on bags from which nothing can be estimated."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

pytest.importorskip("mujoco", reason="mujoco is not installed: the extra mujoco brings it")

from bag_maker import (
    COMMANDS,
    START_NS,
    STATES,
    Entry,
    Motion,
    joint_state,
    numbers,
    write_bag,
)
from excitation import HIDDEN, Drive, Run, run, write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sac_ros.cli.identify_robot import main
from sac_ros.robots.arm import load_arm

ARM = load_arm("iiwa")


@pytest.fixture(scope="module")
def made() -> Run:
    return run(Drive(world=HIDDEN.world(), seconds=20.0))


@pytest.fixture(scope="module")
def bag(made: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(made, tmp_path_factory.mktemp("bags") / "monday", effort=True)


def identified(
    capsys: pytest.CaptureFixture[str], *arguments: Any, code: int = 0
) -> dict[str, Any]:
    assert main([*map(str, arguments), "--arm", "iiwa", "--json"]) == code
    output = capsys.readouterr()
    assert output.err == ""
    found: dict[str, Any] = json.loads(output.out, parse_constant=pytest.fail)
    return found


def refused(capsys: pytest.CaptureFixture[str], *arguments: Any) -> str:
    """The one sentence on stderr, with exit code 2 and nothing on stdout."""
    assert main([*map(str, arguments)]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1
    return output.err


def value_of(found: dict[str, Any], name: str, joint: str = "") -> float:
    (estimate,) = (
        each for each in found["estimates"] if (each["name"], each["joint"]) == (name, joint)
    )
    assert estimate["estimated"], name
    value: float = estimate["value"]
    return value


def test_a_bag_becomes_a_table_and_a_parameter_file_of_its_name(
    bag: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([str(bag), "--arm", "iiwa"]) == 0
    output = capsys.readouterr()
    assert "written to config/identified/monday.yaml" in output.out
    assert "as if it were 1" in output.out
    text = (tmp_path / "config" / "identified" / "monday.yaml").read_text()
    assert f"identify_robot {bag} --arm iiwa" in text
    section = yaml.safe_load(text)["/**/train_node"]["ros__parameters"]
    assert len(section["env"]["randomization"]["armature"]) == 14
    sentence = refused(capsys, bag, "--arm", "iiwa")
    assert "exists already: --force writes over it" in sentence
    assert main([str(bag), "--arm", "iiwa", "--force"]) == 0


def test_the_delay_is_that_of_the_commands_arrival(
    made: Run, bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = identified(capsys, bag, "--output", tmp_path / "world.yaml")
    own = 1e-3 * HIDDEN.command_latency_ms
    assert value_of(found, "delay_s") == pytest.approx(own, abs=2e-3)
    late = write(made, tmp_path / "late", late_ns=4_000_000)  # by when the recorder got them
    again = identified(capsys, late, "--output", tmp_path / "late.yaml")
    assert value_of(again, "delay_s") == pytest.approx(own - 0.004, abs=2e-3)


def test_the_measured_effort_does_where_no_command_was_recorded(
    made: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = write(made, tmp_path / "measured", commands=False, effort=True)
    found = identified(capsys, bag, "--output", tmp_path / "world.yaml")
    assert found["source"]["torque_topic"] == "/joint_states, effort"
    for i, joint in enumerate(ARM.joint_names):
        value = value_of(found, "coulomb_friction", joint)
        assert value == pytest.approx(HIDDEN.coulomb_friction[i], rel=0.1)
    assert "latency" not in (tmp_path / "world.yaml").read_text()


def test_joints_of_other_names_are_paired_and_unpaired_ones_are_another_arms(
    made: Run, bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "is of another arm" in refused(capsys, bag, "--arm", "panda")
    names = [f"a{i}" for i in range(7)]
    entries = [
        Entry(STATES, "states", at, joint_state(at, names, made.position[k], made.velocity[k]))
        for k, at in enumerate((START_NS + np.rint(1e9 * made.time).astype(int)).tolist())
    ]
    torques = zip(entries, made.torque, strict=True)
    entries += [Entry(COMMANDS, "numbers", e.time_ns + 1000, numbers(t)) for e, t in torques]
    other = write_bag(tmp_path / "other", entries)
    assert "pair them with --joints ARM=BAG,..." in refused(capsys, other, "--arm", "iiwa")
    pairs = ",".join(f"{a}={b}" for a, b in zip(ARM.joint_names, names, strict=True))
    identified(capsys, other, "--joints", pairs, "--output", tmp_path / "world.yaml")


def test_a_bag_without_torques_is_refused(
    made: Run, bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    none = write(made, tmp_path / "none", commands=False)
    sentence = refused(capsys, none, "--arm", "iiwa")
    assert "has no torque to identify from" in sentence
    assert "has no commanded torque" in refused(
        capsys, none, "--arm", "iiwa", "--effort", "commanded"
    )
    unmeasured = write(made, tmp_path / "unmeasured")
    assert "has no measured effort" in refused(
        capsys, unmeasured, "--arm", "iiwa", "--effort", "measured"
    )


def test_a_bag_without_motion_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    still = Run(ARM, np.arange(500) / 100.0, np.tile(ARM.home, (500, 1)), *np.zeros((2, 500, 7)))
    bag = write(still, tmp_path / "still")
    assert "has no motion" in refused(capsys, bag, "--arm", "iiwa")


def test_what_is_no_bag_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text").write_text("no bag")
    assert "must be sqlite3, mcap or a ROS 1 bag" in refused(
        capsys, tmp_path / "text", "--arm", "iiwa"
    )
    assert "--end must not be before --start" in refused(
        capsys, tmp_path, "--arm", "iiwa", "--start", "2", "--end", "1"
    )


def test_a_short_recording_tells_nothing_writes_nothing_and_says_so(
    bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = identified(capsys, bag, "--end", "1.5", "--output", tmp_path / "world.yaml", code=1)
    assert found["output"] is None
    assert not (tmp_path / "world.yaml").exists()
    assert any("record 30 s or more" in sentence for sentence in found["not_estimated"])


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    count=st.integers(1, 400),
    rate=st.sampled_from([5.0, 50.0, 1000.0]),
    amplitude=st.sampled_from([0.0, 1e-3, 0.5, 1e6]),
    odd=st.sampled_from(["", "nan torque", "nan position", "no stamps", "stamps repeat", "holes"]),
    seed=st.integers(0, 2**16),
)
def test_any_odd_bag_ends_with_a_code_and_without_a_traceback(
    count: int,
    rate: float,
    amplitude: float,
    odd: str,
    seed: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rng = np.random.default_rng(seed)
    phase = rng.uniform(0.0, 6.0, 7)
    entries = []
    for k in range(count):
        if odd == "holes" and rng.uniform() < 0.1:
            continue
        at = START_NS + round(k * 1e9 / rate)
        stamp = {"no stamps": 0, "stamps repeat": START_NS + round((k // 3) * 1e9)}.get(odd, at)
        position = ARM.home + amplitude * np.sin(k / rate + phase)
        torque = rng.normal(size=7)
        if odd == "nan torque" and k % 5 == 0:
            torque[3] = np.nan
        if odd == "nan position" and k % 5 == 0:
            position[2] = np.nan
        state = joint_state(stamp, ARM.joint_names, position, np.zeros(7))
        entries += [
            Entry(STATES, "states", at, state),
            Entry(COMMANDS, "numbers", at + 10_000, numbers(torque)),
        ]
    bag = tmp_path / "odd"
    shutil.rmtree(bag, ignore_errors=True)
    if not entries:
        return
    write_bag(bag, entries)
    code = main([str(bag), "--arm", "iiwa", "--output", str(tmp_path / "o.yaml"), "--force"])
    output = capsys.readouterr()
    assert code in (0, 1, 2)
    assert "nan" not in output.out
    assert output.err.count("\n") == (1 if code == 2 else 0)


def test_the_bag_of_another_tiny_arm_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = write_bag(tmp_path / "tiny", Motion().entries())
    assert "is of another arm" in refused(capsys, bag, "--arm", "iiwa")
