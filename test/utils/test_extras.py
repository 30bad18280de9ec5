# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sac_ros.utils.extras import EXTRAS, MissingPackageError

ROOT = Path(__file__).parents[2]
ROS = ("rclpy", "diagnostic_msgs", "builtin_interfaces", "geometry_msgs", "std_msgs")
OPTIONAL = ("mujoco", "ray", "sim", "train")
CORE = (
    *("ros.policy.node", "ros.policy.command_guard", "ros.recorder_node", "ros.replay_node"),
    "ros.launch_checks",
    *("cli.evaluate_bag", "cli.identify_robot", "bags.report.page"),
)

# Runs a statement where some packages cannot be imported.
BLOCKED = """
import sys
from importlib.abc import MetaPathFinder
class Blocker(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocker())
sys.argv = {argv!r}
{statement}
"""


def run_without(
    modules: tuple[str, ...], statement: str, *argv: str
) -> subprocess.CompletedProcess[str]:
    code = BLOCKED.format(blocked=modules, argv=list(argv) or ["-c"], statement=statement)
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120.0
    )


def modules_of(*extras: str) -> tuple[str, ...]:
    return tuple(module for extra in extras for module in EXTRAS[extra][1])


@pytest.mark.parametrize(
    ("command", "extra", "argument"),
    [
        ("check_arm", "sim", "iiwa"),
        ("convert_policy", "train", "--help"),
        ("evaluate_policy", "sim", "policy.onnx"),
        ("evaluate_bag", "bags", "bag"),
        ("identify_robot", "bags", "bag"),
        ("sweep", "ray", "space.yaml"),
        ("browser_view", "ros", ""),
        ("command_guard", "ros", ""),
        ("policy_node", "ros", ""),
        ("reach_demo", "ros", ""),
        ("recorder_node", "ros", ""),
        ("replay_node", "ros", ""),
        ("sim_node", "ros", ""),
        ("train_node", "ros", ""),
    ],
)
def test_a_command_without_its_extra_is_one_sentence_and_exit_code_2(
    command: str, extra: str, argument: str
) -> None:
    entry = f"from sac_ros.entry import {command}; sys.exit({command}())"
    ended = run_without((*ROS, *modules_of(*EXTRAS)), entry, command, argument)
    assert ended.returncode == 2, ended.stderr
    assert re.fullmatch(
        rf"{command}: error: .+ needs .+, and the module '\w+' is not found: "
        rf'.*pip install "sac_ros\[{extra}\]"\n',
        ended.stderr,
    ), ended.stderr


def test_train_node_without_torch_or_a_simulator_names_one_extra_for_both() -> None:
    for module in ("gymnasium", "torch"):
        error = MissingPackageError.of("train_node", ModuleNotFoundError(name=module))
        assert str(error).endswith('pip install "sac_ros[train]"')


def test_the_core_needs_no_torch_simulator_or_matplotlib() -> None:
    imports = "; ".join(f"import sac_ros.{module}" for module in CORE)
    ended = run_without(modules_of(*OPTIONAL), imports)
    assert ended.returncode == 0, ended.stderr


def test_evaluate_policy_needs_no_torch_and_with_mujoco_no_pybullet() -> None:
    blocked = (*modules_of("train", "ray"), "pybullet", "pybullet_utils", "PIL", "matplotlib")
    ended = run_without(
        blocked,
        "from sac_ros.entry import evaluate_policy; sys.exit(evaluate_policy())",
        *("evaluate_policy", str(ROOT / "models" / "iiwa_reach.onnx")),
        *("--backend", "mujoco", "--episodes", "1", "--hold", "0"),
    )
    assert ended.returncode == 0, ended.stderr


def test_a_module_that_no_extra_brings_is_a_bug_and_keeps_its_traceback() -> None:
    blocked = ("sac_ros",)
    ended = run_without(
        (),
        "from sac_ros import entry; entry.COMMANDS['sweep'] = 'sac_ros.nonesuch'; entry.sweep()",
    )
    assert "ModuleNotFoundError: No module named 'sac_ros.nonesuch'" in ended.stderr
    assert ended.returncode == 1
    assert MissingPackageError.of("sweep", ModuleNotFoundError(name=blocked[0])) is None


def test_every_extra_of_a_sentence_is_one_of_setup_py() -> None:
    tree = ast.parse((ROOT / "setup.py").read_text())
    declared = next(
        ast.literal_eval(key.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        for key in node.keywords
        if key.arg == "extras_require"
    )
    assert {*EXTRAS, "ros"} <= set(declared)
