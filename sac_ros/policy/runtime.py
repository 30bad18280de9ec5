# SPDX-License-Identifier: Apache-2.0
"""The policy file at work: loaded through every gate, then called with states for torques."""

from __future__ import annotations

import hashlib
import math
import os
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sac_ros.policy.onnx_scan import refuse_unsafe
from sac_ros.policy.spec import GOAL_VELOCITY, INPUTS, SPEC_KEY, STATE, PolicySpec
from sac_ros.utils.errors import PolicyFileError

# onnxruntime 1.29 and newer report what they run to Microsoft: a thread that wakes up beside the
# control loop, a database in the user's home and a connection. It looks when it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime

MAXIMUM_FILE_BYTES = 10 * 2**20
"""A policy file is well below 1 MB; the bound keeps an untrusted one from filling the memory."""

LATENCY_FRACTION = 0.5
"""Of the control period, which the quickest of some inferences may take."""

_TIMED_RUNS = 5

_LIMIT_SLACK = 1e-5  # share of the limit that float32 rounding may add to a saturated torque

FloatArray = NDArray[np.float32]


class Answer(NamedTuple):
    """The answer of a policy to a state, or to a batch of states.

    Attributes:
        torque: float32 [n] or [batch, n] N·m.
        action: float32 [n] or [batch, n], −1..1.
        gravity: float32 [n] or [batch, n] N·m, the g(q) that the torque holds; None where the
            robot adds it.
        next_state: float32 [m] or [batch, m], the ``state`` of the next inference; None where
            the policy has none.
    """

    torque: FloatArray
    action: FloatArray
    gravity: FloatArray | None = None
    next_state: FloatArray | None = None


class Policy:
    """One policy file, verified, in an onnxruntime session of one thread.

    Attributes:
        spec: the file's description of itself.
        path: where it was loaded from.
        sha256: of the whole file, in hex.
        state_size: m, the width of the graph's ``state``; 0 where it has none.
    """

    def __init__(
        self, session: onnxruntime.InferenceSession, spec: PolicySpec, path: Path, sha256: str
    ) -> None:
        self._session = session
        self.spec = spec
        self.path = path
        self.sha256 = sha256
        shapes = {port.name: port.shape for port in session.get_inputs()}
        width = shapes.get(STATE, [])[-1:]
        self.state_size = max(0, *width) if width and isinstance(width[0], int) else 0
        self._sizes = spec.input_sizes(shapes, self.state_size)
        self._outputs = spec.output_sizes(self.state_size)
        self._options = onnxruntime.RunOptions()

    @classmethod
    def load(cls, path: str | Path, *, timed: bool = True) -> Policy:
        """Load a policy file and verify it before it gives its first torque.

        Checked in this order: size, a self-contained ONNX model of standard operators, one that
        onnxruntime accepts, the spec, names and shapes of inputs and outputs, the self test, and
        that an inference is quick enough for the control rate (not without ``timed``: in a
        simulation no robot waits, and the machine may be busy).

        Raises:
            PolicyFileError: the first check that failed, naming file, field and expectation.
        """
        path = Path(path)
        source = f"policy file {path}"
        data = read_model(path, source)
        session = _open(data, source)
        metadata = session.get_modelmeta().custom_metadata_map
        if SPEC_KEY not in metadata:
            raise PolicyFileError(
                f"{source}: metadata {SPEC_KEY} is missing, it must hold the policy spec "
                "(was the file written by sac_ros?)"
            )
        spec = PolicySpec.from_json(metadata[SPEC_KEY], source)
        policy = cls(session, spec, path, hashlib.sha256(data).hexdigest())
        policy._check_graph()
        policy._check_self_test()
        if timed:
            policy._check_latency()
        return policy

    def __call__(
        self,
        joint_position: ArrayLike,
        joint_velocity: ArrayLike,
        goal: ArrayLike,
        goal_velocity: ArrayLike | None = None,
        state: ArrayLike | None = None,
    ) -> tuple[FloatArray, FloatArray]:
        """Infer torques and actions; see `answer`."""
        return self.answer(joint_position, joint_velocity, goal, goal_velocity, state)[:2]

    def answer(
        self,
        joint_position: ArrayLike,
        joint_velocity: ArrayLike,
        goal: ArrayLike,
        goal_velocity: ArrayLike | None = None,
        state: ArrayLike | None = None,
    ) -> Answer:
        """Run the graph for one state of the robot or for a batch of them.

        Args:
            joint_position: [n] or [batch, n] rad (m if prismatic), in the order of the spec.
            joint_velocity: [n] or [batch, n] rad/s.
            goal: [k] or [batch, k], see ``spec.goal``.
            goal_velocity: [k] or [batch, k] per second; None: the goal stands still. Ignored
                where the graph does not take it.
            state: [m] or [batch, m], zeros at the start, then the last ``next_state``. Needed
                where `state_size` is not 0, ignored elsewhere.

        Raises:
            ValueError: an array has the wrong shape, or ``state`` is missing.
        """
        if goal_velocity is None and GOAL_VELOCITY in self._sizes:
            goal_velocity = np.zeros_like(goal)
        given = (joint_position, joint_velocity, goal, goal_velocity, state)
        arrays = dict(zip((*INPUTS, GOAL_VELOCITY, STATE), given, strict=True))
        feeds = {name: _rows(name, arrays[name], size) for name, size in self._sizes.items()}
        found = self._session.run(list(self._outputs), feeds, self._options)
        if np.ndim(joint_position) == 1:
            found = [rows[0] for rows in found]
        return Answer(**dict(zip(self._outputs, found, strict=True)))

    def gravity(self, joint_position: ArrayLike) -> FloatArray | None:
        """Return the g(q) that holds the arm at a position, or at a batch of them.

        Args:
            joint_position: [n] or [batch, n] rad (m if prismatic), in the order of the spec.

        Returns:
            float32 [n] or [batch, n] N·m, from the graph's output ``gravity``; None where the
            robot adds g(q) itself.
        """
        if self.spec.gravity_compensation == "robot":
            return None
        return self.at_rest(joint_position).gravity

    def at_rest(self, joint_position: ArrayLike) -> Answer:
        """Run the graph as a whole for an arm that stands, and a goal amid those of its training.

        Args:
            joint_position: [n] or [batch, n] rad (m if prismatic), in the order of the spec.
        """
        position = np.asarray(joint_position, dtype=np.float32)
        batch = position.shape[:-1]
        goal = self.spec.goal.middle
        goals = np.broadcast_to(goal, (*batch, len(goal)))
        state = np.zeros((*batch, self.state_size))
        return self.answer(position, np.zeros_like(position), goals, state=state)

    @property
    def takes_goal_velocity(self) -> bool:
        """Whether the graph follows goals that move."""
        return GOAL_VELOCITY in self._sizes

    def corrected(self, state: FloatArray, beside: ArrayLike) -> FloatArray:
        """Return a ``next_state`` as it is where another torque acted than the policy's.

        Args:
            state: [m], the last ``next_state``.
            beside: [n] N·m, what acted on average until the next inference, less the torque of
                the answer; see `RememberedTorque`.
        """
        remembered = self.spec.remembered_torque
        if remembered is None:
            return state
        place = slice(remembered.offset, remembered.offset + self.spec.joints)
        found = state.copy()
        found[place] += np.asarray(remembered.gain) * beside
        found[place] = np.clip(found[place], -1.0, 1.0)  # as the graph does
        return found

    def terminate(self) -> None:
        """Have the inference that runs in another thread end soon, with an exception there."""
        self._options.terminate = True
        self._options = onnxruntime.RunOptions()  # of the next one

    def _check_graph(self) -> None:
        """Refuse a graph whose inputs or outputs are not those of the contract."""
        expected = {"input": self._sizes, "output": self._outputs}
        found = {"input": self._session.get_inputs(), "output": self._session.get_outputs()}
        remembered, m = self.spec.remembered_torque, self.state_size
        if remembered and remembered.offset + self.spec.joints > m:
            raise self._error(
                f"field remembered_torque.offset must be at most {m - self.spec.joints}, for "
                f"{self.spec.joints} joints in a state of {m}; got {remembered.offset}"
            )
        for kind, sizes in expected.items():
            names = [port.name for port in found[kind]]
            if sorted(names) != sorted(sizes):
                raise self._error(
                    f"the graph's {kind}s must be {', '.join(sizes)}; got {', '.join(names)}"
                )
            for port in found[kind]:
                _check_port(
                    port, sizes[port.name], f"policy file {self.path}: graph {kind} {port.name}"
                )

    def _check_self_test(self) -> None:
        """Refuse a graph that does not give the torques which its own self test records."""
        test = self.spec.self_test
        if set(test.inputs) != set(self._sizes):
            raise self._error(
                f"field self_test.inputs must have the graph's inputs "
                f"{', '.join(self._sizes)}; got {', '.join(test.inputs)}"
            )
        limit = np.asarray(self.spec.torque_limit)
        expected = np.asarray(test.torque)
        try:
            answer = self.answer(**test.inputs)
            at_rest = self.gravity(test.inputs["joint_position"])
            first, _ = self(**{name: rows[0] for name, rows in test.inputs.items()})
        except Exception as error:  # onnxruntime raises its own kinds; none is a SacRosError
            raise self._error(f"the self test fails: {_one_line(error)}") from error
        for name, size in self._outputs.items():
            values, shape = getattr(answer, name), [len(expected), size]
            if list(values.shape) != shape:
                raise self._error(
                    f"the graph's {name} must have shape {shape}; got {list(values.shape)}"
                )
            if not np.isfinite(values).all():
                raise self._error(f"output {name} must be finite; in the self test it is not")
        torque = answer.torque
        if np.any(np.abs(torque) > limit * (1 + _LIMIT_SLACK)):
            row, joint = np.unravel_index(np.argmax(np.abs(torque) / limit), torque.shape)
            raise self._error(
                f"the torque of {self.spec.joint_names[joint]} must stay within "
                f"±{limit[joint]:g} N·m; the self test gives {torque[row, joint]:g}"
            )
        worst = np.maximum(np.abs(torque - expected), 0) / limit
        worst[0] = np.maximum(worst[0], np.abs(first - expected[0]) / limit)
        if not worst.max() <= test.tolerance:
            row, joint = np.unravel_index(np.argmax(worst), worst.shape)
            raise self._error(
                f"the self test fails, {self.spec.joint_names[joint]} must get "
                f"{expected[row, joint]:g} N·m in state {row}; got {torque[row, joint]:g}"
            )
        if answer.gravity is not None and at_rest is not None:
            self._check_gravity(answer.gravity, at_rest)

    def _check_latency(self) -> None:
        """Refuse a graph that cannot be run at its own rate on this machine."""
        row = {name: rows[0] for name, rows in self.spec.self_test.inputs.items()}
        quickest = math.inf
        for _ in range(_TIMED_RUNS):
            start = time.perf_counter()
            self(**row)
            quickest = min(quickest, time.perf_counter() - start)
        longest = LATENCY_FRACTION / self.spec.control_rate_hz
        if quickest > longest:
            raise self._error(
                f"an inference must take at most {1e3 * longest:g} ms, half of a control period; "
                f"the quickest of {_TIMED_RUNS} took {1e3 * quickest:.3g} ms"
            )

    def _check_gravity(self, gravity: FloatArray, at_rest: FloatArray) -> None:
        """Refuse a g(q) that is another one at rest, with another goal or another state.

        The safety filter holds the arm up by it in any state, with a goal and without.
        """
        apart = np.abs(gravity - at_rest) / np.asarray(self.spec.torque_limit)
        if not apart.max() <= self.spec.self_test.tolerance:
            joint = np.unravel_index(np.argmax(apart), apart.shape)[1]
            raise self._error(
                f"the gravity of {self.spec.joint_names[joint]} must follow from "
                "joint_position alone; in the self test it changes with the other inputs"
            )

    def _error(self, sentence: str) -> PolicyFileError:
        return PolicyFileError(f"policy file {self.path}: {sentence}")


def read_model(path: Path, source: str) -> bytes:
    """Read a whole file of bounded size that is a self-contained ONNX model.

    Args:
        path: the file.
        source: what the errors call it.

    Raises:
        PolicyFileError: it cannot be read, or see `refuse_unsafe`.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAXIMUM_FILE_BYTES + 1)
    except FileNotFoundError:
        raise PolicyFileError(f"{source} does not exist") from None
    except OSError as error:
        raise PolicyFileError(f"{source} cannot be read: {error.strerror}") from error
    if len(data) > MAXIMUM_FILE_BYTES:
        raise PolicyFileError(
            f"{source} must be at most {MAXIMUM_FILE_BYTES // 2**20} MiB; it is larger"
        )
    if not data:
        raise PolicyFileError(f"{source} must be an ONNX model; it is empty")
    refuse_unsafe(data, source)
    return data


def _open(data: bytes, source: str) -> onnxruntime.InferenceSession:
    """Open a session of one thread: a small network gains nothing from more, and they jitter."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 4  # failures come as exceptions; nothing else is for the user
    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises a dozen kinds without a common base
        raise PolicyFileError(f"{source} is refused by onnxruntime: {_one_line(error)}") from error


def _check_port(port: Any, size: int, where: str) -> None:
    """Refuse a graph input or output that is not float32 [batch, size]."""
    if port.type != "tensor(float)":
        raise PolicyFileError(f"{where} must be float32; got {port.type}")
    shape = list(port.shape)
    if len(shape) != 2 or isinstance(shape[0], int) or shape[1] != size or not size:
        raise PolicyFileError(
            f"{where} must have shape [batch, {size or 'a fixed width'}]; got {shape}"
        )


def _rows(name: str, value: ArrayLike | None, size: int) -> FloatArray:
    """Return an input as float32 [batch, size]."""
    if value is None:
        raise ValueError(f"this policy needs {name}")
    array = np.ascontiguousarray(value, dtype=np.float32)
    rows = array[np.newaxis] if array.ndim == 1 else array
    if rows.ndim != 2 or rows.shape[1] != size:
        raise ValueError(f"{name} must have shape [{size}] or [batch, {size}]; got {array.shape}")
    return rows


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
