# SPDX-License-Identifier: Apache-2.0
"""Errors: one sentence on stderr and exit code 2, and bugs keep their traceback."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sac_ros.utils.errors import ConfigurationError, JointStateError, PolicyFileError, run_command


def test_a_command_that_ran_returns_its_own_exit_code() -> None:
    assert run_command(lambda: 1) == 1


@pytest.mark.parametrize("kind", [ConfigurationError, PolicyFileError, JointStateError])
def test_a_known_error_is_one_line_on_stderr_and_exit_code_2(
    kind: type[Exception], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def main() -> int:
        raise kind("arm must be one of iiwa; got 'ur5'")

    monkeypatch.setattr("sys.argv", ["/usr/bin/train_node"])
    assert run_command(main) == 2
    captured = capsys.readouterr()
    assert captured.err == "train_node: error: arm must be one of iiwa; got 'ur5'\n"
    assert captured.out == ""


def test_a_bug_is_not_swallowed() -> None:
    def main() -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_command(main)


def test_output_that_nobody_reads_any_more_is_no_answer_and_no_traceback() -> None:
    program = """
import sys
from sac_ros.utils.errors import run_command

def main():
    for line in range({lines}):
        print(line)
    return 0

sys.exit(run_command(main))
"""
    for lines in (1, 100_000):  # within the buffer, and beyond it
        process = subprocess.Popen(
            [sys.executable, "-c", program.format(lines=lines)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 141
