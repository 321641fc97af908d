"""Read frozen TensorFlow graphs (.pb) without TensorFlow: nodes, attributes, constants; repair old ones.

Everything in a file is checked before it is used.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cvsr.errors import ModelError
from cvsr.modelfiles.onnx_reader import POINTWISE
from cvsr.modelfiles.protobuf import block, encode, fields, ints, messages, text


@dataclass(frozen=True)
class NodeDef:
    """A node of a TensorFlow GraphDef."""

    name: str
    op: str
    inputs: tuple[str, ...]
    shape: tuple[int, ...] = ()  # of a Const
    raw: memoryview = field(default=memoryview(b""), repr=False, compare=False)


def read_graphdef(data: bytes) -> list[NodeDef]:
    """Return the nodes of a frozen TensorFlow graph; raise ModelError if the bytes are not one."""
    nodes: list[NodeDef] = []
    for raw in messages(data, 1):
        inputs = tuple(bytes(v).decode("utf-8", "replace") for v in messages(raw, 3))
        op = text(raw, 2)
        nodes.append(NodeDef(text(raw, 1), op, inputs, _const_shape(raw) if op == "Const" else (), raw))
    if not any(node.op == "Placeholder" for node in nodes):
        raise ModelError("the file is not a frozen TensorFlow graph: it has no Placeholder")
    return nodes


def attribute(node: memoryview, key: str) -> memoryview:
    """Return the value of a GraphDef node's attribute, a message, which is empty if it is absent."""
    for entry in messages(node, 5):
        if text(entry, 1) == key:
            return next(messages(entry, 2), memoryview(b""))
    return memoryview(b"")


def integers(node: NodeDef, key: str) -> list[int]:
    """Return an attribute that is a list of integers, [] if it is absent."""
    return [number for several in messages(attribute(node.raw, key), 1) for number in ints(several, 3)]


def number(node: NodeDef, key: str, default: int = 0) -> int:
    """Return an attribute that is an integer."""
    values = (value for key, value in fields(attribute(node.raw, key)) if key == 3)
    value = next(values, default)
    return value if isinstance(value, int) else default


def real(node: NodeDef, key: str, default: float) -> float:
    """Return an attribute that is a float."""
    values = [value for value in messages(attribute(node.raw, key), 4) if len(value) == 4]
    return float(np.frombuffer(values[0], "<f4")[0]) if values else default


def string(node: NodeDef, key: str, default: str = "") -> str:
    """Return an attribute that is a string."""
    return text(attribute(node.raw, key), 2) or default


# by TensorFlow's type: numpy's, and the field of a tensor that lists its numbers
_TYPES = {1: ("<f4", 5), 3: ("<i4", 7), 9: ("<i8", 10), 12: ("u1", 7)}
_MOST = 2**20  # numbers in a tensor that lists fewer, and repeats the last one


def constant(node: NodeDef) -> NDArray[Any]:
    """Return the numbers of a Const: float32, int32, int64, or uint8 for the input of a Dequantize.

    Raise ModelError if they do not match the tensor's type and shape.
    """
    tensor = next(messages(attribute(node.raw, "value"), 8), memoryview(b""))
    kind = next((value for key, value in fields(tensor) if key == 1), 0)
    if kind not in _TYPES:
        raise refused(node, f"holds numbers of TensorFlow's type {kind}: only floats and integers are supported")
    (dtype, listed), count = _TYPES[kind], math.prod(node.shape)
    content = next(messages(tensor, 4), memoryview(b""))
    if len(content):
        if len(content) != count * np.dtype(dtype).itemsize:
            raise refused(node, f"holds {len(content)} bytes for {count} numbers")
        found = np.frombuffer(content, dtype)
    else:
        found = _listed(tensor, dtype, listed)
        if not 0 < found.size <= count or count > max(found.size, _MOST):
            raise refused(node, f"holds {found.size} numbers instead of {count}")
        found = np.pad(found, (0, count - found.size), mode="edge")  # a repeated last number is stored once
    if found.dtype.kind == "f" and not np.isfinite(found).all():
        raise refused(node, "holds numbers that are not finite")
    return found.reshape(node.shape)


def _listed(tensor: memoryview, dtype: str, field: int) -> NDArray[Any]:
    """Return the numbers that a tensor lists one by one."""
    if dtype == "<f4":
        data = b"".join(bytes(part) for part in messages(tensor, field))
        return np.frombuffer(data[: len(data) // 4 * 4], dtype)
    # negative numbers are stored modulo 2**64
    return np.array([value & (2**64 - 1) for value in ints(tensor, field)], np.uint64).astype(dtype)


def refused(node: NodeDef, why: str) -> ModelError:
    """Return the error about a node."""
    return ModelError(f"its node {node.name!r} ({node.op}) {why}")


def _const_shape(node: memoryview) -> tuple[int, ...]:
    for tensor in messages(attribute(node, "value"), 8):
        dims = [d for shape in messages(tensor, 2) for d in messages(shape, 2)]
        return tuple(next((v for n, v in fields(d) if n == 1 and isinstance(v, int)), 0) for d in dims)
    return ()


def _shapes(nodes: list[NodeDef]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of constants, and of the results of Dequantize."""
    shapes = {node.name: node.shape for node in nodes if node.op == "Const"}
    quantized = [node for node in nodes if node.op == "Dequantize" and node.inputs]
    return shapes | {node.name: shapes.get(node.inputs[0], ()) for node in quantized}


def channels(nodes: list[NodeDef]) -> int | None:
    """Return how many channels the network takes, from the kernel of its first convolution, or None."""
    shapes = _shapes(nodes)
    images = {node.name for node in nodes if node.op == "Placeholder"}
    first = [node for node in nodes if node.op == "Conv2D" and images.intersection(node.inputs)]
    kernels = [shapes[name] for node in first for name in node.inputs if len(shapes.get(name, ())) == 4]
    return kernels[0][2] if kernels else None


def width(nodes: list[NodeDef]) -> int:
    """Return the channels of the widest convolution."""
    return max((max(node.shape[2:]) for node in nodes if len(node.shape) == 4), default=1)


def reach(nodes: list[NodeDef]) -> int | None:
    """Return an upper bound of the receptive field's radius, None if it is unknown: see OnnxFacts."""
    shapes = _shapes(nodes)
    reach = 0
    for node in nodes:
        if node.op in ("Conv2D", "Conv2DBackpropInput"):
            kernel = next((shapes[name] for name in node.inputs if len(shapes.get(name, ())) == 4), None)
            if kernel is None or (node.op == "Conv2D" and max(integers(node, "strides"), default=1) > 1):
                return None
            # a transposed convolution's kernel counts output pixels: still a bound
            reach += max(kernel[:2]) // 2 * max(integers(node, "dilations"), default=1)
        elif node.op not in POINTWISE and node.name not in shapes:
            return None
    return reach


def outputs(nodes: list[NodeDef]) -> list[str]:
    """Return the names of the nodes that no other node reads."""
    used = {name.lstrip("^").partition(":")[0] for node in nodes for name in node.inputs}
    return [node.name for node in nodes if node.name not in used and node.op not in ("Const", "NoOp", "Placeholder")]


def add_blocksize(data: bytes) -> bytes:
    """Return a GraphDef whose DepthToSpace nodes have ``blocksize`` besides TensorFlow's ``block_size``.

    OpenCV 4.11 and later require that name (they share the layer with ONNX) and fail on every public file without it.
    """
    out = bytearray()
    for number, value in fields(data):
        if isinstance(value, int):
            out += encode(number << 3) + encode(value)
            continue
        if number == 1 and text(value, 2) == "DepthToSpace":
            value = _with_blocksize(value)
        out += block(number, value)
    return bytes(out)


def _with_blocksize(node: memoryview) -> bytes:
    value = attribute(node, "block_size")
    if attribute(node, "blocksize") or not value:
        return bytes(node)
    return bytes(node) + block(5, block(1, b"blocksize") + block(2, value))
