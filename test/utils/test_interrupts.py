# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C ends a command at any moment: no traceback, nothing left behind, and soon."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sac_ros.entry import COMMANDS, NODES
from sac_ros.utils import errors

COMMAND = """
import subprocess, sys, time
from sac_ros.utils.errors import run_command

def main():
    {body}
    return 0

sys.exit(run_command(main, grace={grace}, words={words!r}))
"""
WAITS = "print('ready', flush=True); time.sleep(60)"
DEAF = """word = 'ready'
    while True:
        try:
            print(word, flush=True)
            time.sleep(60)
        except KeyboardInterrupt:
            word = 'again'"""
TURNS_IT = """
    try:
        print('ready', flush=True); time.sleep(60)
    except KeyboardInterrupt as error:
        raise ImportError('numpy failed to import') from error"""
LOSES_IT = """
    class Lost:
        def __del__(self):
            print('ready', flush=True); time.sleep(60)
    Lost(); time.sleep(60)"""
HAS_CHILDREN = """
    sleep = "'import time; time.sleep(60)'"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {sleep}])"
    child = subprocess.Popen([sys.executable, '-c', code], start_new_session=True)
    print('ready', child.pid, flush=True)
    while True:
        try:
            time.sleep(60)
        except KeyboardInterrupt:
            pass"""


def start(body: str, *, grace: float = 30.0, words: str = "") -> subprocess.Popen[str]:
    return run("-c", COMMAND.format(body=body, grace=grace, words=words))


def run(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def end(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, err = process.communicate(timeout=30.0)
    return process.returncode, err


@pytest.mark.parametrize(("how", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_command_as_a_shell_reports_it(how: signal.Signals, code: int) -> None:
    process = start(WAITS, words="stopping; please wait")
    assert line(process) == "ready"
    process.send_signal(how)
    result, err = end(process)
    assert result == code
    assert sorted(err.split("\n")) == ["", "interrupted", "stopping; please wait"]


@pytest.mark.parametrize("body", [TURNS_IT, LOSES_IT], ids=["another error", "a destructor"])
def test_what_a_library_makes_of_it_is_no_traceback(body: str) -> None:
    process = start(body, grace=0.2)
    assert line(process) == "ready"
    process.send_signal(signal.SIGINT)
    assert end(process) == (130, "interrupted\n")


def test_a_second_one_ends_a_command_that_unwinds_for_long() -> None:
    process = start(DEAF)
    assert line(process) == "ready"
    process.send_signal(signal.SIGINT)
    assert line(process) == "again", end(process)
    process.send_signal(signal.SIGINT)
    assert end(process) == (130, "interrupted\n")


def test_children_of_children_end_with_it(eventually: Callable[..., None]) -> None:
    process = start(HAS_CHILDREN, grace=0.2)
    child = int(line(process).removeprefix("ready "))
    tasks = Path(f"/proc/{child}/task/{child}/children")
    eventually(lambda: tasks.read_text().strip(), "a child of the child")
    grandchild = int(tasks.read_text())
    process.send_signal(signal.SIGINT)
    assert end(process)[0] == 130
    for each in (child, grandchild):
        eventually(lambda each=each: _dead(each), "the end")


def _dead(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


IMPORTS = """
import sys
class Finder:
    def find_spec(self, name, *_):
        if name.startswith(('sac_ros.cli', 'sac_ros.ros')):
            print('ready', flush=True)
            import time
            time.sleep(60)
sys.meta_path.insert(0, Finder())
sys.argv[0] = {name!r}
from sac_ros.entry import {name}
sys.exit({name}())
"""


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [("evaluate_bag", 130, "interrupted\n"), ("train_node", 0, "")],
)
def test_ctrl_c_while_a_console_script_imports_is_no_traceback(
    name: str, code: int, words: str
) -> None:
    assert name in {**COMMANDS, **NODES}
    process = run("-c", IMPORTS.format(name=name))
    assert line(process) == "ready"
    process.send_signal(signal.SIGINT)
    assert end(process) == (code, words)


def test_an_entry_point_is_a_console_script_or_an_error() -> None:
    import sac_ros.entry

    with pytest.raises(AttributeError, match="no console script 'trian_node'"):
        _ = sac_ros.entry.trian_node


def test_keyboard_interrupts_without_a_signal_are_130_too() -> None:
    def main() -> int:
        raise KeyboardInterrupt

    assert errors.run_command(main) == 130
