# SPDX-License-Identifier: Apache-2.0
"""Every node ends the same way: stopped with a valid context, and with the right exit code."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: `make setup` brings it")

PROGRAM = """
import sys
from rclpy.node import Node
from sac_ros.utils.errors import ConfigurationError
from sac_ros.ros.spin import NodeDone, run_node

class Example(Node):
    def __init__(self):
        super().__init__("example")
        self.create_timer(0.05, self.act)
        print("ready", flush=True)

    def act(self):
        {act}

    def stop(self):
        say("stopping")
        print("stopped, context", self.context.ok(), flush=True)

def say(what):
    print(what, flush=True)
    sys.stdin.readline()  # a test that talks back goes on when it likes; the others send nothing

code = run_node(Example)
say("returned")
sys.exit(code)
"""


def run(act: str, how: signal.Signals | None = None, *arguments: str) -> tuple[int, str, str]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(act=act), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    if how is not None:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(how)
    out, err = process.communicate(timeout=30.0)
    return process.returncode, out, err


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_node_with_a_valid_context_and_exit_code_0(how: signal.Signals) -> None:
    code, out, err = run("pass", how)
    assert (code, err) == (0, "")
    assert "stopped, context True" in out


@pytest.mark.parametrize("again", [signal.SIGINT, signal.SIGTERM])
def test_more_signals_change_nothing_until_the_process_has_ended(again: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(act="pass")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    for line in process.stdout:
        process.send_signal(again)
        if line in ("stopping\n", "returned\n"):
            process.stdin.write("\n")
            process.stdin.flush()
        if line == "returned\n":
            break
    out, err = process.communicate(timeout=30.0)
    assert (process.returncode, out, err) == (0, "", "")


@pytest.mark.parametrize("code", [0, 1])
def test_a_node_that_is_done_chooses_its_exit_code(code: int) -> None:
    result, out, err = run(f"raise NodeDone({code})")
    assert (result, err) == (code, "")
    assert "stopped, context True" in out


def test_a_known_error_in_a_callback_is_one_sentence_and_exit_code_2() -> None:
    code, out, err = run("raise ConfigurationError('arm must be one of iiwa')")
    assert code == 2
    assert err.strip().endswith("error: arm must be one of iiwa")
    assert len(err.strip().splitlines()) == 1
    assert "stopped" in out


def test_a_bug_in_a_callback_keeps_its_traceback_and_still_stops_the_node() -> None:
    code, out, err = run("1 / 0")
    assert code == 1
    assert "ZeroDivisionError" in err
    assert "stopped" in out


def test_arguments_that_ros_refuses_are_one_sentence_and_exit_code_2() -> None:
    code, _, err = run("pass", None, "--ros-args", "--params-file", "/no/such/file.yaml")
    assert code == 2
    (line,) = [line for line in err.splitlines() if "error: ROS refuses the arguments" in line]
    assert "/no/such/file.yaml" in line
    assert ".c:" not in line
    assert "Traceback" not in err
