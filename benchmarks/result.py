# SPDX-License-Identifier: Apache-2.0
"""A benchmark's result as a JSON file: figures, and all that is needed to assess them."""

from __future__ import annotations

import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.figure import Figure, table

DIRECTORY = Path(__file__).parent / "results"
_PACKAGES = (
    *("torch", "numpy", "pybullet", "gymnasium", "stable-baselines3", "sbx-rl", "jax"),
    *("onnxruntime", "ros-rclpy", "ros-rmw-fastrtps-cpp"),
)


def describe(
    name: str,
    title: str,
    figures: Sequence[Figure],
    settings: dict[str, Any],
    details: Any = None,
) -> dict[str, Any]:
    """What `save` writes.

    Args:
        name: of the benchmark, and of its file.
        title: one line on what was measured.
        figures: what was found.
        settings: its options.
        details: anything else worth keeping, such as learning curves.
    """
    return {
        "benchmark": name,
        "title": title,
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": shlex.join(["python", *sys.orig_argv[1:]]),
        "revision": _git("rev-parse", "HEAD"),
        "uncommitted_changes": _git("status", "--porcelain", "--", "sac_ros", "config") != "",
        "machine": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "load_average": os.getloadavg()[0],
            "system": platform.platform(),
            "python": platform.python_version(),
        },
        "versions": {package: _version(package) for package in _PACKAGES},
        "settings": settings,
        "figures": [
            {
                "name": figure.name,
                "unit": figure.unit,
                "median": figure.median,
                "repetitions": list(figure.repetitions),
            }
            for figure in figures
        ],
        "details": details,
    }


def save(result: dict[str, Any], directory: Path) -> Path:
    """Writes `result` to `<directory>/<benchmark>.json`; returns where."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{result['benchmark']}.json"
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return path


def text(result: dict[str, Any]) -> str:
    """The result as a table, with where and when it was measured."""
    figures = [
        Figure(each["name"], each["unit"], tuple(each["repetitions"]))
        for each in result["figures"]
    ]
    machine = result["machine"]
    return (
        f"{table(result['title'], figures)}\n"
        f"  {result['date']}, {machine['processor']}, {machine['cores']} cores, "
        f"load {machine['load_average']:.1f}, revision {(result['revision'] or 'unknown')[:9]}"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git(*arguments: str) -> str | None:
    """The state of this checkout by git; None where there is no git or no checkout."""
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=Path(__file__).parent.parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
