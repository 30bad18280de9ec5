# SPDX-License-Identifier: Apache-2.0
"""`convert_policy`: a policy file of schema 1 becomes one of schema 2 with the same torques."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
from onnx import helper

from sac_ros.policy.json_fields import parse_object
from sac_ros.policy.runtime import Policy, read_model
from sac_ros.policy.spec import NEXT_STATE, SPEC_KEY, STATE, PolicySpec
from sac_ros.utils.atomic_write import atomic_write
from sac_ros.utils.errors import PolicyFileError, run_command

_MEMORY = "previous_action"  # the only memory of schema 1
_COMPENSATION = {"external": "robot", "included": "policy"}
_TOLERANCE = 0.02  # m, of the reaches that schema 1 was written for
_SUCCESS = {"success_rate": 0.05, "success_rate_2cm": 0.02}  # the key and its tolerance, m


def main(arguments: Sequence[str] | None = None) -> int:
    """The console script; returns 0, or 2 when it could not run."""
    return run_command(lambda: _run(_parser().parse_args(arguments)))


def convert(old: Path, new: Path) -> Policy:
    """Write a file of schema 1 as one of schema 2, and return it as loaded.

    Args:
        old: the file of schema 1.
        new: where the other one goes; what is there is replaced once the new file has loaded.

    Raises:
        PolicyFileError: ``old`` is no valid file of schema 1, or ``new`` cannot be written.
    """
    source = f"policy file {old}"
    data = read_model(old, source)
    try:
        model = onnx.load_from_string(data)
    except Exception as error:  # protobuf's own kinds
        raise PolicyFileError(f"{source} must be an ONNX model: {error}") from error
    metadata = {each.key: each.value for each in model.metadata_props}
    spec = converted_spec(metadata.get(SPEC_KEY, ""), f"{source}: metadata {SPEC_KEY}")
    helper.set_model_props(model, {**metadata, SPEC_KEY: spec.to_json()})
    _convert_graph(model.graph)
    try:
        with atomic_write(new) as partial:
            partial.write_bytes(model.SerializeToString())
            Policy.load(partial)
    except PolicyFileError as error:
        raise PolicyFileError(f"{source} cannot be converted: {error}") from error
    except (OSError, ValueError) as error:  # ValueError: no name, as in "/"
        raise PolicyFileError(f"policy file {new} cannot be written: {error}") from error
    return Policy.load(new)


def converted_spec(text: str, source: str) -> PolicySpec:
    """Return the spec of schema 2 for one of schema 1, given as JSON.

    The brake's damping and limit follow from the action scale, as schema 1 has no mass matrix.

    Raises:
        PolicyFileError: it is no valid spec of schema 1.
    """
    fields = parse_object(text, source)
    if fields.integer("schema_version", minimum=0) != 1:
        fields.refuse("schema_version", "1, the one that convert_policy converts")
    n = len(fields.texts("joint_names"))
    torque, speed, scale = (
        fields.numbers(key, n, positive=True)
        for key in ("torque_limit", "velocity_limit", "action_scale")
    )
    evaluation, test = fields.mapping("evaluation"), fields.mapping("self_test")
    inputs = fields.nested("self_test").mapping("inputs")
    success = [
        {"position_tolerance_m": tolerance, "rate": evaluation[key]}
        for key, tolerance in _SUCCESS.items()
        if key in evaluation
    ]
    kept = {key: value for key, value in evaluation.items() if key not in _SUCCESS}
    changed: dict[str, Any] = {
        "schema_version": 2,
        "gravity_compensation": _COMPENSATION[fields.text("gravity", tuple(_COMPENSATION))],
        "goal": {**fields.mapping("goal"), "tolerance": _TOLERANCE},
        "stop_damping": [a / b for a, b in zip(scale, speed, strict=True)],
        "brake_limit": [min(a, 2.0 * b) for a, b in zip(torque, scale, strict=True)],
        "evaluation": {**kept, **({"success": success} if success else {})},
        "self_test": {
            **test,
            "inputs": {STATE if key == _MEMORY else key: rows for key, rows in inputs.items()},
        },
    }
    values = {key: value for key, value in json.loads(text).items() if key != "gravity"}
    return PolicySpec.from_json(json.dumps({**values, **changed}), source)


def _convert_graph(graph: onnx.GraphProto) -> None:
    """Rename the memory's input and add the output that fills it, by a node of identity each."""
    for port in graph.input:
        if port.name == _MEMORY:
            port.name = STATE
            graph.node.insert(0, helper.make_node("Identity", [STATE], [_MEMORY]))
            graph.node.append(helper.make_node("Identity", ["action"], [NEXT_STATE]))
            graph.output.add().CopyFrom(port)
            graph.output[-1].name = NEXT_STATE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="convert_policy",
        description="Write a policy file of schema 1 as one of schema 2; its torques stay the "
        "same. Exit code 0: NEW is written and passes the load gate; 2: it could not run.",
    )
    parser.add_argument("old", type=Path, metavar="OLD", help="the policy file of schema 1")
    parser.add_argument(
        "new", type=Path, metavar="NEW", help="the file to write or replace; may be OLD"
    )
    return parser


def _run(options: argparse.Namespace) -> int:
    policy = convert(options.old, options.new)
    print(f"{policy.path}: schema {policy.spec.schema_version}, sha256 {policy.sha256}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
