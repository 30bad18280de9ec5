# SPDX-License-Identifier: Apache-2.0
"""Messages per CPU second that `evaluate_bag` evaluates; rosbags only deserialises them."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from benchmarks.figure import Figure, ratio
from benchmarks.interleave import clock, interleaved_rates, one_core
from benchmarks.result import describe
from sac_ros.bags.columns import Spool
from sac_ros.bags.evaluation import EvaluationOptions, evaluate_bags
from sac_ros.policy.runtime import Policy

Array = NDArray[np.float64]

NAME = "bag_rate"
RATE_HZ = 500.0
_START_NS = 1_700_000_000_000_000_000
MODEL = Path(__file__).parent.parent / "models" / "iiwa_reach.onnx"


@dataclass(frozen=True)
class BagRate:
    """What to measure: bags of joint states and as many commands, at 500 Hz.

    The evaluation reads, decodes, aligns, infers and computes every figure; loading the policy is
    outside the clock. The peer reads the same bag and makes an object of every message.
    """

    seconds: float = 300.0
    turns: int = 1
    repetitions: int = 3

    def measure(self) -> dict[str, Any]:
        """The result, see `benchmarks.result`."""
        figures: list[Figure] = []
        policy = Policy.load(MODEL)
        with tempfile.TemporaryDirectory() as folder, one_core():
            for storage in ("sqlite3", "mcap"):
                path = Path(folder) / storage
                messages = write_bag(path, storage, policy, round(self.seconds * RATE_HZ))
                figures += self._compare(storage, path, policy, messages)
        title = f"Bag rate per CPU second, {self.seconds:g} s of states and commands at 500 Hz"
        settings = {"seconds": self.seconds, "turns": self.turns, "joints": policy.spec.joints}
        return describe(NAME, title, figures, settings)

    def _compare(self, storage: str, path: Path, policy: Policy, messages: int) -> list[Figure]:
        ours, peer = f"evaluate_bag, {storage}", f"rosbags deserialising alone, {storage}"
        rates = interleaved_rates(
            {ours: lambda: _evaluate(path, policy, messages), peer: lambda: _read(path, messages)},
            per_turn=messages,
            turns=self.turns,
            repetitions=self.repetitions,
            unit="messages/s",
        )
        per_second = Figure("", "", (messages / self.seconds,) * self.repetitions)
        return [
            *rates.values(),
            ratio(f"evaluate_bag / rosbags, {storage}", rates[ours], rates[peer]),
            ratio(f"evaluate_bag / real time, {storage}", rates[ours], per_second),
        ]


def _evaluate(path: Path, policy: Policy, messages: int) -> float:
    started = clock()
    evaluation, _ = evaluate_bags([path], [policy], EvaluationOptions(), Spool())
    seconds = clock() - started
    if evaluation.models[0].errors[0].samples != messages // 2:
        raise RuntimeError("not every command was compared, so the rate means nothing")
    return seconds


def _read(path: Path, messages: int) -> float:
    started, count = clock(), 0
    with AnyReader([path]) as reader:
        for connection, _, raw in reader.messages():
            reader.deserialize(raw, connection.msgtype)
            count += 1
    if count != messages:
        raise RuntimeError(f"{messages} messages were written and {count} read")
    return clock() - started


def write_bag(path: Path, storage: str, policy: Policy, states: int) -> int:
    """Write a bag of slow sines; returns how many messages it has."""
    phases = (np.arange(policy.spec.joints) + i / RATE_HZ for i in range(states))
    rows = ((np.sin(each), np.cos(each), np.sin(each + 1.0)) for each in phases)
    write_rows(path, storage, policy.spec.joint_names, rows, RATE_HZ)
    return 2 * states


def write_rows(
    path: Path,
    storage: str,
    joint_names: Sequence[str],
    rows: Iterable[tuple[Array, Array, Array]],
    rate_hz: float,
) -> None:
    """Write a bag of positions, velocities and commanded torques [n] of each step."""
    types = get_typestore(Stores.LATEST)
    make = types.types
    state_type, command_type = "sensor_msgs/msg/JointState", "std_msgs/msg/Float64MultiArray"
    layout = make["std_msgs/msg/MultiArrayLayout"](dim=[], data_offset=0)
    with Writer(path, version=9, storage_plugin=StoragePlugin[storage.upper()]) as writer:
        to_states = writer.add_connection("/joint_states", state_type, typestore=types)
        to_commands = writer.add_connection("/commands", command_type, typestore=types)
        for i, (position, velocity, torque) in enumerate(rows):
            time_ns = _START_NS + round(i * 1e9 / rate_hz)
            stamp = make["builtin_interfaces/msg/Time"](*divmod(time_ns, 10**9))
            header = make["std_msgs/msg/Header"](stamp=stamp, frame_id="")
            names = list(joint_names)
            state = make[state_type](header, names, position, velocity, np.zeros(len(names)))
            command = make[command_type](layout, torque)
            writer.write(to_states, time_ns, types.serialize_cdr(state, state_type))
            writer.write(
                to_commands, time_ns + 500_000, types.serialize_cdr(command, command_type)
            )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds this benchmark's options."""
    parser.add_argument(
        "--bag-seconds", type=float, default=300.0, metavar="S", help="length of each bag"
    )


def from_options(options: argparse.Namespace) -> BagRate:
    """From the options of `python -m benchmarks`."""
    return BagRate(seconds=options.bag_seconds, repetitions=options.repetitions)
