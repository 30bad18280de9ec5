# SPDX-License-Identifier: Apache-2.0
"""A file appears whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from sac_ros.utils.atomic_write import atomic_write


def test_the_file_appears_only_when_its_writer_is_done(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    with atomic_write(path) as file:
        file.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_after_an_error_the_old_file_stands_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    path.write_text("old")
    with pytest.raises(OSError, match="full"):
        fail_halfway(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def fail_halfway(path: Path) -> None:
    with atomic_write(path) as file:
        file.write_text("half")
        raise OSError("full")
