# SPDX-License-Identifier: Apache-2.0
"""The proof that Ctrl-C leaves nothing behind: a few tries here, all of them where time allows."""

from __future__ import annotations

import pytest

from benchmarks import interrupts

# A busy machine makes no test wrong: the benchmark is for times, this for what is left behind.
SLACK = ("--slack", "20")


def test_a_few_tries_leave_nothing_behind(capsys: pytest.CaptureFixture[str]) -> None:
    only = ("--only", "check_arm", "command_guard", "sim_node")
    code = interrupts.main(["--tries", "3", "--longest", "1.0", "--states", "100", *SLACK, *only])
    out = capsys.readouterr().out
    assert code == 0, out
    assert "| all | 3 |" in out


@pytest.mark.long
def test_a_hundred_tries_leave_nothing_behind(capsys: pytest.CaptureFixture[str]) -> None:
    code = interrupts.main(["--tries", "100", *SLACK])
    assert code == 0, capsys.readouterr().out
