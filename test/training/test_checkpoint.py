# SPDX-License-Identifier: Apache-2.0
"""A checkpoint is whole or is not there, and reading one runs nothing."""

from __future__ import annotations

import errno
import io
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from sac_ros.training.checkpoint import FORMAT, load_checkpoint, save_checkpoint
from sac_ros.utils.errors import ConfigurationError

CONTENT: dict[str, Any] = {"weights": torch.arange(5.0), "steps": 7, "names": ["a", "b"]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "checkpoint.pt"


def test_what_is_loaded_is_what_was_saved_and_nothing_else_is_left(path: Path) -> None:
    save_checkpoint(path, CONTENT)
    loaded = load_checkpoint(path)
    assert torch.equal(loaded["weights"], CONTENT["weights"])
    assert (loaded["steps"], loaded["names"]) == (7, ["a", "b"])
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_write_that_fails_leaves_the_old_checkpoint(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(path, CONTENT)

    def torn(content: object, file: Any) -> None:
        file.write(b"half a checkp")
        raise OSError("no space left on device")

    monkeypatch.setattr(torch, "save", torn)
    with pytest.raises(OSError, match="no space"):
        save_checkpoint(path, {"steps": 8})
    assert load_checkpoint(path)["steps"] == 7
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("room", [0, 1000, 100_000, 1_000_000])
def test_a_disk_that_is_full_anywhere_is_an_os_error(
    path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    class Full(io.FileIO):
        def write(self, data: Any) -> int:
            if self.tell() + len(data) > room:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(data)

    def full(self: Path, mode: str) -> Full:
        return Full(str(self), mode.replace("b", ""))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", full)
        with pytest.raises(OSError, match="No space left on device"):
            save_checkpoint(path, {"replay": torch.zeros(300_000), "more": torch.zeros(300)})
    assert list(path.parent.iterdir()) == []


def test_a_missing_checkpoint_is_named(path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no checkpoint at .*checkpoint\.pt"):
        load_checkpoint(path)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_torn_checkpoint_is_refused_in_one_sentence(path: Path, share: float) -> None:
    save_checkpoint(path, {**CONTENT, "replay": torch.randn(1000)})
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ConfigurationError, match=r"checkpoint\.pt is not a whole ch") as refused:
        load_checkpoint(path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("data", [b"hello\n", b"\x80\x04N.", b"\x00" * 100])
def test_a_file_that_is_no_checkpoint_is_refused(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    with pytest.raises(ConfigurationError, match=r"checkpoint\.pt") as refused:
        load_checkpoint(path)
    assert "\n" not in str(refused.value)


def test_another_format_is_refused_with_both_numbers(path: Path) -> None:
    torch.save({"format": FORMAT + 1}, path)
    with pytest.raises(ConfigurationError, match=f"format must be {FORMAT}; got {FORMAT + 1}"):
        load_checkpoint(path)
    torch.save([1, 2, 3], path)
    with pytest.raises(ConfigurationError, match=f"format must be {FORMAT}; got 'list'"):
        load_checkpoint(path)


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.victim,)


@pytest.mark.parametrize("plain", [True, False], ids=["pickle", "torch"])
def test_code_in_a_checkpoint_is_not_run(path: Path, plain: bool) -> None:
    victim = path.with_name("victim")
    content = {"format": FORMAT, "trap": Trap(victim)}
    if plain:
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path)
    with pytest.raises(ConfigurationError, match=r"checkpoint\.pt") as refused:
        load_checkpoint(path)
    assert not victim.exists()
    assert "\n" not in str(refused.value)
