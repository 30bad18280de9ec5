# SPDX-License-Identifier: Apache-2.0
"""CONTRIBUTING.md, followed: its arm, task, metric and guard in a copy of the package."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "CONTRIBUTING.md"
COPIED = ("sac_ros", "config", "urdf", "test/support")
SECTIONS = ("Add an arm", "Add a task", "Add a metric", "Add a guard")


def blocks_of(section: str) -> list[tuple[str, str]]:
    """(language, text) of each code block below a heading."""
    page = PAGE.read_text(encoding="utf-8")
    (text,) = re.findall(rf"\n## {section}\n(.*?)(?=\n## )", page, re.DOTALL)
    return re.findall(r"```(\w+)\n(.*?)```", text, re.DOTALL)


def follow(language: str, text: str, checkout: Path) -> Path | None:
    """Do what a block says in a checkout; returns the test that it adds, if any."""
    if language == "sh":
        for line in text.splitlines():
            subprocess.run(shlex.split(line, comments=True), cwd=checkout, check=True)
    elif language == "diff":
        patch = ["git", "apply", "--unsafe-paths", "-"]
        subprocess.run(patch, cwd=checkout, check=True, input=text, text=True)
    else:
        first, _, rest = text.partition("\n")
        path = checkout / first.removeprefix("# ")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(rest)
        return path if path.name.startswith("test_") else None
    return None


def test_each_section_leads_to_an_addition_that_works(tmp_path: Path) -> None:
    for name in COPIED:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    for name in ("setup.py", "package.xml"):
        shutil.copy2(ROOT / name, tmp_path)
    added = [
        test
        for section in SECTIONS
        for block in blocks_of(section)
        if (test := follow(*block, tmp_path))
    ]
    assert len(added) == len(SECTIONS)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "--import-mode=importlib"),
            *(f"--rootdir={tmp_path}", "-p", "no:cacheprovider", "-c", os.devnull),
            *map(str, added),
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{tmp_path / 'test' / 'support'}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=200.0,
    )
    assert done.returncode == 0, done.stdout
    assert "4 passed" in done.stdout
