# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the tests of bags: the tiny policy and its recording."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from bag_maker import Motion, write_bag
from evaluate_command import refusal_of, summary_of
from tiny_policy import write_tiny_policy


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_tiny_policy(tmp_path / "tiny.onnx")


@pytest.fixture
def bag(tmp_path: Path) -> Path:
    return write_bag(tmp_path / "bag", Motion().entries())


@pytest.fixture
def evaluated(model: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Call it with bags and options: the tiny policy's summary on them."""
    return lambda *arguments: summary_of(capsys, *arguments, "--model", model)


@pytest.fixture
def refused(model: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Call it with bags and options: the sentence with which they are refused."""
    return lambda *arguments: refusal_of(capsys, *arguments, "--model", model)
