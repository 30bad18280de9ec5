# SPDX-License-Identifier: Apache-2.0
"""What happens to policy_node in a motion, fifty times each: how soon the arm brakes.

The robot, policy_node and command_guard are processes of their own. Judged is
what the guard publishes to the robot, by the time at which DDS says it was sent.

`SAC_ROS_TRIES` changes how many tries.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: `make setup` brings it")

import onnx
from kept_result import keep
from moving_chain import ARM, LIMIT_S, MODEL, WATCHDOG_S, Chain, Try
from onnx import numpy_helper

from benchmarks import result
from benchmarks.figure import Figure

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]

TRIES = int(os.environ.get("SAC_ROS_TRIES", "50"))
FLOOD_S = 1.0
EARLY_MS = 20.0  # a stop that began so long before the fault was another one's

# From the moment that a file exists on, an inference burns a processor for ever. As in
# onnxruntime, Python's lock is free meanwhile.
LOOP = """
import hashlib, pathlib, sys, threading, time
from sac_ros.ros.policy import node as policy_node
from sac_ros.policy.runtime import Policy
now, began = (pathlib.Path({directory!r}) / name for name in ("now", "began"))
answer = Policy.answer
def loop(self, *given, **state):
    if threading.current_thread().name == "inference" and now.exists():
        began.write_text(repr(time.time()))
        while True:
            hashlib.pbkdf2_hmac("sha256", b"", b"", 10**7)
    return answer(self, *given, **state)
Policy.answer = loop
sys.exit(policy_node.main())
"""

# For each line on stdin: joint states with a frame of 8 MB, at 500 Hz where the machine can.
FLOOD = """
import json, struct, sys, time
import rclpy
from rclpy.serialization import serialize_message
from sensor_msgs.msg import JointState
rclpy.init()
node = rclpy.create_node("flood")
publisher = node.create_publisher(JointState, "joint_states", 10)
names, position = json.loads(sys.argv[1])
state = JointState(name=names, position=position, velocity=[0.0] * len(names))
state.header.frame_id = "x" * 8_000_000
raw = bytearray(serialize_message(state))
for line in sys.stdin:
    begin = due = time.time()
    count = 0
    while time.time() < begin + float(line):
        stamp = time.time_ns()
        struct.pack_into("<iI", raw, 4, *divmod(stamp, 10**9))
        publisher.publish(bytes(raw))
        count += 1
        due = max(due + 0.002, time.time() - 0.002)
        time.sleep(max(0.0, due - time.time()))
    print(json.dumps([begin, count]), flush=True)
"""


@dataclass
class Row:
    """All tries of one fault; ``measured`` is the attribute of a try that counts."""

    fault: str
    measured: str
    tries: list[Try] = field(default_factory=list)
    disturbed: int = 0  # times that the machine had stopped the arm before the fault
    violations: list[str] = field(default_factory=list)
    excused_violations: int = 0
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def values(self) -> list[float]:
        return [getattr(each, self.measured) for each in self.tries]

    @property
    def over(self) -> list[Try]:
        """Those over the limit in either way."""
        most = 1e3 * LIMIT_S
        return [t for t in self.tries if getattr(t, self.measured) > most or t.gap_ms > most]

    @property
    def failed(self) -> list[Try]:
        """Those that were late though they had a processor."""
        most = 1e3 * LIMIT_S
        return [
            each
            for each in self.over
            if (self.measured == "ms" and each.ms - each.waited_ms > most)
            or each.gap_ms - each.gap_waited_ms > most
        ]

    @property
    def outcomes(self) -> Counter[str]:
        return Counter(each.outcome for each in self.tries)

    def line(self) -> str:
        values = np.array(self.values)
        full = np.array([each.full_ms for each in self.tries])
        gaps = np.array([each.gap_ms for each in self.tries])
        return (
            f"{self.fault:30} {len(values):5d} {np.median(values):9.1f} {values.max():8.1f} "
            f"{len(self.over):10d} {len(self.failed):12d} {np.median(full):9.1f} "
            f"{gaps.max():8.1f} {len(self.violations):10d} {self.disturbed:9d}  "
            + ", ".join(f"{count} {what}" for what, count in self.outcomes.items())
        )


HEAD = (
    f"{'fault':30} {'tries':>5} {'median ms':>9} {'worst ms':>8} {'over 60 ms':>10} "
    f"{'with a CPU':>12} {'full ms':>9} {'gap ms':>8} {'violations':>10} {'disturbed':>9}  "
    "outcomes"
)


@pytest.fixture(scope="module")
def rows() -> Iterator[list[Row]]:
    rows: list[Row] = []
    yield rows
    print("\n" + "\n".join([HEAD, *(row.line() for row in rows)]))
    keep(_describe(rows))


def _finite(value: Any) -> Any:
    """As JSON takes it."""
    if isinstance(value, str):
        return value
    return round(value, 2) if np.isfinite(value) else None


def _describe(rows: list[Row]) -> dict[str, Any]:
    figures = []
    for row in rows:
        what = "to the stop" if row.measured == "ms" else "longest without a new command"
        values = tuple(_finite(each) for each in row.values)
        figures.append(Figure(f"{row.fault}: {what}", "ms", values))
        figures.append(Figure(f"{row.fault}: over 60 ms", "", (float(len(row.over)),)))
        late = Figure(f"{row.fault}: and had a processor", "", (float(len(row.failed)),))
        figures.append(late)
        figures.append(Figure(f"{row.fault}: violations", "", (float(len(row.violations)),)))
    details = {
        row.fault: {
            "tries": [
                {name: _finite(value) for name, value in asdict(each).items()}
                for each in row.tries
            ],
            "disturbed": row.disturbed,
            "outcomes": row.outcomes,
            "gaps for want of a processor": row.excused_violations,
            "violations": row.violations[:20],
            **row.notes,
        }
        for row in rows
    }
    return result.describe(
        "fifty_tries",
        f"Faults in a motion, {TRIES} tries each: what reaches the robot",
        figures,
        {"tries": TRIES, "model": MODEL.name, "command_timeout_s": WATCHDOG_S},
        details,
    )


# ---- the faults ------------------------------------------------------------------------------


@pytest.fixture
def chain(ros: Any, eventually: Callable[..., None], tmp_path: Path) -> Iterator[Chain]:
    chain = Chain(ros, eventually, tmp_path)
    yield chain
    chain.close()


def try_often(
    chain: Chain,
    row: Row,
    hurt: Callable[[], float],
    heal: Callable[[], object],
    tries: int = TRIES,
) -> None:
    """Do it to the chain in a motion, judge what the robot gets, and mend the chain.

    Args:
        chain: the robot.
        row: takes the tries.
        hurt: returns when the fault began, s of the wall clock, once it can be judged.
        heal: called after each.
        tries: how many there are to be.
    """
    while len(row.tries) < tries:
        chain.move()
        end_effector_speed = float(np.linalg.norm(chain.tip()[1]))
        fault = hurt()
        found = chain.judge(fault, end_effector_speed)
        if found.early_ms > EARLY_MS:
            row.disturbed += 1
        else:
            row.tries.append(found)
        heal()


def judge_all(chain: Chain, row: Row) -> None:
    """Hold the whole record to the always-true list, and print the row."""
    violations, row.excused_violations = chain.violations()
    row.violations = [each.sentence for each in violations]
    print(f"\n{HEAD}\n{row.line()}")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP, signal.SIGHUP])
def test_a_signal_in_a_motion(chain: Chain, rows: list[Row], how: signal.Signals) -> None:
    row = Row(f"{how.name} of policy_node", "ms")
    rows.append(row)

    def hurt() -> float:
        began = time.time()
        chain.policy.signal(how)
        chain.stands(began)
        return began

    def heal() -> None:
        if how is signal.SIGHUP:
            assert chain.policy.wait() == 0
        elif how is signal.SIGSTOP:
            chain.policy.signal(signal.SIGCONT)
            count = len(chain.commands)
            chain.eventually(lambda: len(chain.commands) > count + 100, "commands")
            # Nothing of it is forwarded before somebody clears the fault.
            assert not any(each.torque.any() for each in chain.commands[count:])
        else:
            chain.policy.wait()

    try_often(chain, row, hurt, heal)
    judge_all(chain, row)
    assert not row.failed
    assert not row.violations


def test_an_inference_that_never_returns(chain: Chain, rows: list[Row], tmp_path: Path) -> None:
    row = Row("an inference that never returns", "ms")
    rows.append(row)
    now, began = tmp_path / "now", tmp_path / "began"
    chain.program = LOOP.format(directory=str(tmp_path))

    def hurt() -> float:
        now.touch()
        chain.eventually(lambda: began.is_file() and began.read_text(), "it loops")
        at = float(began.read_text())
        chain.stands(at)
        return at

    def heal() -> None:
        chain.policy.kill()
        now.unlink()
        began.unlink()

    try_often(chain, row, hurt, heal)
    judge_all(chain, row)
    assert not row.failed
    assert not row.violations


def test_a_graph_of_60_mb_given_as_a_swap(chain: Chain, rows: list[Row], tmp_path: Path) -> None:
    row = Row("a graph of 60 MB as a swap", "gap_ms")
    rows.append(row)
    model = onnx.load(MODEL)
    weights = np.zeros(15_000_000, dtype=np.float32)
    model.graph.initializer.append(numpy_helper.from_array(weights, "weights"))
    graph = tmp_path / "graph.onnx"
    graph.write_bytes(model.SerializeToString())
    assert graph.stat().st_size > 60e6

    def hurt() -> float:
        began = time.time()
        successful, why = chain.policy.set_model(graph)
        time.sleep(0.2)
        assert not successful
        assert "must be at most 10 MiB" in why
        return began

    def nothing() -> float:
        began = time.time()
        time.sleep(0.25)
        return began

    # In turns: what this machine does to a node that nobody hurts.
    control = Row("nothing, in turns with the swap", "gap_ms")
    rows.append(control)
    for tries in range(1, TRIES + 1):
        try_often(chain, row, hurt, lambda: None, tries)
        try_often(chain, control, nothing, lambda: None, tries)
    judge_all(chain, row)
    assert not row.failed
    assert not row.violations
    # The old policy runs on; only a machine without time for it is a reason to stop.
    stops = [each for each in row.tries if each.outcome != "goes on"]
    assert all(each.waited_ms > 20.0 or each.states_gap_ms > 20.0 for each in stops), stops


def test_joint_states_with_a_frame_of_8_mb_beside_the_good_ones(
    chain: Chain, rows: list[Row]
) -> None:
    row = Row("frame_id of 8 MB at 500 Hz", "gap_ms")
    rows.append(row)
    given = json.dumps([ARM.joint_names, ARM.home.tolist()])
    flood = subprocess.Popen(
        [sys.executable, "-c", FLOOD, given],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert flood.stdin is not None
    assert flood.stdout is not None
    counts = row.notes.setdefault("messages", [])

    def hurt() -> float:
        flood.stdin.write(f"{FLOOD_S}\n")
        flood.stdin.flush()
        began, count = json.loads(flood.stdout.readline())
        counts.append(count)
        time.sleep(0.2)
        return float(began)

    try:
        try_often(chain, row, hurt, lambda: None)
        judge_all(chain, row)
    finally:
        flood.kill()
        flood.wait()
    row.notes["refused_for_their_size"] = chain.faults().count("must have at most")
    assert not row.failed
    assert not row.violations
