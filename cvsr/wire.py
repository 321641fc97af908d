"""Read facts out of .onnx and .pb bytes without protobuf, and mend legacy .pb bytes in memory.

Both formats are protocol-buffer messages: a row of fields, each a number, a wire type and a value. That is all that is
needed here. See https://protobuf.dev/programming-guides/encoding/. Lengths in a file are checked against what is there
before they are believed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from cvsr.errors import ModelError


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ModelError("the file is truncated or no model: a number runs past its end")
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def fields(data: bytes | memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield (number, value) of each field of a message: an int, or a view of the bytes of a string or sub-message."""
    data = memoryview(data)
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if kind == 2:
            length, at = _varint(data, at)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise ModelError(f"the file is no model: it has a field of wire type {kind}")
        if number == 0 or length > len(data) - at:
            raise ModelError("the file is truncated or no model: a field runs past its end")
        yield number, data[at : at + length]
        at += length


def _messages(data: bytes | memoryview, *numbers: int) -> Iterator[memoryview]:
    for number, value in fields(data):
        if number in numbers and isinstance(value, memoryview):
            yield value


def _text(data: bytes | memoryview, number: int) -> str:
    for value in _messages(data, number):
        return bytes(value).decode("utf-8", "replace")
    return ""


# ops whose output at a place depends on the input at that place only, and those that move pixels by known distances
_POINTWISE = frozenset({
    "Abs", "Add", "AddV2", "BiasAdd", "Cast", "Clip", "Concat", "ConcatV2", "Const", "Constant", "DepthToSpace",
    "Div", "Elu", "Exp", "Gelu", "HardSigmoid", "HardSwish", "Identity", "LeakyRelu", "Max", "Maximum", "Min",
    "Minimum", "Mul", "Neg", "PRelu", "Placeholder", "Relu", "Relu6", "Selu", "Sigmoid", "Softplus", "Sqrt", "Sub",
    "Tanh", "Transpose",
})  # fmt: skip


def _ints(message: memoryview, number: int) -> list[int]:
    """Return the integers of a repeated field, packed or not."""
    found: list[int] = []
    for key, value in fields(message):
        if key == number and isinstance(value, int):
            found.append(value)
        elif key == number and isinstance(value, memoryview):
            at = 0
            while at < len(value):
                item, at = _varint(value, at)
                found.append(item)
    return found


@dataclass
class OnnxFacts:
    """What an ONNX file says of itself.

    ``inputs`` and ``outputs``: (name, dims), 0 where symbolic. ``reach``: an upper bound of the receptive field's
    radius in input pixels (all convolutions in a row), None where the graph has ops for which it cannot be told.
    ``width``: the channels of the widest convolution.
    """

    metadata: dict[str, str] = field(default_factory=dict[str, str])
    inputs: list[tuple[str, list[int]]] = field(default_factory=list[tuple[str, list[int]]])
    outputs: list[tuple[str, list[int]]] = field(default_factory=list[tuple[str, list[int]]])
    ops: list[str] = field(default_factory=list[str])
    reach: int | None = 0
    width: int = 1

    def add(self, node: memoryview) -> None:
        """Take a node into account."""
        op = _text(node, 4)
        self.ops.append(op)
        if op == "Conv":
            lists = {_text(attribute, 1): _ints(attribute, 8) for attribute in _messages(node, 5)}
            self._grow(lists.get("kernel_shape"), lists.get("dilations"), lists.get("strides"))
        elif op not in _POINTWISE:
            self.reach = None

    def _grow(self, kernel: list[int] | None, dilations: list[int] | None, strides: list[int] | None) -> None:
        if self.reach is None or not kernel or max(strides or [1]) > 1:
            self.reach = None
        else:
            self.reach += max(k // 2 * d for k, d in zip(kernel, dilations or [1] * len(kernel), strict=False))


def _value_info(data: memoryview) -> tuple[str, list[int]]:
    dims: list[int] = []
    for kind in _messages(data, 2):
        for tensor in _messages(kind, 1):
            for shape in _messages(tensor, 2):
                for dim in _messages(shape, 1):
                    sizes = [v for n, v in fields(dim) if n == 1 and isinstance(v, int)]
                    dims.append(sizes[0] if sizes else 0)
    return _text(data, 1), dims


def read_onnx(data: bytes) -> OnnxFacts:
    """Return the facts of an ONNX model; raise ModelError where the bytes are none."""
    facts = OnnxFacts()
    graphs = list(_messages(data, 7))
    if len(graphs) != 1:
        raise ModelError("the file is no ONNX model: it holds no graph")
    for entry in _messages(data, 14):
        facts.metadata[_text(entry, 1)] = _text(entry, 2)
    initialised: set[str] = set()
    for number, value in fields(graphs[0]):
        if not isinstance(value, memoryview):
            continue
        if number == 1:
            facts.add(value)
        elif number == 5:
            initialised.add(_text(value, 8))
            dims = _ints(value, 1)
            if len(dims) == 4:
                facts.width = max(facts.width, *dims[:2])
        elif number == 11:
            facts.inputs.append(_value_info(value))
        elif number == 12:
            facts.outputs.append(_value_info(value))
    # files of ONNX IR 3 list their weights among the inputs too
    facts.inputs = [(name, dims) for name, dims in facts.inputs if name not in initialised]
    if not facts.ops or not facts.outputs:
        raise ModelError("the file is no ONNX model: its graph is empty")
    return facts


@dataclass(frozen=True)
class Node:
    """A node of a TensorFlow GraphDef."""

    name: str
    op: str
    inputs: tuple[str, ...]
    shape: tuple[int, ...] = ()  # of a Const


def read_graphdef(data: bytes) -> list[Node]:
    """Return the nodes of a frozen TensorFlow graph; raise ModelError where the bytes are none."""
    nodes: list[Node] = []
    for raw in _messages(data, 1):
        inputs = tuple(bytes(v).decode("utf-8", "replace") for v in _messages(raw, 3))
        op = _text(raw, 2)
        nodes.append(Node(_text(raw, 1), op, inputs, _const_shape(raw) if op == "Const" else ()))
    if not any(node.op == "Placeholder" for node in nodes):
        raise ModelError("the file is no frozen TensorFlow graph: it has no Placeholder")
    return nodes


def _const_shape(node: memoryview) -> tuple[int, ...]:
    for entry in _messages(node, 5):
        if _text(entry, 1) == "value":
            for tensor in (t for value in _messages(entry, 2) for t in _messages(value, 8)):
                dims = [d for shape in _messages(tensor, 2) for d in _messages(shape, 2)]
                return tuple(next((v for n, v in fields(d) if n == 1 and isinstance(v, int)), 0) for d in dims)
    return ()


def graphdef_width(nodes: list[Node]) -> int:
    """Return the channels of the widest convolution."""
    return max((max(node.shape[2:]) for node in nodes if len(node.shape) == 4), default=1)


def graphdef_reach(nodes: list[Node]) -> int | None:
    """Return an upper bound of the receptive field's radius, None where it cannot be told: see OnnxFacts."""
    shapes = {node.name: node.shape for node in nodes if node.op == "Const"}
    reach = 0
    for node in nodes:
        if node.op in ("Conv2D", "Conv2DBackpropInput"):
            kernel = next((shapes[name] for name in node.inputs if len(shapes.get(name, ())) == 4), None)
            if kernel is None:
                return None
            reach += max(kernel[:2]) // 2  # a transposed convolution's kernel counts output pixels: still a bound
        elif node.op not in _POINTWISE:
            return None
    return reach


def outputs(nodes: list[Node]) -> list[str]:
    """Return the names of the nodes that no other node reads."""
    used = {name.lstrip("^").partition(":")[0] for node in nodes for name in node.inputs}
    return [node.name for node in nodes if node.name not in used and node.op not in ("Const", "NoOp", "Placeholder")]


def _encode(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _block(number: int, payload: bytes | memoryview) -> bytes:
    return _encode(number << 3 | 2) + _encode(len(payload)) + bytes(payload)


def add_blocksize(data: bytes) -> bytes:
    """Return a GraphDef whose DepthToSpace nodes carry ``blocksize`` beside TensorFlow's ``block_size``.

    OpenCV 4.11 and later ask for that name (they share the layer with ONNX) and fail on every public file without it.
    """
    out = bytearray()
    for number, value in fields(data):
        if isinstance(value, int):
            out += _encode(number << 3) + _encode(value)
            continue
        if number == 1 and _text(value, 2) == "DepthToSpace":
            value = _with_blocksize(value)
        out += _block(number, value)
    return bytes(out)


def _with_blocksize(node: memoryview) -> bytes:
    attributes = {_text(entry, 1): entry for entry in _messages(node, 5)}
    if "blocksize" in attributes or "block_size" not in attributes:
        return bytes(node)
    (value,) = _messages(attributes["block_size"], 2)
    return bytes(node) + _block(5, _block(1, b"blocksize") + _block(2, value))
