# SPDX-License-Identifier: Apache-2.0
"""Files that other programs read: Docker, VS Code, GitHub, pre-commit, whoever cites this."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
WORKFLOW = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("[!c]*.yml"))


def check_files(*files: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "tools" / "check_files.py", *map(str, files)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_data_file_can_be_read_and_none_is_large() -> None:
    done = check_files()
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_a_data_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    broken = {"a.yaml": "a: [", "b.json": "{", "c.xml": "<a>"}
    for name, text in broken.items():
        (tmp_path / name).write_text(text)
    done = check_files(*(tmp_path / name for name in broken))
    assert done.returncode == 1
    assert re.findall(r"/(\w\.\w+) cannot be read", done.stdout) == list(broken)


def test_the_image_copies_only_what_is_there_and_no_environment() -> None:
    sources = [
        source
        for line in re.findall(r"^COPY --chown=\S+ (.+)$", DOCKERFILE, re.MULTILINE)
        for source in line.split()[:-1]
    ]
    assert sources
    assert [each for each in sources if not (ROOT / each).exists()] == []
    assert {".git", ".venv", "runs"} <= set((ROOT / ".dockerignore").read_text().split())
    (entry,) = re.findall(r"^ENTRYPOINT (.+)$", DOCKERFILE, re.MULTILINE)
    assert (ROOT / json.loads(entry)[0].partition("/sac_ros/")[2]).stat().st_mode & 0o111
    assert re.findall(r"^USER (\w+)", DOCKERFILE, re.MULTILINE)[-1] != "root"


def test_the_devcontainer_is_a_stage_of_the_image() -> None:
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    assert f" AS {container['build']['target']}\n" in DOCKERFILE
    assert f"USER {container['remoteUser']}\n" in DOCKERFILE


def test_the_workflow_runs_only_what_is_there() -> None:
    jobs = yaml.safe_load(WORKFLOW)["jobs"]
    commands = "\n".join(step.get("run", "") for job in jobs.values() for step in job["steps"])
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    called = re.findall(r"\bmake (?:-C \S+ )?([a-z ]+)", commands)
    assert called
    assert {target for each in called for target in each.split()} <= targets
    assert set(jobs) == {"check", "ros", "wheel", "docs"}
    for script in re.findall(r"(?:tools|\.ci)/\w+(?:\.sh)?", commands):
        assert (ROOT / script).is_file()


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_an_issue_form_has_what_github_asks_for(form: Path) -> None:
    found: dict[str, Any] = yaml.safe_load(form.read_text())
    assert {"name", "description", "body"} <= set(found)
    fields = [each for each in found["body"] if each["type"] != "markdown"]
    assert len({each["id"] for each in fields}) == len(fields)
    assert all(each["attributes"]["label"] for each in fields)


def test_pre_commit_downloads_nothing() -> None:
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert repository["repo"] == "local"
    assert {hook["language"] for hook in repository["hooks"]} == {"system"}
    assert [hook["id"] for hook in repository["hooks"]] == ["ruff", "ruff-format", "mypy", "files"]


def test_the_citation_is_of_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    manifest = ElementTree.parse(ROOT / "package.xml")
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["version"] == manifest.findtext("version")
    assert citation["license"] == manifest.findtext("license")
