# SPDX-License-Identifier: Apache-2.0
"""`evaluate_bag` run by a test: what it finds, or the one sentence with which it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sac_ros.cli.evaluate_bag import main


def summary_of(capsys: pytest.CaptureFixture[str], *arguments: Any) -> dict[str, Any]:
    """The summary, in strict JSON, with nothing on stderr and exit code 0."""
    code = main([*map(str, arguments), "--json"])
    output = capsys.readouterr()
    assert (code, output.err) == (0, "")
    found: dict[str, Any] = json.loads(output.out, parse_constant=pytest.fail)
    return found


def refusal_of(capsys: pytest.CaptureFixture[str], *arguments: Any) -> str:
    """What stands on stderr: one line, with nothing on stdout and exit code 2."""
    assert main([*map(str, arguments)]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1
    return output.err


def is_exact(found: dict[str, Any], samples: int = 300) -> bool:
    """Whether so many samples were compared and none is wrong by 1e-5 of a limit."""
    errors = found["models"][0]["errors"][0]
    within: bool = errors["overall"]["max_fraction"] < 1e-5
    return errors["samples"] == samples and within


def storage_file(bag: Path) -> Path:
    """The only storage file in a bag's folder."""
    (file,) = (each for each in bag.iterdir() if each.suffix in (".db3", ".mcap"))
    return file
