# SPDX-License-Identifier: Apache-2.0
"""What the pages tell their readers to type runs, in the pages' order, in short form."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from page_commands import commands, split

ROOT = Path(__file__).parents[2]
RULES: list[dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parent / "commands.yaml").read_text(encoding="utf-8")
)["run"]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_LIMIT_S = 400.0
_LEFT_OUT = (".git", ".venv", "runs", "site", "mutants", "*_cache", "__pycache__", "benchmarks")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this checkout, whose .venv is the one that runs the tests."""
    copy = tmp_path_factory.mktemp("docs") / "sac_ros"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*_LEFT_OUT))
    (copy / ".venv").symlink_to(sys.prefix)
    return copy


def rule_of(text: str) -> dict[str, Any] | None:
    return next((rule for rule in RULES if re.match(rule["match"], text)), None)


def run(words: tuple[str, ...], rule: dict[str, Any], checkout: Path) -> str:
    """Run a command in its short form; returns what is wrong, or an empty text."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(checkout),
        "PATH": f"{checkout}/.venv/bin:{os.environ['PATH']}",
        "AMENT_PREFIX_PATH": sys.prefix,
    }
    typed = shlex.split(rule["instead"]) if "instead" in rule else [*words]
    made = [typed]
    if typed[0] == "make":  # without `make setup`, which would install into the copy
        done = subprocess.run(
            ["make", "--dry-run", *typed[1:]], cwd=checkout, check=True, text=True, stdout=-1
        )
        made = [
            each
            for line in done.stdout.splitlines()
            if line.startswith(".venv/bin/")
            for each in split(line)
        ]
    for each in made:
        done = subprocess.run(
            [*each, *shlex.split(rule.get("add", ""))],
            cwd=checkout,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_LIMIT_S,
        )
        if done.returncode not in rule.get("exit_codes", [0]):
            return f"{' '.join(typed)}: exit code {done.returncode}\n{done.stdout[-2000:]}"
    return ""


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_the_commands_of_the_pages_run(checkout: Path) -> None:
    wrong, used = [], set()
    for page in PAGES:
        for command in commands(page, page.name):
            if rule := rule_of(command.text):
                used.add(rule["match"])
                found = run(command.words, rule, checkout)
                print(f"FAILED {found}" if found else f"ran {command}", flush=True)
                wrong += [f"{page.name}: {found}"] if found else []
    assert not wrong, "\n\n".join(wrong)
    assert used == {rule["match"] for rule in RULES}, "a rule that covers nothing"
