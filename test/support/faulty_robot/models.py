# SPDX-License-Identifier: Apache-2.0
"""Policy files made of a good one: one that asks for the opposite, and several that are wrong."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import onnx
from onnx import helper

from sac_ros.policy.runtime import Policy
from sac_ros.policy.spec import OUTPUTS, SPEC_KEY, PolicySpec


def opposite(good: Path, path: Path) -> Path:
    """Write the policy that wants minus the torque of another: nothing is further from it."""
    spec = Policy.load(good).spec
    test = spec.self_test
    torque = tuple(tuple(-value for value in row) for row in test.torque)
    mirrored = dataclasses.replace(test, torque=torque)
    return _negated(good, path, dataclasses.replace(spec, self_test=mirrored))


def _truncated(good: Path, path: Path) -> None:
    data = good.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def _text(_good: Path, path: Path) -> None:
    path.write_text("Dear robot,\nplease move.\n", encoding="utf-8")


def _missing(_good: Path, path: Path) -> None:
    path.unlink(missing_ok=True)


def _other_joints(good: Path, path: Path) -> None:
    spec = Policy.load(good).spec
    names = tuple(f"other_{name}" for name in spec.joint_names)
    model = onnx.load(good)
    _write(model, path, dataclasses.replace(spec, joint_names=names, arm_model=None))


def _wrong_torque(good: Path, path: Path) -> None:
    """All is well until the self test, the last gate: what gets furthest before it is refused."""
    _negated(good, path, Policy.load(good).spec)


WRONG: dict[str, Callable[[Path, Path], None]] = {
    "truncated": _truncated,
    "text": _text,
    "missing": _missing,
    "other joints": _other_joints,
    "wrong torque": _wrong_torque,
}
"""Every way to be wrong by name: (a good file, where to write) → nothing."""


def wrong_files(good: Path, directory: Path) -> list[Path]:
    """Write one file of every kind of `WRONG`, named after it; the missing one is missing."""
    paths = []
    for name, write in WRONG.items():
        path = directory / f"{name.replace(' ', '_')}.onnx"
        write(good, path)
        paths.append(path)
    return paths


def _negated(good: Path, path: Path, spec: PolicySpec) -> Path:
    """Write the graph with a minus before each of its outputs."""
    model = onnx.load(good)
    graph = model.graph
    for node in graph.node:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                if name in OUTPUTS:
                    names[index] = f"{name}_of_the_other"
    for name in OUTPUTS:
        graph.node.append(helper.make_node("Neg", [f"{name}_of_the_other"], [name]))
    return _write(model, path, spec)


def _write(model: onnx.ModelProto, path: Path, spec: PolicySpec) -> Path:
    values = {each.key: each.value for each in model.metadata_props}
    del model.metadata_props[:]
    helper.set_model_props(model, {**values, SPEC_KEY: spec.to_json()})
    path.write_bytes(model.SerializeToString())
    return path
