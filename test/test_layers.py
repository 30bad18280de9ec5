# SPDX-License-Identifier: Apache-2.0
"""The layers of docs/architecture.md, read from the source: imports lead downwards only."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import sac_ros

PACKAGE = Path(sac_ros.__file__).parent
ROOT = PACKAGE.parent

# Each layer and the layers of sac_ros that it may import, besides itself.
GROUND = {"utils", "cdr"}
LAYERS = {
    "__init__": {"entry"},
    "entry": {"utils"},
    "utils": set(),
    "cdr": set(),
    "pages": {"utils"},
    "robots": {"utils"},
    "policy": GROUND | {"robots"},
    "tasks": {"utils", "robots"},
    "controllers": {"utils", "robots"},
    "sim": {"utils", "robots", "tasks", "controllers"},
    "sac": {"utils"},
    "bags": GROUND | {"policy", "pages"},
    "view": {"utils", "robots", "policy", "sim"},
    "identification": GROUND | {"robots", "bags", "sim"},
    "training": {"utils", "policy", "robots", "tasks", "controllers", "sim", "sac", "bags"}
    | {"pages"},
    "cli": GROUND
    | {"policy", "robots", "tasks", "controllers", "sim", "sac", "training", "bags"}
    | {"identification", "sweeps"},
    "sweeps": {"utils", "training"},
    "ros": GROUND
    | {"policy", "robots", "tasks", "controllers", "sim", "sac", "training", "bags", "view"},
}

ROS = {
    *("rclpy", "launch", "launch_ros", "ament_index_python", "tf2_ros", "tf2_geometry_msgs"),
    *("builtin_interfaces", "diagnostic_msgs", "geometry_msgs", "lifecycle_msgs"),
    *("rcl_interfaces", "rosgraph_msgs", "sensor_msgs", "std_msgs", "std_srvs"),
    "visualization_msgs",
}
SIMULATION = {"pybullet", "pybullet_data", "pybullet_utils", "mujoco", "gymnasium"}
LEARNING = {"torch", "onnx", "tensorboard"}

# What a layer must not import from outside, whatever else it does.
FORBIDDEN = {
    "entry": ROS | SIMULATION | LEARNING | {"numpy", "yaml"},
    "utils": ROS | SIMULATION | LEARNING | {"numpy", "yaml"},
    "cdr": ROS | SIMULATION | LEARNING | {"yaml"},
    "pages": ROS | SIMULATION | LEARNING,
    "policy": ROS | SIMULATION | LEARNING | {"yaml", "matplotlib", "PIL", "tqdm"},
    "robots": ROS | SIMULATION | LEARNING,
    "controllers": ROS | SIMULATION | LEARNING,
    "tasks": ROS | SIMULATION | LEARNING,
    "sim": ROS | LEARNING,
    "sac": ROS | SIMULATION | {"onnx", "tensorboard"},
    "bags": ROS | SIMULATION | LEARNING,
    "view": ROS | SIMULATION | LEARNING,
    "identification": ROS | SIMULATION | LEARNING,
    "training": ROS,
    "sweeps": ROS,
    "cli": ROS | SIMULATION,
    "ros": set(),
}

FILES = sorted(PACKAGE.rglob("*.py"))


def name_of(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def layer_of(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(file: Path) -> Iterator[tuple[str, int]]:
    """Every module that a file imports, at its top or inside a function, with the line."""
    for node in ast.walk(ast.parse(file.read_text(), str(file))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(file)}:{node.lineno}: relative import"
            module = node.module or ""
            yield module, node.lineno
            if module == "sac_ros":
                yield from ((f"sac_ros.{alias.name}", node.lineno) for alias in node.names)


def loaded_by(statement: str) -> set[str]:
    """The top-level modules in `sys.modules` of a fresh interpreter after a statement."""
    code = f"import sys; {statement}; print(*sorted(sys.modules), sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60.0
    )
    return {module.partition(".")[0] for module in done.stdout.split()}


def test_every_file_belongs_to_a_known_layer() -> None:
    assert {layer_of(file) for file in FILES} - {"__init__"} <= set(LAYERS)


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_a_file_imports_only_from_the_layers_below(file: Path) -> None:
    layer = layer_of(file)
    allowed = LAYERS.get(layer, set()) | {layer}
    for module, line in imports_of(file):
        parts = module.split(".")
        if parts[0] == "sac_ros" and len(parts) > 1:
            assert parts[1] in allowed, f"{name_of(file)}:{line}: {layer} imports {module}"


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_a_file_imports_no_package_that_its_layer_must_not_need(file: Path) -> None:
    forbidden = FORBIDDEN.get(layer_of(file), ROS | SIMULATION | LEARNING | {"numpy"})
    for module, line in imports_of(file):
        assert module.partition(".")[0] not in forbidden, (
            f"{name_of(file)}:{line}: {layer_of(file)} imports {module}"
        )


@pytest.mark.parametrize(
    "file", [file for file in FILES if file.name == "__init__.py"], ids=name_of
)
def test_an_init_file_imports_nothing_when_it_is_imported(file: Path) -> None:
    """Registering an environment by name is allowed: Gymnasium imports it when it is made."""
    light = {"__future__", "sys"} | ({"gymnasium"} if layer_of(file) == "sim" else set())
    top = [
        node
        for node in ast.parse(file.read_text()).body
        if isinstance(node, (ast.Import, ast.ImportFrom))
    ]
    modules = {
        alias.name if isinstance(node, ast.Import) else node.module
        for node in top
        for alias in node.names
    }
    assert {str(module).partition(".")[0] for module in modules} <= light


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_a_file_starts_with_its_licence_and_says_what_it_is(file: Path) -> None:
    text = file.read_text()
    assert text.startswith("# SPDX-License-Identifier: Apache-2.0\n")
    assert ast.get_docstring(ast.parse(text)), f"{name_of(file)} has no docstring"
    if any(isinstance(node, (ast.FunctionDef, ast.ClassDef)) for node in ast.parse(text).body):
        assert "from __future__ import annotations" in text


@pytest.mark.parametrize(
    "module",
    [
        ".".join(file.relative_to(ROOT).with_suffix("").parts)
        for file in sorted((PACKAGE / "policy").rglob("*.py"))
        if file.stem != "__init__"
    ],
)
def test_the_policy_layer_brings_no_torch_pybullet_or_gymnasium(module: str) -> None:
    assert not loaded_by(f"import {module}") & (SIMULATION | LEARNING | {"rclpy"})


def test_the_policy_node_brings_no_torch_pybullet_or_gymnasium() -> None:
    pytest.importorskip("rclpy", reason="rclpy is not installed: `make setup` brings it")
    loaded = loaded_by("import sac_ros.ros.policy.node")
    assert not loaded & (SIMULATION | LEARNING | {"matplotlib", "PIL"})


def test_the_command_guard_does_not_depend_on_what_runs_policies() -> None:
    pytest.importorskip("rclpy", reason="rclpy is not installed: `make setup` brings it")
    loaded = loaded_by("import sac_ros.ros.policy.command_guard")
    assert not loaded & (SIMULATION | LEARNING | {"matplotlib", "PIL", "onnxruntime"})


@pytest.mark.parametrize("package", ["sac_ros", "sac_ros.ros", "sac_ros.policy"])
def test_importing_a_package_brings_not_even_numpy(package: str) -> None:
    heavy = SIMULATION | LEARNING | {"numpy", "onnxruntime", "rclpy"}
    assert not loaded_by(f"import {package}") & heavy
