# SPDX-License-Identifier: Apache-2.0
"""Evaluations of the tiny arm's recordings on tiny policies, for what is made of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from bag_maker import Motion, write_bag
from tiny_policy import JOINTS, write_tiny_policy

from sac_ros.bags.columns import Spool
from sac_ros.bags.evaluation import EvaluationOptions, evaluate_bags
from sac_ros.bags.result import Evaluation
from sac_ros.policy.runtime import Policy

Found = tuple[Evaluation, dict[str, Any]]


def evaluate(
    folder: Path, commands: bool = True, models: int = 1, names: tuple[str, ...] = JOINTS
) -> Found:
    motion = Motion(names, torque=None if names is JOINTS else lambda position, _: 3.0 * position)
    entries = [*motion.states(), *motion.goals(), *(motion.commands() if commands else [])]
    bag = write_bag(folder / "bag", entries)
    paths = [write_tiny_policy(folder / f"m{i}.onnx", names, gain=1.0 + i) for i in range(models)]
    policies = [Policy.load(path) for path in paths]
    return evaluate_bags([bag], policies, EvaluationOptions(), Spool(None))


def many(folder: Path, joints: int, models: int, states: int) -> Found:
    """An evaluation of noise: so many joints, policies, and states at 500 Hz."""
    names = tuple(f"joint_{i + 1}" for i in range(joints))
    evaluation, short = evaluate(folder, models=models, names=names)
    time_s = 0.002 * np.arange(states)
    recording = dataclasses.replace(evaluation.recording, start_s=0.0, end_s=float(time_s[-1]))
    random = np.random.default_rng(0)
    series = dict(short)
    for name, array in short.items():
        if len(array) == len(short["time_s"]) and array.dtype == np.float32:
            series[name] = random.normal(0.0, 1.0, (states, *array.shape[1:])).astype(np.float32)
        elif len(array) == len(short["time_s"]):
            series[name] = np.zeros(states, array.dtype)
    for i in range(models):
        series[f"interventions_{i}"] = random.integers(0, 2, states).astype(np.uint16)
    return dataclasses.replace(evaluation, recording=recording), {**series, "time_s": time_s}
