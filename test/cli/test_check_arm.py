# SPDX-License-Identifier: Apache-2.0
"""`check_arm` on an arm without a line of configuration, and on arms that are insane."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest

from sac_ros.cli import check_arm
from sac_ros.sim import inspection

LAB6 = Path(__file__).parents[1] / "support" / "lab6.urdf"
TEXT = LAB6.read_text()
LOOP = (
    '<joint name="x" type="fixed"><parent link="tool0"/><child link="elbow_link"/></joint></robot>'
)
FIRST_SHAPE = '<cylinder radius="0.05" length="0.35"/>'


@pytest.fixture(autouse=True)
def fewer_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "_CONFIGURATIONS", 50)
    monkeypatch.setattr(inspection, "_COMPARED", 3)


def altered(tmp_path: Path, old: str, new: str) -> Path:
    """lab6 with something else in place of every `old`, a pattern."""
    text = re.sub(old, new, TEXT)
    assert text != TEXT
    path = tmp_path / "altered.urdf"
    path.write_text(text)
    return path


def refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one sentence with which an arm is refused, within 20 s."""
    started = time.monotonic()
    assert check_arm.main([str(each) for each in arguments]) == 2
    assert time.monotonic() - started < 20.0
    seen = capsys.readouterr()
    assert seen.out == ""
    assert seen.err.count("\n") == 1
    return seen.err


def doubts(capsys: pytest.CaptureFixture[str], *arguments: object) -> list[str]:
    assert check_arm.main([*map(str, arguments), "--json"]) == 1
    found: list[str] = json.loads(capsys.readouterr().out)["doubts"]
    assert found
    return found


def test_a_sane_urdf_is_fine_without_a_line_of_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check_arm.main([str(LAB6), "--output", str(tmp_path / "new"), "--json"]) == 0
    seen = capsys.readouterr()
    found = json.loads(seen.out)
    assert (seen.err, seen.out.count("\n")) == ("", 1)
    assert (found["base_link"], found["tip_link"], len(found["joint_names"])) == (
        "base",
        "tool0",
        6,
    )
    assert found["reachable_fraction"] > 0.9
    assert found["touching"] == found["without_shape"] == found["doubts"] == []
    assert max(found["agreement"]["bullet"].values()) < 1e-6
    assert set(found["origin"]) >= {"torque_limit", "action_scale", "home", "goal_low"}
    assert (tmp_path / "new" / "lab6.png").stat().st_size > 10_000


def test_the_text_names_every_limit_with_its_source(capsys: pytest.CaptureFixture[str]) -> None:
    assert check_arm.main(["panda"]) == 0
    text = capsys.readouterr().out
    for words in (
        "torque_limit: URDF",
        "home: panda.yaml",
        "action_scale: ",
        "c·dt/I",
        "goal box",
    ):
        assert words in text


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('mass value="5"', 'mass value="nan"', "'shoulder_lift_link'.*finite number"),
        ('mass value="5"', 'mass value="0"', "'shoulder_lift_link'.*mass above 0 kg"),
        ("<inertia .*/>", '<inertia ixx="0" iyy="0" izz="0"/>', "'shoulder_pan_link'.*above 0 kg"),
        (r"    <limit.*/>\n", "", "'shoulder_pan'.*effort limit.*torque_limit"),
        (' lower="[^"]*" upper="[^"]*"', "", "'shoulder_pan'.*lower < upper"),
        ("</robot>", LOOP, "'elbow_link'.*closed chain"),
        (FIRST_SHAPE, FIRST_SHAPE.replace("0.05", "abc"), "'shoulder_lift_link'.*'abc'"),
        (FIRST_SHAPE, FIRST_SHAPE.replace("0.05", "-1"), "'shoulder_lift_link'.*below 0 m"),
        ('xyz="0 0 0.175"', 'xyz="0 nan 0"', "'shoulder_lift_link'.*3 finite numbers"),
        ("<robot", '<!DOCTYPE x [<!ENTITY a "a">]><robot', "DOCTYPE"),
        ("</robot>", "".join(f'<link name="l{i}"/>' for i in range(10_000)) + "</robot>",
         "at most 500 links and joints; got 10008"),
        ("</robot>", f"<!--{'x' * 50_000_000}--></robot>", "at most 16777216 bytes"),
    ],
)  # fmt: skip
def test_an_insane_urdf_is_refused_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, sentence: str
) -> None:
    assert re.search(sentence, refusal(capsys, altered(tmp_path, old, new)))


def test_an_unknown_link_is_refused_with_the_links_that_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert re.search(
        "tip_link .*wrist_roll_link.*'nope'", refusal(capsys, LAB6, "--tip-link=nope")
    )


def test_an_output_that_is_a_file_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert "--output must be a folder" in refusal(capsys, LAB6, "--output", tmp_path / "file")


def test_a_box_out_of_reach_is_doubtful(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arm = tmp_path / "far.yaml"
    arm.write_text(f"urdf: {LAB6}\ngoal_low: [3, 3, 3]\ngoal_high: [4, 4, 4]\n")
    assert doubts(capsys, arm) == ["only 0% of the goal box can be reached"]


@pytest.mark.parametrize(
    ("old", "new", "doubt"),
    [
        ('radius="0.03" length="0.04"', 'radius="0.6" length="0.6"', "touch at home.*tool_roll"),
        ('damping="[^"]*"', 'damping="1000"', "elbow is too weak"),
        ('effort="[^"]*"', 'effort="0.001"', "shoulder_lift is too weak.*it carries"),
        (r'xyz="0 0 0\.35"', 'xyz="0 0 350"', "lengths in metres"),
        ('izz="0.006250"', 'izz="0.120000"', "impossible inertia"),
    ],
)
def test_what_is_odd_is_doubtful(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, doubt: str
) -> None:
    found = doubts(capsys, altered(tmp_path, old, new))
    assert any(re.search(doubt, sentence) for sentence in found), found


def test_a_shape_that_no_engine_reads_is_left_out_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for shape in ("", '<mesh filename="package://nowhere/a.stl"/>', "<teapot/>"):
        assert check_arm.main([str(altered(tmp_path, FIRST_SHAPE, shape)), "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["without_shape"] == ["shoulder_lift_link"]
