# SPDX-License-Identifier: Apache-2.0
"""The ament_python package sac_ros: one setup.py for colcon and for pip."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from setuptools import find_packages, setup

PACKAGE = "sac_ros"
SHARED_DIRECTORIES = ("config", "launch", "models", "rviz", "urdf")
ROOT = Path(__file__).parent


def version() -> str:
    """The version of package.xml, the only place where it stands."""
    found = ElementTree.parse(ROOT / "package.xml").findtext("version")
    if found is None:
        raise ValueError("package.xml has no <version>")
    return found.strip()


def shared_files() -> list[tuple[str, list[str]]]:
    """(install directory, files) of everything that belongs in share/sac_ros.

    Found by walking, so that a new arm or model is installed without a change here, and a
    directory that does not exist yet is no error.  Paths are relative, as setuptools demands.
    """
    by_directory: dict[Path, list[str]] = {}
    for top in SHARED_DIRECTORIES:
        for file in sorted((ROOT / top).rglob("*")):
            relative = file.relative_to(ROOT)
            hidden = any(part.startswith((".", "__")) for part in relative.parts)
            if file.is_file() and not hidden:
                by_directory.setdefault(relative.parent, []).append(relative.as_posix())
    return [
        (f"share/{PACKAGE}/{directory.as_posix()}", files)
        for directory, files in sorted(by_directory.items())
    ]


setup(
    name=PACKAGE,
    version=version(),
    description="Torque control of robot arms with soft actor-critic, ROS 2 and PyBullet",
    license="Apache-2.0",  # and MIT: sac_ros/pages/uplot/
    maintainer="Seed 3895892b maintainers",
    maintainer_email="maintainers@users.noreply.r-seed-3895892b.example",
    packages=find_packages(include=[PACKAGE, f"{PACKAGE}.*"]),
    package_data={
        PACKAGE: [
            "py.typed",
            "bags/summary.schema.json",
            "bags/report/*.html",
            "pages/*.css",
            "pages/*.html",
            "pages/*.js",
            "pages/uplot/*",
            "training/page/*.html",
        ],
    },
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
        # Puts the commands on the PATH of a sourced workspace; colcon.pkg names it.
        (f"share/{PACKAGE}/hook", ["resource/commands.dsv"]),
        *shared_files(),
    ],
    zip_safe=False,
    python_requires=">=3.10",
    # Lower bounds only where something older is known to fail; constraints.txt pins what CI runs.
    # What a robot needs: policies run and are evaluated on recordings, without torch and without a
    # simulator. sac_ros/utils/extras.py names the extra that brings a package that is absent.
    install_requires=[
        "jinja2",
        "numpy",
        "onnxruntime",
        "pyyaml",
        "rosbags",
        "tqdm",
    ],
    extras_require={
        "bags": ["jinja2", "rosbags"],  # in the core: the name is for whoever asks for it
        "mujoco": ["gymnasium>=1.1", "mujoco>=3.2"],  # a simulator without a compiler
        "sim": ["sac_ros[mujoco]", "matplotlib", "pillow>=10.1", "pybullet"],
        "train": ["sac_ros[sim]", "onnx", "tensorboard", "torch>=2.4"],
        "all": ["sac_ros[bags,sim,train,view]"],
        # ROS 2 Kilted from PyPI, for a machine without ROS 2 (x86_64, CPython 3.10 to 3.14).
        # Not in install_requires: a machine with ROS 2 must use its own.
        "ros": [
            "ros-rclpy",
            "ros-rmw-fastrtps-cpp",
            "ros-diagnostic-msgs",
            "ros-geometry-msgs",
            "ros-lifecycle-msgs",
            "ros-sensor-msgs",
            "ros-std-msgs",
            "ros-std-srvs",
            "ros-visualization-msgs",
        ],
        "test": [
            "sac_ros[all,docs]",  # the site is tested, too
            "coverage",
            "hypothesis",
            "jsonschema",
            "mypy",
            "psutil",
            "pytest",
            "pytest-timeout",
            "pytest-xdist",
            "ruff",
            "stable-baselines3",  # for its check_env
            "types-PyYAML",
        ],
        # Collectors and sweeps on clusters.
        "ray": ["sac_ros[train]", "ray[tune]>=2.50", "optuna>=4.0"],
        "view": ["viser>=1.1"],  # browser_view
        "mutation": ["sac_ros[test]", "mutmut>=3.8"],
        "docs": ["latex2mathml", "mkdocs<2", "mkdocs-material", "mkdocstrings-python"],
        "benchmark": ["sac_ros[train]", "sbx-rl", "stable-baselines3"],
    },
    entry_points={
        "console_scripts": [
            "browser_view = sac_ros.entry:browser_view",
            "check_arm = sac_ros.entry:check_arm",
            "command_guard = sac_ros.entry:command_guard",
            "convert_policy = sac_ros.entry:convert_policy",
            "evaluate_bag = sac_ros.entry:evaluate_bag",
            "evaluate_policy = sac_ros.entry:evaluate_policy",
            "goal_marker = sac_ros.entry:goal_marker",
            "identify_robot = sac_ros.entry:identify_robot",
            "policy_node = sac_ros.entry:policy_node",
            "reach_demo = sac_ros.entry:reach_demo",
            "recorder_node = sac_ros.entry:recorder_node",
            "replay_node = sac_ros.entry:replay_node",
            "sim_node = sac_ros.entry:sim_node",
            "sweep = sac_ros.entry:sweep",
            "train_node = sac_ros.entry:train_node",
        ],
    },
)
