# SPDX-License-Identifier: Apache-2.0
"""What the scan finds in an ONNX file, byte by byte: the bytes are put together here by hand."""

from __future__ import annotations

import re

import pytest

from sac_ros.policy.onnx_scan import refuse_unsafe
from sac_ros.utils.errors import PolicyFileError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


def varint(value: int) -> bytes:
    digits = bytearray()
    while value >= 0x80:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*digits, value])


def key(number: int, wire_type: int) -> bytes:
    return varint(number << 3 | wire_type)


def message(number: int, content: bytes = b"") -> bytes:
    return key(number, BYTES) + varint(len(content)) + content


def integer(number: int, value: int) -> bytes:
    return key(number, VARINT) + varint(value)


def opset(version: int | None = 17, domain: bytes = b"") -> bytes:
    name = message(1, domain) if domain else b""
    return message(8, name + (b"" if version is None else integer(2, version)))


def graph(content: bytes = b"") -> bytes:
    return message(7, content)


def node(operator: bytes = b"Tanh", domain: bytes = b"", attribute: bytes = b"") -> bytes:
    fields = message(4, operator) + (message(7, domain) if domain else b"")
    return message(1, fields + (message(5, attribute) if attribute else b""))


def scan(data: bytes) -> None:
    refuse_unsafe(data, "policy file x")


def refused(data: bytes, sentence: str) -> None:
    with pytest.raises(PolicyFileError, match=f"^policy file x must .*{re.escape(sentence)}$"):
        scan(data)


def test_a_graph_of_standard_operators_is_accepted() -> None:
    scan(opset() + graph(node() + node(b"Mul", b"ai.onnx")))
    scan(graph(node()) + opset(21))


@pytest.mark.parametrize(
    ("opsets", "sentence"),
    [
        (b"", "it names no opset"),
        (opset(1, b"com.microsoft"), "it names no opset"),
        (opset(16), "got 16"),
        (opset(None), "got 0"),
        (opset(17) + opset(13, b"ai.onnx"), "got 13"),
        (opset(13, b"ai.onnx") + opset(17), "got 13"),
    ],
)
def test_every_standard_opset_must_be_new_enough(opsets: bytes, sentence: str) -> None:
    refused(opsets + graph(node()), sentence)
    scan(opset(17) + opset(1, b"com.microsoft") + graph(node()))


EXTERNAL = "it refers to external data"
TENSORS = {
    "graph": lambda tensor: graph(message(5, tensor)),
    "attribute": lambda tensor: graph(node(attribute=message(5, tensor))),
    "attribute, list": lambda tensor: graph(node(attribute=message(10, tensor))),
    "subgraph": lambda tensor: graph(node(attribute=message(6, message(5, tensor)))),
    "subgraph, list": lambda tensor: graph(node(attribute=message(11, message(5, tensor)))),
    "sparse values": lambda tensor: graph(message(15, message(1, tensor))),
    "sparse indices": lambda tensor: graph(message(15, message(2, tensor))),
    "sparse attribute": lambda tensor: graph(node(attribute=message(22, message(1, tensor)))),
    "sparse list": lambda tensor: graph(node(attribute=message(23, message(1, tensor)))),
    "training": lambda tensor: message(20, message(1, message(5, tensor))),
    "training step": lambda tensor: message(20, message(2, message(5, tensor))),
}


@pytest.mark.parametrize("place", TENSORS)
def test_a_tensor_of_another_file_is_refused_wherever_it_is(place: str) -> None:
    def model(tensor: bytes) -> bytes:
        return opset() + TENSORS[place](tensor)

    scan(model(integer(2, 1) + message(9, b"\x00" * 4)))
    scan(model(integer(14, 0)))
    refused(model(integer(14, 1)), EXTERNAL)
    refused(model(message(13, b"location")), EXTERNAL)
    refused(model(message(13, b"location") + integer(14, 1)), EXTERNAL)


def test_only_a_tensor_has_external_data() -> None:
    scan(opset() + integer(14, 1) + graph(integer(14, 1) + message(13, b"a value")))


def test_a_custom_operator_is_refused_in_every_subgraph_and_a_function_anywhere() -> None:
    custom = node(b"Gelu", b"com.microsoft")
    sentence = "got Gelu of domain com.microsoft"
    refused(opset() + graph(custom), sentence)
    refused(opset() + graph(node(attribute=message(6, custom))), sentence)
    refused(opset() + graph(node(attribute=message(11, custom))), sentence)
    refused(opset() + message(20, message(1, custom)), sentence)
    refused(opset() + message(25, message(7, b"")), "it defines its own")


@pytest.mark.parametrize("operator", [b"Loop", b"If", b"Scan", b"SequenceMap"])
def test_an_operator_of_control_flow_is_refused(operator: bytes) -> None:
    refused(opset() + graph(node(operator)), f"got the operator {operator.decode()}")
    scan(opset() + graph(node(operator + b"Not")))


def test_only_a_node_has_an_operator_and_a_domain() -> None:
    scan(opset() + graph(message(5, message(4, b"Loop") + message(7, b"com.microsoft"))))


def test_names_that_are_no_text_are_no_crash() -> None:
    scan(opset() + graph(node(b"\xff")))
    refused(opset() + graph(node(b"Mul", b"\xff")), "got Mul of domain \ufffd")
    scan(opset() + graph(message(1, integer(4, 3) + integer(7, 3))))


def nested(depth: int) -> bytes:
    """Messages within messages, the model being the outermost: graph, node, attribute, graph…"""
    numbers = ([7] + [1, 5, 6] * depth)[:depth]
    content = b""
    for number in reversed(numbers):
        content = message(number, content)
    return content


def test_subgraphs_are_followed_32_messages_deep_and_no_deeper() -> None:
    scan(opset() + nested(32))
    refused(opset() + nested(33), "its content is not")


NO_MODEL = "its content is not"


def test_fields_of_every_wire_type_are_passed_over() -> None:
    eight, four = key(99, FIXED64) + b"\x12" * 8, key(98, FIXED32) + b"\x12" * 4
    for unknown in (eight, four, integer(97, 2**63), message(96, b"\x12" * 300)):
        scan(unknown + opset() + graph(node()))
        scan(opset() + graph(node() + unknown))
        refused(opset() + unknown[:-1], NO_MODEL)
    scan(eight + four + eight + four + opset())


@pytest.mark.parametrize("wire_type", [3, 4, 6, 7])
def test_other_wire_types_are_refused(wire_type: int) -> None:
    refused(opset() + key(99, wire_type) + b"\x01" * 8, NO_MODEL)


def test_field_number_0_is_refused() -> None:
    refused(opset() + message(0, b"abc"), NO_MODEL)
    refused(opset() + key(0, FIXED32) + b"abcd", NO_MODEL)


def test_a_number_where_a_message_is_expected_is_refused() -> None:
    refused(opset() + integer(7, 3), NO_MODEL)
    refused(opset() + graph(integer(1, 3)), NO_MODEL)


@pytest.mark.parametrize("length", [127, 128, 16383, 16384, 70000])
def test_lengths_of_several_bytes_are_read(length: int) -> None:
    padded = message(96, b"\x00" * length)
    scan(padded + opset())
    refused(opset() + padded[:-1], NO_MODEL)
    refused(padded + opset(16), "got 16")


def test_a_number_has_at_most_ten_bytes() -> None:
    scan(opset() + key(97, VARINT) + b"\x80" * 9 + b"\x01")
    refused(opset() + key(97, VARINT) + b"\x80" * 10 + b"\x01", NO_MODEL)
    refused(opset() + key(97, VARINT) + b"\x80", NO_MODEL)
