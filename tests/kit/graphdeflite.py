"""Write small frozen TensorFlow graphs for tests, byte by byte, so that no test needs TensorFlow.

Field numbers are those of graph.proto, node_def.proto, attr_value.proto and tensor.proto. The networks have the shape
of those for OpenCV's dnn_superres, with random weights; their last node is ``NCHW_output``.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from kit.onnxlite import _field, _fields

TYPES = {"float32": 1, "int32": 3, "int64": 9, "uint8": 12}  # uint8 is what a Dequantize reads
Attribute = int | float | str | list[int] | bytes


def node(name: str, op: str, inputs: Iterable[str] = (), **attributes: Attribute) -> bytes:
    """A node as a field of the graph; graphs are sums of those."""
    body = _field(1, name) + _field(2, op) + _fields(3, inputs)
    return _field(1, body + _fields(5, (_field(1, key) + _field(2, value(v)) for key, v in attributes.items())))


def value(given: Attribute) -> bytes:
    """An AttrValue; bytes are the message itself."""
    if isinstance(given, bytes):
        return given
    if isinstance(given, str):
        return _field(2, given)
    if isinstance(given, float):
        return b"\x25" + np.float32(given).tobytes()
    return _field(3, given) if isinstance(given, int) else _field(1, _fields(3, given))


def const(name: str, numbers: NDArray) -> bytes:
    array = np.asarray(numbers)
    array = array.astype({"float64": np.float32, "int64": np.float32}.get(array.dtype.name, array.dtype))
    dims = _fields(2, (_field(1, extent) for extent in array.shape))
    tensor = _field(1, TYPES[array.dtype.name]) + _field(2, dims) + _field(4, array.tobytes())
    return node(name, "Const", value=_field(8, tensor))


def transpose(name: str, source: str) -> bytes:
    return const(f"{name}/perm", np.array([0, 3, 1, 2], np.int32)) + node(name, "Transpose", [source, f"{name}/perm"])


def conv(name: str, source: str, kernel: NDArray, op: str = "Conv2D", **more: Attribute) -> bytes:
    attributes = {"padding": "SAME", "data_format": "NHWC", "strides": [1, 1, 1, 1], **more}
    return const(f"{name}/weights", kernel) + node(name, op, [source, f"{name}/weights"], **attributes)


def binary(name: str, op: str, source: str, constant: NDArray | float) -> bytes:
    return const(f"{name}/c", np.asarray(constant)) + node(name, op, [source, f"{name}/c"])


def biased(name: str, source: str, kernel: NDArray, bias: NDArray, op: str = "Add") -> bytes:
    return (
        conv(f"{name}/conv", source, kernel) + const(f"{name}/b", bias) + node(name, op, [f"{name}/conv", f"{name}/b"])
    )


class Weights:
    """Random ones, of a size that keeps images about as they are."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)

    def kernel(self, *shape: int) -> NDArray[np.float32]:
        return self.rng.normal(0, (shape[0] * shape[1] * shape[2]) ** -0.5, shape).astype(np.float32)

    def vector(self, count: int) -> NDArray[np.float32]:
        return self.rng.normal(0, 0.1, count).astype(np.float32)


def prelu(name: str, source: str, slope: NDArray) -> bytes:
    """The five nodes of FSRCNN's."""
    return (
        node(f"{name}/relu", "Relu", [source])
        + node(f"{name}/abs", "Abs", [source])
        + node(f"{name}/sub", "Sub", [source, f"{name}/abs"])
        + const(f"{name}/alpha", slope)
        + node(f"{name}/mul", "Mul", [f"{name}/alpha", f"{name}/sub"])
        + binary(f"{name}/mul_1", "Mul", f"{name}/mul", 0.5)
        + node(name, "Add", [f"{name}/relu", f"{name}/mul_1"])
    )


def leaky(name: str, source: str) -> bytes:
    """The five nodes of LapSRN's: Relu(x) - 0.2 * Relu(-x)."""
    return (
        node(f"{name}/relu", "Relu", [source])
        + binary(f"{name}/neg", "Mul", source, -1)
        + node(f"{name}/relu_1", "Relu", [f"{name}/neg"])
        + binary(f"{name}/mul", "Mul", f"{name}/relu_1", 0.2)
        + node(name, "Sub", [f"{name}/relu", f"{name}/mul"])
    )


def espcn(scale: int = 2, channels: int = 1) -> bytes:
    w, planes = Weights(), channels * scale**2
    return (
        node("in", "Placeholder")
        + biased("c1", "in", w.kernel(5, 5, channels, 6), w.vector(6))
        + node("r1", "Relu", ["c1"])
        + biased("c2", "r1", w.kernel(3, 3, 6, planes), w.vector(planes), "BiasAdd")
        + node("shuffle", "DepthToSpace", ["c2"], block_size=scale, data_format="NHWC")
        + node("NHWC_output", "Tanh", ["shuffle"])
        + transpose("NCHW_output", "NHWC_output")
    )


def fsrcnn(scale: int = 2) -> bytes:
    """As OpenCV has it: a 1x1 convolution before the shuffle, the bias behind."""
    w = Weights()
    return (
        node("in", "Placeholder")
        + biased("c1", "in", w.kernel(5, 5, 1, 7), w.vector(7))
        + prelu("p1", "c1", w.vector(7))
        + biased("c2", "p1", w.kernel(1, 1, 7, 5), w.vector(5))
        + prelu("p2", "c2", w.vector(5))
        + conv("c3", "p2", w.kernel(1, 1, 5, scale**2))
        + node("shuffle", "DepthToSpace", ["c3"], block_size=scale, data_format="NHWC")
        + binary("NHWC_output", "BiasAdd", "shuffle", w.vector(1))
        + transpose("NCHW_output", "NHWC_output")
    )


def deconvolved(scale: int = 2, kernel: int = 9, channels: int = 1) -> bytes:
    """FSRCNN as in its paper: it ends with a transposed convolution."""
    w, sizes = Weights(), np.array([1, 24 * scale, 32 * scale, channels], np.int32)
    attributes = {"padding": "SAME", "data_format": "NHWC", "strides": [1, scale, scale, 1]}
    return (
        node("in", "Placeholder")
        + biased("c1", "in", w.kernel(5, 5, channels, 7), w.vector(7))
        + prelu("p1", "c1", w.vector(7))
        + const("sizes", sizes)
        + const("f", w.kernel(kernel, kernel, channels, 7))
        + node("deconv", "Conv2DBackpropInput", ["sizes", "f", "p1"], **attributes)
        + binary("NHWC_output", "BiasAdd", "deconv", w.vector(channels))
        + transpose("NCHW_output", "NHWC_output")
    )


def lapsrn(levels: int = 2) -> bytes:
    """A pyramid, with an output for each level."""
    w, parts, features, picture = Weights(), [node("in", "Placeholder")], "in", "in"
    for level in range(1, levels + 1):
        parts += [
            biased(f"a{level}", features, w.kernel(3, 3, 1, 6), w.vector(1)),
            leaky(f"l{level}", f"a{level}"),
            conv(f"u{level}", f"l{level}", w.kernel(4, 4, 6, 4)),
            node(f"d{level}", "DepthToSpace", [f"u{level}"], block_size=2, data_format="NHWC"),
            leaky(f"f{level}", f"d{level}"),
            conv(f"v{level}", picture, w.kernel(4, 4, 1, 4)),
            node(f"e{level}", "DepthToSpace", [f"v{level}"], block_size=2, data_format="NHWC"),
            node(f"s{level}", "Add", [f"e{level}", f"f{level}"]),
            leaky(f"y{level}", f"s{level}"),
        ]
        features, picture = f"f{level}", f"y{level}"
    parts.append(transpose("NCHW_output", picture))  # the largest first: dnn_superres takes what comes first
    parts += [transpose(f"NCHW_output_{2**level}x", f"y{level}") for level in range(levels, 0, -1)]
    return b"".join(parts)


def edsr(scale: int = 2, blocks: int = 2, eight_bits: bool = False) -> bytes:
    """As OpenCV has it: with weights in 8 bits if asked, three channels, residual blocks scaled by 0.1."""
    w, parts, last = Weights(), [node("in", "Placeholder")], "first"

    def layer(name: str, source: str, *shape: int) -> bytes:
        return (quantized if eight_bits else biased)(name, source, w.kernel(*shape), w.vector(shape[3]))

    parts.append(layer("first", "in", 3, 3, 3, 8))
    for block in range(blocks):
        parts += [
            layer(f"{block}/a", last, 3, 3, 8, 8),
            node(f"{block}/relu", "Relu", [f"{block}/a"]),
            layer(f"{block}/b", f"{block}/relu", 3, 3, 8, 8),
            binary(f"{block}/mul", "Mul", f"{block}/b", 0.1),
            node(f"{block}/add", "Add", [last, f"{block}/mul"]),
        ]
        last = f"{block}/add"
    parts += [
        layer("body", last, 3, 3, 8, 8),
        node("sum", "Add", ["body", "first"]),
        layer("planes", "sum", 3, 3, 8, 3 * scale**2),
        node("NHWC_output", "DepthToSpace", ["planes"], block_size=scale, data_format="NHWC"),
        transpose("NCHW_output", "NHWC_output"),
    ]
    return b"".join(parts)


def quantized(name: str, source: str, kernel: NDArray, bias: NDArray) -> bytes:
    """A convolution with weights in 8 bits, as the transform quantize_weights makes them, and a bias."""
    low, high = kernel.min(), kernel.max()
    steps = np.rint((kernel - low) / (high - low) * 255).astype(np.uint8)
    inputs = [f"{name}/weights_quantized_{part}" for part in ("const", "min", "max")]
    return (
        b"".join(const(*pair) for pair in zip(inputs, (steps, low, high), strict=True))
        + node(f"{name}/weights", "Dequantize", inputs, mode="MIN_FIRST", T=b"\x30\x0c")
        + node(f"{name}/conv", "Conv2D", [source, f"{name}/weights"], padding="SAME", strides=[1, 1, 1, 1])
        + binary(name, "Add", f"{name}/conv", bias)
    )


FAMILIES = {  # by names from which color, range and scale are known
    "espcn_x2": espcn(2),
    "espcn_x3": espcn(3),
    "fsrcnn_x2": fsrcnn(2),
    "fsrcnn_x4": fsrcnn(4),
    "fsrcnn_deconvolved_x2": deconvolved(2),
    "fsrcnn_deconvolved_x3": deconvolved(3),
    "fsrcnn_deconvolved_x4": deconvolved(4, 8),
    "edsr_deconvolved_x2": deconvolved(2, 5, channels=3),
    "lapsrn_x2": lapsrn(1),
    "lapsrn_x4": lapsrn(2),
    "edsr_x2": edsr(2),
    "edsr_x3": edsr(3),
    "edsr_eight_bits_x4": edsr(4, eight_bits=True),
}
