# SPDX-License-Identifier: Apache-2.0
"""What the pages tell their readers to type is what the programs take."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import yaml

pytest.importorskip("rclpy", reason="rclpy is not installed: `make setup` brings it")

from command_check import Checker, WrongCommandError
from page_commands import blocks, commands, mentioned, split

from sac_ros.entry import COMMANDS, NODES
from tools.docs.reference import PARAMETERS

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
RULES = yaml.safe_load((Path(__file__).parent / "commands.yaml").read_text(encoding="utf-8"))


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.fixture(scope="module")
def checker() -> Checker:
    return Checker(RULES["elsewhere"], RULES["files"])


PROGRAMS = {*NODES, *COMMANDS, "make", "ros2", "python"}
TYPED = [
    command
    for page in PAGES
    for command in (
        *commands(page, name_of(page)),
        *mentioned(page, name_of(page), PROGRAMS),
    )
]


def test_every_command_of_every_page_is_taken_by_its_program(checker: Checker) -> None:
    wrong = []
    for command in TYPED:
        try:
            checker.check(command.words)
        except WrongCommandError as error:
            wrong.append(f"{command}\n    {error}")
    assert wrong == [], "\n" + "\n".join(wrong)
    unused = {*RULES["elsewhere"], *RULES["files"]} - checker.used
    assert unused == set(), "rules of commands.yaml that cover nothing"


def test_the_reference_has_the_parameters_of_every_node() -> None:
    assert PARAMETERS.keys() == NODES.keys()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("frobnicate models/iiwa_reach.onnx", "no rule"),
        ("make nothing", "nothing"),
        ('make train ARGS="-p sac.gama:=0.9"', "no parameter sac.gama"),
        ('make train ARGS="-p sac.gamma:=1.5"', "sac.gamma must be"),
        ('make train ARGS="total_steps:=5"', "no ROS argument"),
        ("train_node --ros-args --params-file config/nope.yaml", "config/nope.yaml"),
        ("train_node --ros-args --params-file config/sim.yaml", "nothing for train_node"),
        ("evaluate_policy models/iiwa_reach.onnx --episode 5 --nope", "--nope"),
        ("evaluate_policy models/missing.onnx", "models/missing.onnx does not exist"),
        ("python -m benchmarks.identification --nope", "--nope"),
        ("python -m pytest test/nope.py", "test/nope.py"),
        ("ros2 launch sac_ros deploy.launch.py nope:=1", "no argument nope"),
        ("ros2 launch sac_ros deploy.launch.py sim:=maybe", "sim must be one of"),
        ("ros2 launch sac_ros deploy.launch.py torque_scale:=2.0", "torque_scale must be"),
        ("ros2 run sac_ros nope", "no nope"),
        ("ros2 topic echo /nope", "no node has the topic"),
        ("ros2 topic pub --once /goal_pose std_msgs/msg/String", "PoseStamped"),
        (
            'ros2 topic pub /goal_pose geometry_msgs/msg/PoseStamped "{position: {x: 1.0}}"',
            "no field position",
        ),
        ("ros2 service call /policy_node/reset std_srvs/srv/Trigger", "not there"),
        ("ros2 param set /policy_node watchdog_s 1.0", "cannot be set"),
        ("ros2 lifecycle set /policy_node fly", "no transition"),
    ],
)
def test_a_command_that_would_be_refused_is_found(text: str, reason: str) -> None:
    (words,) = split(text)
    with pytest.raises(WrongCommandError, match=re.escape(reason)):
        Checker([], []).check(words)


def test_commands_are_found_as_a_shell_would_read_them(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "Text\n\n"
        "    one --a 1 \\\n      --b # a comment\n    NAME=x two > file && three; four | five\n\n"
        "- an item\n\n  ```sh\n  six $(seven --c)/d 'a # b' \"x\n  y\"\n  ```\n\n"
        "```yaml\nnot: this\n```\n\n## Heading\n    for x in a b; do\n      eight $x\n    done\n"
    )
    assert [command.words for command in commands(page, "page.md")] == [
        ("one", "--a", "1", "--b"),
        ("two",),
        ("three",),
        ("four",),
        ("five",),
        ("seven", "--c"),
        ("six", "$SUBSTITUTED/d", "a # b", "x\n  y"),
        ("eight", "$x"),
    ]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_blocks_in_other_languages_are_of_these_languages(page: Path) -> None:
    for language, lines in blocks(page.read_text(encoding="utf-8")):
        text = "\n".join(lines)
        if language == "python":
            ast.parse(text)
        if language == "yaml":
            assert list(yaml.safe_load_all(text))
