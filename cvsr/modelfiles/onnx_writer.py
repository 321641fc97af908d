"""Write ONNX files without the onnx package: the parts of onnx.proto3 that super-resolution networks need."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cvsr.modelfiles import protobuf
from cvsr.modelfiles.protobuf import block, encode

SIDE = 64  # the image size in the file: OpenCV 4.x needs one, but accepts images of any size

Attribute = int | float | list[int]
Shape = tuple[int, int, int, int]
_FLOAT, _INT, _INTS = 1, 2, 7  # AttributeProto.AttributeType
_TYPES = {"float32": 1, "int64": 7}  # TensorProto.DataType
_IR, _OPSET = 7, 13


@dataclass(frozen=True)
class OnnxNode:
    """An operation of a graph, with one output."""

    op: str
    inputs: list[str]
    output: str
    attributes: dict[str, Attribute]


class Graph:
    """A network under construction: operations in execution order, and constants."""

    def __init__(self) -> None:
        self.nodes: list[OnnxNode] = []
        self.constants: dict[str, NDArray[Any]] = {}

    def add(self, op: str, inputs: list[str], **attributes: Attribute) -> str:
        """Add an operation; return the name of its output, which no TensorFlow node can have."""
        self.nodes.append(OnnxNode(op, inputs, f"#{len(self.nodes)}", attributes))
        return self.nodes[-1].output

    def constant(self, values: NDArray[Any]) -> str:
        """Add a constant, float32 or int64; return its name."""
        name = f"#c{len(self.constants)}"
        self.constants[name] = values
        return name

    def serialized(self, source: tuple[str, Shape], outputs: dict[str, tuple[str, Shape]]) -> bytes:
        """Return the bytes of the file.

        ``source``: the name and shape of the input image. ``outputs``: the value and its shape for each output name.
        """
        renamed: dict[str, str] = {}
        for name, (value, _) in outputs.items():
            if value == source[0] or value in renamed:
                self.nodes.append(OnnxNode("Identity", [value], name, {}))
            else:
                renamed[value] = name
        read = {name for node in self.nodes for name in node.inputs}
        graph = [block(1, _node(node, renamed)) for node in self.nodes]
        graph.append(block(2, b"graph"))
        graph += [block(5, tensor(name, values)) for name, values in self.constants.items() if name in read]
        graph.append(block(11, value_info(*source)))
        graph += [block(12, value_info(name, shape)) for name, (_, shape) in outputs.items()]
        opset = block(8, _integer(2, _OPSET))
        return b"".join((_integer(1, _IR), block(2, b"cvsr"), block(7, b"".join(graph)), opset))


def _integer(number: int, value: int) -> bytes:
    return encode(number << 3) + encode(value)


def _text(number: int, value: str) -> bytes:
    return block(number, value.encode())


def _node(node: OnnxNode, renamed: dict[str, str]) -> bytes:
    parts = [_text(1, renamed.get(name, name)) for name in node.inputs]
    parts += [_text(2, renamed.get(node.output, node.output)), _text(4, node.op)]
    parts += [block(5, _attribute(name, value)) for name, value in node.attributes.items()]
    return b"".join(parts)


def _attribute(name: str, value: Attribute) -> bytes:
    if isinstance(value, list):
        return _text(1, name) + b"".join(_integer(8, item) for item in value) + _integer(20, _INTS)
    if isinstance(value, int):
        return _text(1, name) + _integer(3, value) + _integer(20, _INT)
    return _text(1, name) + encode(2 << 3 | 5) + np.float32(value).tobytes() + _integer(20, _FLOAT)


def tensor(name: str, values: NDArray[Any]) -> bytes:
    """Return a TensorProto, a constant of a graph."""
    dims = b"".join(_integer(1, extent) for extent in values.shape)
    data = np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes()
    return dims + _integer(2, _TYPES[values.dtype.name]) + _text(8, name) + block(9, data)


def value_info(name: str, shape: Sequence[int | str]) -> bytes:
    """Return a float32 ValueInfoProto, an input or output; names in its shape are symbolic dims."""
    dims = b"".join(block(1, _text(2, each) if isinstance(each, str) else _integer(1, each)) for each in shape)
    return _text(1, name) + block(2, block(1, _integer(1, _FLOAT) + block(2, dims)))


def with_graph(data: bytes, parts: Sequence[bytes]) -> bytes:
    """Return an ONNX file with its graph replaced by the concatenated ``parts``."""
    whole = [protobuf.field_of(number, value) for number, value in protobuf.fields(data) if number != 7]
    return b"".join([*whole, block(7, b"".join(parts))])
