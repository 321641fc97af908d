"""Read and write protocol-buffer messages without protobuf, and the facts of an .onnx file.

.onnx and .pb files are protocol-buffer messages: a row of fields, each a number, a wire type and a value. That is all
that is needed here. See https://protobuf.dev/programming-guides/encoding/. Lengths in a file are checked against what
is there before they are believed.
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


def messages(data: bytes | memoryview, *numbers: int) -> Iterator[memoryview]:
    """Yield the strings or sub-messages that a message has under some numbers."""
    for number, value in fields(data):
        if number in numbers and isinstance(value, memoryview):
            yield value


def text(data: bytes | memoryview, number: int) -> str:
    """Return the first string that a message has under a number, or ""."""
    for value in messages(data, number):
        return bytes(value).decode("utf-8", "replace")
    return ""


# ops whose output at a place depends on the input at that place only, and those that move pixels by known distances
POINTWISE = frozenset({
    "Abs", "Add", "AddV2", "BiasAdd", "Cast", "Clip", "Concat", "ConcatV2", "Const", "Constant", "DepthToSpace",
    "Div", "Elu", "Exp", "Gelu", "HardSigmoid", "HardSwish", "Identity", "LeakyRelu", "Max", "Maximum", "Min",
    "Minimum", "Mul", "Neg", "PRelu", "Placeholder", "Relu", "Relu6", "Selu", "Sigmoid", "Softplus", "Sqrt", "Sub",
    "Tanh", "Transpose",
})  # fmt: skip


def ints(message: memoryview, number: int) -> list[int]:
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
        op = text(node, 4)
        self.ops.append(op)
        if op == "Conv":
            lists = {text(attribute, 1): ints(attribute, 8) for attribute in messages(node, 5)}
            self._grow(lists.get("kernel_shape"), lists.get("dilations"), lists.get("strides"))
        elif op not in POINTWISE:
            self.reach = None

    def _grow(self, kernel: list[int] | None, dilations: list[int] | None, strides: list[int] | None) -> None:
        if self.reach is None or not kernel or max(strides or [1]) > 1:
            self.reach = None
        else:
            self.reach += max(k // 2 * d for k, d in zip(kernel, dilations or [1] * len(kernel), strict=False))


def value_info(data: memoryview) -> tuple[str, list[int]]:
    """Return the name and the dims of an input or output of a graph, 0 where they are symbolic."""
    dims: list[int] = []
    for kind in messages(data, 2):
        for tensor in messages(kind, 1):
            for shape in messages(tensor, 2):
                for dim in messages(shape, 1):
                    sizes = [v for n, v in fields(dim) if n == 1 and isinstance(v, int)]
                    dims.append(sizes[0] if sizes else 0)
    return text(data, 1), dims


def read_onnx(data: bytes) -> OnnxFacts:
    """Return the facts of an ONNX model; raise ModelError where the bytes are none."""
    facts = OnnxFacts()
    graphs = list(messages(data, 7))
    if len(graphs) != 1:
        raise ModelError("the file is no ONNX model: it holds no graph")
    for entry in messages(data, 14):
        facts.metadata[text(entry, 1)] = text(entry, 2)
    initialised: set[str] = set()
    for number, value in fields(graphs[0]):
        if not isinstance(value, memoryview):
            continue
        if number == 1:
            facts.add(value)
        elif number == 5:
            initialised.add(text(value, 8))
            dims = ints(value, 1)
            if len(dims) == 4:
                facts.width = max(facts.width, *dims[:2])
        elif number == 11:
            facts.inputs.append(value_info(value))
        elif number == 12:
            facts.outputs.append(value_info(value))
    # files of ONNX IR 3 list their weights among the inputs too
    facts.inputs = [(name, dims) for name, dims in facts.inputs if name not in initialised]
    if not facts.ops or not facts.outputs:
        raise ModelError("the file is no ONNX model: its graph is empty")
    return facts


def encode(value: int) -> bytes:
    """Return a number that is not negative as a varint."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def block(number: int, payload: bytes | memoryview) -> bytes:
    """Return a field that is a string or a sub-message."""
    return encode(number << 3 | 2) + encode(len(payload)) + bytes(payload)


def field_of(number: int, value: int | memoryview) -> bytes:
    """Return a field as :func:`fields` gave it, which was no number of fixed width."""
    return encode(number << 3) + encode(value) if isinstance(value, int) else block(number, value)
