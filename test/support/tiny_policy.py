# SPDX-License-Identifier: Apache-2.0
"""Tiny policy files for tests: a PD controller in ONNX with a valid spec and self test.

    action = tanh(gain · (goal₀ − q) − damping · q̇),   torque = action_scale · action + g(q)

The goal has three numbers, of which the first is the target of every joint. g is `tiny_gravity`
in a policy that compensates gravity, else 0. A state adds to the action what `tiny_mixing` says;
one as wide as there are joints is the previous action. A goal's velocity adds to the goal.
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
    state_size: int = 0,
    moving_goal: bool = False,
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
    if state_size:
        inputs["state"] = generator.uniform(-1, 1, (4, state_size))
    if moving_goal:
        inputs["goal_velocity"] = generator.uniform(-1, 1, (4, 3))
    torque = np.asarray(scale) * tiny_action(gain=gain, **inputs)
    if changes.get("gravity_compensation") == "policy":
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
        "gravity_compensation": "robot",
        "task": "reach",
        "goal": GoalSpec(("x", "y", "z"), "m", "base", (-1.0,) * 3, (1.0,) * 3, 0.02),
        "stop_damping": tuple(value / 8.0 for value in scale),
        "brake_limit": tuple(map(min, scale, changes.get("torque_limit", limit))),
        "observation": (ObservationTerm("joint_position", n), ObservationTerm("goal", 3)),
        "training_range": TrainingRange((1.0, 99.0), ((-2.0, 2.0),) * n, ((-1.0, 1.0),) * n),
        "training": {"algorithm": "none", "seed": 0},
        "evaluation": {"success": [{"position_tolerance_m": 0.02, "rate": 1.0}]},
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
    state: Any = None,
    goal_velocity: Any = None,
    gain: float = 1.0,
) -> np.ndarray:
    """The graph's action in numpy."""
    target = np.asarray(goal)[..., :1]
    if goal_velocity is not None:
        target = target + 0.5 * np.asarray(goal_velocity)[..., :1]
    drive = gain * (target - joint_position) - 0.2 * np.asarray(joint_velocity)
    if state is not None:
        drive = drive + 0.1 * np.asarray(state) @ tiny_mixing(np.shape(state)[-1], drive.shape[-1])
    return np.tanh(drive)


def tiny_mixing(m: int, n: int) -> np.ndarray:
    """[m, n]: entry j of a state acts on joint j modulo n, and is that joint's action before."""
    return np.equal.outer(np.arange(m) % n, np.arange(n)).astype(np.float32)


def tiny_gravity(joint_position: Any) -> np.ndarray:
    """The graph's g(q) in numpy: a third of the torque limit, where a joint is horizontal."""
    q = np.asarray(joint_position)
    return 10.0 / 3.0 * np.arange(q.shape[-1], 0, -1) * np.sin(q)


def tiny_model(
    spec: PolicySpec,
    *,
    gain: float = 1.0,
    state_size: int = 0,
    moving_goal: bool = False,
    nan_below_z: float | None = None,
    spec_json: str | None = None,
) -> onnx.ModelProto:
    """The PD controller as an ONNX model that carries ``spec`` (or ``spec_json`` as it is).

    With ``nan_below_z`` it gives NaN for goals below that z.
    """
    n, k = len(spec.joint_names), len(spec.goal.fields)
    sizes = {"joint_position": n, "joint_velocity": n, "goal": k}
    place, nodes = "goal", []
    if moving_goal:
        sizes["goal_velocity"] = k
        nodes += [
            helper.make_node("Mul", ["goal_velocity", "ahead"], ["lead"]),
            helper.make_node("Add", ["goal", "lead"], ["place"]),
        ]
        place = "place"
    nodes += [
        helper.make_node("Slice", [place, "zero", "one", "axis"], ["target"]),
        helper.make_node("Sub", ["target", "joint_position"], ["error"]),
        helper.make_node("Mul", ["error", "gain"], ["pull"]),
        helper.make_node("Mul", ["joint_velocity", "damping"], ["drag"]),
        helper.make_node("Sub", ["pull", "drag"], ["pd"]),
    ]
    drive, mixing = "pd", tiny_mixing(state_size, n)
    if state_size:
        sizes["state"] = state_size
        nodes += [
            helper.make_node("MatMul", ["state", "mixing"], ["mixed"]),
            helper.make_node("Mul", ["mixed", "memory"], ["remembered"]),
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
    outputs, weight = {"torque": n, "action": n}, {}
    if spec.gravity_compensation == "policy":
        outputs["gravity"] = n
        weight["weight"] = tiny_gravity(np.full(n, np.pi / 2)).astype(np.float32)
        nodes += [
            helper.make_node("Sin", ["joint_position"], ["sine"]),
            helper.make_node("Mul", ["sine", "weight"], ["gravity"]),
            helper.make_node("Mul", ["action", "scale"], ["moving"]),
            helper.make_node("Add", ["moving", "gravity"], ["torque"]),
        ]
    else:
        nodes.append(helper.make_node("Mul", ["action", "scale"], ["torque"]))
    if state_size:
        outputs["next_state"] = state_size
        nodes.append(helper.make_node("MatMul", ["action", "unmixing"], ["next_state"]))
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
        "ahead": np.array(0.5, dtype=np.float32),
        "mixing": mixing,
        "unmixing": mixing.T.copy(),
        "scale": np.array(spec.action_scale, dtype=np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "tiny_policy",
        [_port(name, size) for name, size in sizes.items()],
        [_port(name, size) for name, size in outputs.items()],
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
    state_size: int = 0,
    moving_goal: bool = False,
    nan_below_z: float | None = None,
    **changes: Any,
) -> Path:
    """Write a valid policy file (unless ``changes`` to the spec make it invalid)."""
    kind: dict[str, Any] = {"gain": gain, "state_size": state_size, "moving_goal": moving_goal}
    spec = tiny_spec(joint_names, **kind, **changes)
    model = tiny_model(spec, **kind, nan_below_z=nan_below_z)
    path.write_bytes(model.SerializeToString())
    return path


def _port(name: str, size: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", size])
