# SPDX-License-Identifier: Apache-2.0
"""Child processes end with their parent's work, the last one first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from sac_ros.ros import child_processes
from sac_ros.ros.child_processes import ChildProcesses

Eventually = Callable[..., None]

SCRIPT = """
import pathlib, signal, sys, threading, time

def robot():
    log, name, deaf = pathlib.Path(sys.argv[1]), sys.argv[0], sys.argv[2] == "deaf"
    done = threading.Event()
    def on_signal(number, _):
        with log.open("a") as file:
            file.write(f"{name} {signal.Signals(number).name}\\n")
        if not deaf:
            done.set()
    signal.signal(signal.SIGINT, on_signal)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT,))
    signal.signal(signal.SIGTERM, on_signal)
    with log.open("a") as file:
        file.write(f"{name} started\\n")
    while not done.wait(0.02):
        pass
    return 0

policy = robot
"""


@pytest.fixture(autouse=True)
def scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "child_script.py").write_text(SCRIPT)
    (tmp_path / "failing_script.py").write_text("def robot():\n    return 3\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def lines(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []


def test_leaving_ends_the_last_one_first(tmp_path: Path, eventually: Eventually) -> None:
    log = tmp_path / "log"
    with ChildProcesses() as children:
        for name in ("robot", "policy"):
            children.start(name, [str(log), "hears"], "child_script")
            eventually(lambda name=name: f"{name} started" in lines(log), "started")
        assert children.ended() == ""
    assert lines(log)[2:] == ["policy SIGINT", "robot SIGINT"]


def test_leaving_by_an_error_ends_them_too(tmp_path: Path, eventually: Eventually) -> None:
    log = tmp_path / "log"

    def fail_midway() -> None:
        with ChildProcesses() as children:
            children.start("robot", [str(log), "hears"], "child_script")
            eventually(lambda: lines(log), "started")
            raise RuntimeError("mid-way")

    with pytest.raises(RuntimeError, match="mid-way"):
        fail_midway()
    assert lines(log) == ["robot started", "robot SIGINT"]


def test_one_that_does_not_listen_is_killed(
    tmp_path: Path,
    eventually: Eventually,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(child_processes, "_GRACE", 0.2)
    log = tmp_path / "log"
    with ChildProcesses() as children:
        children.start("robot", [str(log), "deaf"], "child_script")
        eventually(lambda: lines(log), "started")
    assert lines(log) == ["robot started", "robot SIGINT", "robot SIGTERM"]
    assert "robot ended" in children.ended()


def test_one_that_ended_is_named_with_its_exit_code(eventually: Eventually) -> None:
    with ChildProcesses() as children:
        children.start("robot", [], "failing_script")
        eventually(children.ended, "the end")
        assert children.ended() == "robot ended with exit code 3"


def test_the_end_of_one_can_be_waited_for() -> None:
    with ChildProcesses() as children:
        children.start("robot", [], "failing_script")
        assert children.wait("robot") == 3


def test_a_node_gets_its_namespace_its_topics_and_its_parameters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Sequence[str]] = []
    monkeypatch.setattr(ChildProcesses, "start", lambda _, __, given: started.append(given))
    ChildProcesses().start_node("node", "/here", [tmp_path], topics={"a": "b"}, rate=2.0)
    (arguments,) = started
    assert arguments[3:7] == ["-r", "__ns:=/here", "-r", "a:=b"]
    assert arguments[7:] == ["--params-file", str(tmp_path), "-p", "rate:=2.0"]
