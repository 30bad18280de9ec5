# SPDX-License-Identifier: Apache-2.0
"""Writes a policy file, or nothing: the export is a gate."""

from __future__ import annotations

import dataclasses
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from sac_ros.policy.runtime import Policy
from sac_ros.policy.spec import SPEC_KEY, PolicySpec, SelfTest
from sac_ros.training.policy_graph import PolicyGraph
from sac_ros.utils.atomic_write import atomic_write
from sac_ros.utils.errors import PolicyFileError

OPSET = 17
TOLERANCE = 1e-4  # of the torque limit
SELF_TEST_STATES = 8


@dataclass(frozen=True)
class GateStates:
    """States that the exported graph must answer as the actor does, m of them.

    Attributes:
        inputs: graph input name to [m, size], sensor units.
        observation: [m, size] what the simulator's own encoding makes of them.
        answer: gives the simulator's own torques [m, n] N·m for actions [m, n] in these states,
            and what is remembered after them.
        gravity: [m, n] N·m, the simulator's own g(q); None where the robot adds it.
    """

    inputs: dict[str, NDArray[np.float32]]
    observation: NDArray[np.float32]
    answer: Callable[[NDArray[np.float32]], tuple[NDArray[np.float64], NDArray[np.float32]]]
    gravity: NDArray[np.float64] | None


def export_policy(
    path: Path,
    graph: PolicyGraph,
    spec: PolicySpec,
    states: GateStates,
    home: Sequence[float] | None = None,
) -> Policy:
    """Writes `graph` with `spec` to `path`, and returns it as loaded from there.

    The file appears under its name only after the load gate, and only if the graph run by
    onnxruntime gives the same torques as the torch actor fed by the simulator's own observations:
    max |Δtorque| ≤ 1e-4 of each joint's limit over all `states`, and the same of g(q) where the
    graph has it. Its self test is filled in here.

    Args:
        path: where the file shall be, ending in `.onnx`.
        graph: the whole controller.
        spec: the file's description of itself.
        states: what the gate asks.
        home: [n] rad for the plain key `default_joint_pos`; the middle of the limits if None.

    Raises:
        PolicyFileError: the gate refused; no file is left.
    """
    with torch.no_grad():
        action = graph.actor.deterministic(torch.from_numpy(states.observation)).numpy()
    limit = np.array(spec.torque_limit)
    torque, remembered = states.answer(action)
    spec = dataclasses.replace(spec, self_test=_self_test(states, torque))
    with atomic_write(path) as partial:
        _write(partial, graph, spec, states.inputs, home)
        answered = Policy.load(partial, timed=False).answer(**states.inputs)
        _refuse_difference(path, answered.torque, torque, limit, "torque differs from the actor's")
        if answered.gravity is not None and states.gravity is not None:
            words = "gravity differs from the simulator's"
            _refuse_difference(path, answered.gravity, states.gravity, limit, words)
        if answered.next_state is None or not np.allclose(
            answered.next_state, remembered, atol=TOLERANCE
        ):
            raise PolicyFileError(
                f"policy file {path} is not written: next_state must be what the task remembers"
            )
    return Policy.load(path, timed=False)


def _refuse_difference(
    path: Path,
    found: NDArray[np.float32],
    expected: NDArray[np.float64],
    limit: NDArray[np.float64],
    words: str,
) -> None:
    """All [m, n] N·m, and the limit [n]."""
    worst = float(np.max(np.abs(found - expected) / limit))
    if not worst <= TOLERANCE:
        raise PolicyFileError(
            f"policy file {path} is not written: over {len(expected)} states the graph's {words} "
            f"by up to {worst:.2g} of the limit; at most {TOLERANCE} is allowed"
        )


def _self_test(states: GateStates, torque: NDArray[np.float64]) -> SelfTest:
    """The first few states; rounding to float32 is exact, so full precision costs nothing."""
    rows = slice(0, SELF_TEST_STATES)
    return SelfTest(
        inputs={
            name: tuple(tuple(row) for row in values[rows].tolist())
            for name, values in states.inputs.items()
        },
        torque=tuple(tuple(row) for row in torque[rows].tolist()),
        tolerance=TOLERANCE,
    )


def _write(
    path: Path,
    graph: PolicyGraph,
    spec: PolicySpec,
    given: Mapping[str, NDArray[np.float32]],
    home: Sequence[float] | None,
) -> None:
    """Writes the graph with the inputs that are `given`."""
    state_size = given["state"].shape[1]
    inputs, outputs = spec.input_sizes(given, state_size), spec.output_sizes(state_size)
    example = tuple(torch.zeros(2, width) for width in inputs.values())
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as directory:
        # The TorchScript exporter is chosen on purpose: the dynamo one needs onnxscript and may
        # write weights to a second file. torch calls the former deprecated at every use.
        warnings.simplefilter("ignore")
        file = Path(directory, "graph.onnx")
        torch.onnx.export(
            graph.eval(),
            example,
            file,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes={name: {0: "batch"} for name in [*inputs, *outputs]},
            opset_version=OPSET,
            dynamo=False,
        )
        written = sorted(path.name for path in Path(directory).iterdir())
        if written != [file.name]:
            raise PolicyFileError(f"torch must export one file; it wrote {', '.join(written)}")
        model = onnx.load_model(file)
    # The exporter loses the width of some outputs; the contract states it.
    for output in model.graph.output:
        if output.name not in outputs:
            raise PolicyFileError(
                f"policy file {path} is not written: its graph has one output more"
            )
        output.type.tensor_type.shape.dim[1].dim_value = outputs[output.name]
    model.producer_name = "sac_ros"
    model.producer_version = spec.package_version
    metadata = {SPEC_KEY: spec.to_json(), **spec.plain_metadata(home)}
    onnx.helper.set_model_props(model, metadata)
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString())
