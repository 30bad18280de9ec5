# SPDX-License-Identifier: Apache-2.0
"""A look into an ONNX file before any runtime opens it: external data, custom ops, opset.

onnxruntime follows external data references even for a model given as bytes (it resolves them in
the working directory), so an untrusted file could read any file of the robot. The robot has no
`onnx` package to ask; ONNX is protobuf, and the few fields that matter are read here straight from
its wire format (https://protobuf.dev/programming-guides/encoding, onnx.proto3).
"""

from __future__ import annotations

from collections.abc import Iterator

from sac_ros.utils.errors import PolicyFileError

MINIMUM_OPSET = 17
_STANDARD_DOMAINS = ("", "ai.onnx")
_CONTROL_FLOW = ("Loop", "If", "Scan", "SequenceMap")  # a graph with a loop may never end
_MAXIMUM_DEPTH = 32  # subgraphs in subgraphs; exporters stay below 4

# Message → field number of a nested message → its kind (onnx.proto3).
_NESTED = {
    "model": {7: "graph", 8: "opset", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
_NODE_OP_TYPE, _NODE_DOMAIN = 4, 7
_OPSET_DOMAIN, _OPSET_VERSION = 1, 2
_TENSOR_EXTERNAL_DATA, _TENSOR_DATA_LOCATION = 13, 14

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def refuse_unsafe(data: bytes, source: str) -> None:
    """Raise unless the bytes are one self-contained ONNX model of standard operators.

    Args:
        data: the whole file.
        source: where it came from, for the errors.

    Raises:
        PolicyFileError: not an ONNX file, external data, a custom operator, a loop or a condition,
            or an old opset.
    """
    opsets: list[int] = []
    try:
        for kind, values in _walk(memoryview(data), "model", 0):
            _check(kind, values, source)
            if kind == "opset" and _text(values.get(_OPSET_DOMAIN)) in _STANDARD_DOMAINS:
                opsets.append(int(values.get(_OPSET_VERSION, 0)))
    except (ValueError, IndexError, TypeError):
        raise PolicyFileError(f"{source} must be an ONNX model; its content is not") from None
    if not opsets:
        raise PolicyFileError(f"{source} must be an ONNX model; it names no opset")
    if min(opsets) < MINIMUM_OPSET:
        raise PolicyFileError(
            f"{source} must use ONNX opset {MINIMUM_OPSET} or newer; got {min(opsets)}"
        )


def _check(kind: str, values: dict[int, int | memoryview], source: str) -> None:
    """Refuse one message that a policy file may not hold."""
    if kind == "tensor" and (values.get(_TENSOR_DATA_LOCATION) or _TENSOR_EXTERNAL_DATA in values):
        raise PolicyFileError(f"{source} must be one single file; it refers to external data")
    if kind == "function":
        raise PolicyFileError(f"{source} must hold standard ONNX operators; it defines its own")
    domain = _text(values.get(_NODE_DOMAIN)) if kind == "node" else ""
    operator = _text(values.get(_NODE_OP_TYPE)) if kind == "node" else ""
    if operator in _CONTROL_FLOW:
        raise PolicyFileError(
            f"{source} must have neither loops nor conditions; got the operator {operator}"
        )
    if domain not in _STANDARD_DOMAINS:
        raise PolicyFileError(
            f"{source} must hold standard ONNX operators; got {operator} of domain {domain}"
        )


def _walk(
    data: memoryview, kind: str, depth: int
) -> Iterator[tuple[str, dict[int, int | memoryview]]]:
    """Yield every message of interest with its last value of each field, children first."""
    if depth > _MAXIMUM_DEPTH:
        raise ValueError("nested too deeply")
    nested = _NESTED.get(kind, {})
    values: dict[int, int | memoryview] = {}
    for number, value in _fields(data):
        values[number] = value
        if number in nested:
            if isinstance(value, int):
                raise ValueError("a message was expected")
            yield from _walk(value, nested[number], depth + 1)
    yield kind, values


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield field number and value of every field of one protobuf message."""
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        number, wire_type = key >> 3, key & 7
        if wire_type == _VARINT:
            value, position = _varint(data, position)
            yield number, value
            continue
        if wire_type == _BYTES:
            size, position = _varint(data, position)
        elif wire_type in (_FIXED64, _FIXED32):
            size = 8 if wire_type == _FIXED64 else 4
        else:
            raise ValueError(f"wire type {wire_type}")
        if number == 0 or position + size > len(data):
            raise ValueError("truncated")
        yield number, data[position : position + size]
        position += size


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    """Return a base-128 number and the position after it."""
    value = 0
    for shift in range(0, 70, 7):
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError("number too long")


def _text(value: int | memoryview | None) -> str:
    return bytes(value).decode(errors="replace") if isinstance(value, memoryview) else ""
