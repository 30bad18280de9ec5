# SPDX-License-Identifier: Apache-2.0
"""Tiny policy files for tests: a PD controller in ONNX with a valid spec and self test.

    action = tanh(gain · (goal₀ − q) − damping · q̇),   torque = action_scale · action + g(q)

The goal has three numbers, of which the first is the target of every joint. g is 0 in a policy
with gravity ``external``, and `tiny_gravity` in one with ``included``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from sac_ros.policy.spec import (
    SPEC_KEY,
    GoalSpec,
    ObservationTerm,
    PolicySpec,
    SelfTest,
    TrainingRange,
)

JOINTS = ("shoulder", "elbow", "wrist")


def tiny_spec(
    joint_names: tuple[str, ...] = JOINTS,
    *,
    gain: float = 1.0,
    uses_previous_action: bool = False,
    **changes: Any,
) -> PolicySpec:
    """A valid spec for `tiny_model` with the same arguments; ``changes`` replace its fields."""
    n = len(joint_names)
    limit = tuple(10.0 * (n - i) for i in range(n))
    scale = tuple(0.5 * value for value in limit)
    generator = np.random.default_rng(0)
    inputs = {
        "joint_position": generator.uniform(-2, 2, (4, n)),
        "joint_velocity": generator.uniform(-1, 1, (4, n)),
        "goal": generator.uniform(-1, 1, (4, 3)),
    }
    if uses_previous_action:
        inputs["previous_action"] = generator.uniform(-1, 1, (4, n))
    torque = np.asarray(scale) * tiny_action(gain=gain, **inputs)
    if changes.get("gravity") == "included":
        torque = torque + tiny_gravity(inputs["joint_position"])
    fields: dict[str, Any] = {
        "name": "tiny",
        "arm": "tiny_arm",
        "package_version": "0.1.0",
        "joint_names": joint_names,
        "torque_limit": limit,
        "position_limit": ((-2.9, 2.9),) * n,
        "velocity_limit": (4.0,) * n,
        "action_scale": scale,
        "control_rate_hz": 100.0,
        "gravity": "external",
        "task": "reach",
        "goal": GoalSpec(("x", "y", "z"), "m", "base", (-1.0,) * 3, (1.0,) * 3),
        "observation": (ObservationTerm("joint_position", n), ObservationTerm("goal", 3)),
        "training_range": TrainingRange((1.0, 99.0), ((-2.0, 2.0),) * n, ((-1.0, 1.0),) * n),
        "training": {"algorithm": "none", "seed": 0},
        "evaluation": {"success_rate": 1.0},
        "self_test": SelfTest(
            {name: tuple(map(tuple, value.tolist())) for name, value in inputs.items()},
            tuple(map(tuple, torque.tolist())),
            1e-5,
        ),
    }
    return PolicySpec(**{**fields, **changes})


def tiny_action(
    joint_position: Any,
    joint_velocity: Any,
    goal: Any,
    previous_action: Any = None,
    gain: float = 1.0,
) -> np.ndarray:
    """The graph's action in numpy."""
    drive = gain * (np.asarray(goal)[..., :1] - joint_position) - 0.2 * np.asarray(joint_velocity)
    if previous_action is not None:
        drive = drive + 0.1 * np.asarray(previous_action)
    return np.tanh(drive)


def tiny_gravity(joint_position: Any) -> np.ndarray:
    """The graph's g(q) in numpy: a third of the torque limit, where a joint is horizontal."""
    q = np.asarray(joint_position)
    return 10.0 / 3.0 * np.arange(q.shape[-1], 0, -1) * np.sin(q)


def tiny_model(
    spec: PolicySpec,
    *,
    gain: float = 1.0,
    uses_previous_action: bool = False,
    nan_below_z: float | None = None,
    spec_json: str | None = None,
) -> onnx.ModelProto:
    """The PD controller as an ONNX model that carries ``spec`` (or ``spec_json`` as it is).

    With ``nan_below_z`` it gives NaN for goals below that z.
    """
    n, k = len(spec.joint_names), len(spec.goal.fields)
    sizes = {"joint_position": n, "joint_velocity": n, "goal": k}
    nodes = [
        helper.make_node("Slice", ["goal", "zero", "one", "axis"], ["target"]),
        helper.make_node("Sub", ["target", "joint_position"], ["error"]),
        helper.make_node("Mul", ["error", "gain"], ["pull"]),
        helper.make_node("Mul", ["joint_velocity", "damping"], ["drag"]),
        helper.make_node("Sub", ["pull", "drag"], ["pd"]),
    ]
    drive = "pd"
    if uses_previous_action:
        sizes["previous_action"] = n
        nodes += [
            helper.make_node("Mul", ["previous_action", "memory"], ["remembered"]),
            helper.make_node("Add", ["pd", "remembered"], ["drive"]),
        ]
        drive = "drive"
    if nan_below_z is None:
        nodes.append(helper.make_node("Tanh", [drive], ["action"]))
    else:
        nodes += [
            helper.make_node("Tanh", [drive], ["sound"]),
            helper.make_node("Slice", ["goal", "two", "three", "axis"], ["z"]),
            helper.make_node("Sub", ["z", "lowest_z"], ["height"]),
            helper.make_node("Sqrt", ["height"], ["root"]),  # of a negative number: NaN
            helper.make_node("Mul", ["root", "nothing"], ["zero_or_nan"]),
            helper.make_node("Add", ["sound", "zero_or_nan"], ["action"]),
        ]
    outputs, weight = ["torque", "action"], {}
    if spec.gravity == "included":
        outputs.append("gravity")
        weight["weight"] = tiny_gravity(np.full(n, np.pi / 2)).astype(np.float32)
        nodes += [
            helper.make_node("Sin", ["joint_position"], ["sine"]),
            helper.make_node("Mul", ["sine", "weight"], ["gravity"]),
            helper.make_node("Mul", ["action", "scale"], ["moving"]),
            helper.make_node("Add", ["moving", "gravity"], ["torque"]),
        ]
    else:
        nodes.append(helper.make_node("Mul", ["action", "scale"], ["torque"]))
    constants = {
        **weight,
        "zero": np.array([0]),
        "one": np.array([1]),
        "two": np.array([2]),
        "three": np.array([3]),
        "axis": np.array([1]),
        "lowest_z": np.array(nan_below_z or 0.0, dtype=np.float32),
        "nothing": np.array(0.0, dtype=np.float32),
        "gain": np.array(gain, dtype=np.float32),
        "damping": np.array(0.2, dtype=np.float32),
        "memory": np.array(0.1, dtype=np.float32),
        "scale": np.array(spec.action_scale, dtype=np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "tiny_policy",
        [_port(name, size) for name, size in sizes.items()],
        [_port(name, n) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    text = spec.to_json() if spec_json is None else spec_json
    helper.set_model_props(model, {SPEC_KEY: text, **spec.plain_metadata()})
    return model


def write_tiny_policy(
    path: Path,
    joint_names: tuple[str, ...] = JOINTS,
    *,
    gain: float = 1.0,
    uses_previous_action: bool = False,
    nan_below_z: float | None = None,
    **changes: Any,
) -> Path:
    """Write a valid policy file (unless ``changes`` to the spec make it invalid)."""
    spec = tiny_spec(joint_names, gain=gain, uses_previous_action=uses_previous_action, **changes)
    model = tiny_model(
        spec, gain=gain, uses_previous_action=uses_previous_action, nan_below_z=nan_below_z
    )
    path.write_bytes(model.SerializeToString())
    return path


def _port(name: str, size: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", size])
