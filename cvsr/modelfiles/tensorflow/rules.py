"""Rules that add the operations of a frozen TensorFlow graph to a GraphBuilder; they raise Unsupported."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cvsr.modelfiles import subpixel
from cvsr.modelfiles.tensorflow import graphdef
from cvsr.modelfiles.tensorflow.builder import GraphBuilder, Numbers, Unsupported, Value
from cvsr.modelfiles.tensorflow.graphdef import NodeDef

Operand = Value | NDArray[Any]
_MOST = 16  # the largest scale or dilation
_LARGEST = 64  # the largest side of a kernel


@dataclass(frozen=True)
class Rule:
    """The number of inputs of an operation, and the function that computes its result."""

    inputs: int
    apply: Callable[..., Operand]


def image(operand: Operand) -> Value:
    """Return the operand, which must be an image."""
    if not isinstance(operand, Value):
        raise Unsupported("has a constant as input, but an image is needed")
    return operand


def _spread(operand: Operand) -> Value:
    """Return the operand, which must be an image in the layout NHWC."""
    x = image(operand)
    if x.planar:
        raise Unsupported("reads an image in the layout NCHW: only NHWC is supported")
    return x


def _constant(operand: Operand, axes: int) -> NDArray[Any]:
    if isinstance(operand, Value) or operand.ndim != axes or not operand.size:
        raise Unsupported(f"needs a constant of {axes} dimensions")
    return operand


def _numbers(operand: NDArray[Any], x: Value) -> Numbers:
    """Return a constant that is broadcast over an image: one number, or one for each channel."""
    numbers = operand.astype(np.float64)
    if numbers.size == 1:
        return numbers.reshape(())
    if [1] * (4 - numbers.ndim) + list(numbers.shape) != ([1, x.channels, 1, 1] if x.planar else [1, 1, 1, x.channels]):
        raise Unsupported(f"has a constant of shape {numbers.shape}, but its image has {x.channels} channels")
    return numbers.ravel()


def _const(_builder: GraphBuilder, node: NodeDef) -> Operand:
    return graphdef.constant(node)


def _dequantize(_builder: GraphBuilder, node: NodeDef, quantized: Operand, low: Operand, high: Operand) -> Operand:
    """Return weights stored in 8 bits, as in OpenCV's EDSR files, which the transform quantize_weights made."""
    if isinstance(quantized, Value) or quantized.dtype != np.uint8 or graphdef.string(node, "mode") != "MIN_FIRST":
        raise Unsupported("is not an 8-bit constant of mode MIN_FIRST")
    least, most = (np.float64(_constant(end, 0)) for end in (low, high))
    step = np.float32((most - least) / 255)
    start = np.round(least / step) * step if step > 0 else least  # zero is one of the steps
    return (start + quantized * step).astype(np.float32)


def _identity(_builder: GraphBuilder, _node: NodeDef, x: Operand) -> Operand:
    return x


def _spatial(node: NodeDef, kernel: NDArray[Any], strides: int) -> tuple[bool, list[int]]:
    """Return (whether the padding is SAME, the dilations) of a convolution with a kernel (h, w, …)."""
    padding, layout = graphdef.string(node, "padding"), graphdef.string(node, "data_format", "NHWC")
    if padding not in ("SAME", "VALID") or layout != "NHWC":
        raise Unsupported(f"has padding {padding!r} and layout {layout!r}: use SAME or VALID, and NHWC")
    dilations = graphdef.integers(node, "dilations") or [1, 1, 1, 1]
    if graphdef.integers(node, "strides") != [1, strides, strides, 1] or len(dilations) != 4:
        raise Unsupported("has unsupported strides or dilations")
    if not all(1 <= d <= _MOST for d in dilations) or max(kernel.shape[:2]) > _LARGEST:
        raise Unsupported(f"has a kernel of {kernel.shape[:2]} pixels with dilations {dilations}, which is too large")
    return padding == "SAME", dilations[1:3]


def _conv2d(builder: GraphBuilder, node: NodeDef, x: Operand, weights: Operand) -> Operand:
    kernel = _constant(weights, 4)
    same, dilations = _spatial(node, kernel, 1)
    around = [(size - 1) * d if same else 0 for size, d in zip(kernel.shape[:2], dilations, strict=True)]
    pads = [*(n // 2 for n in around), *(n - n // 2 for n in around)]
    return builder.conv(_spread(x), kernel.transpose(3, 2, 0, 1), pads, dilations)


def _deconvolution(builder: GraphBuilder, node: NodeDef, weights: Operand, x: Operand) -> Operand:
    kernel, strides = _constant(weights, 4), graphdef.integers(node, "strides")
    s = strides[1] if len(strides) == 4 else 0
    same, dilations = _spatial(node, kernel, s)
    over = [size - s for size in kernel.shape[:2]]
    if not 1 <= s <= _MOST or dilations != [1, 1] or min(over) < 0 or (any(over) and not same):
        raise Unsupported("does not enlarge by a whole number")
    phases, pads = subpixel.phases(kernel.transpose(3, 2, 0, 1), s, (over[0] // 2, over[1] // 2))
    return builder.conv(_spread(x), phases, pads, [1, 1], block=s)


def _depth_to_space(builder: GraphBuilder, node: NodeDef, x: Operand) -> Operand:
    s, layout = graphdef.number(node, "block_size"), graphdef.string(node, "data_format", "NHWC")
    if not 2 <= s <= _MOST or layout != "NHWC":
        raise Unsupported(f"shuffles by {s} in the layout {layout!r}: use 2 to {_MOST}, and NHWC")
    return builder.shuffle(_spread(x), s)


def _transpose(_builder: GraphBuilder, _node: NodeDef, x: Operand, axes: Operand) -> Operand:
    turned = image(x)
    if _constant(axes, 1).tolist() != ([0, 2, 3, 1] if turned.planar else [0, 3, 1, 2]):
        raise Unsupported("permutes axes other than between NHWC and NCHW")
    return replace(turned, planar=not turned.planar)


def _sum(sign: int) -> Rule:
    def apply(builder: GraphBuilder, _node: NodeDef, a: Operand, b: Operand) -> Operand:
        if isinstance(a, Value) and isinstance(b, Value):
            return builder.joined(a, b, sign)
        if isinstance(b, Value):
            return builder.plus(b.sloped(sign * b.up, sign * b.down), _numbers(_array(a), b))
        return builder.plus(image(a), sign * _numbers(_array(b), image(a)))

    return Rule(2, apply)


def _array(operand: Operand) -> NDArray[Any]:
    if isinstance(operand, Value):
        raise Unsupported("works on two images, one of which must be constant")
    return operand


def _mul(_builder: GraphBuilder, _node: NodeDef, a: Operand, b: Operand) -> Operand:
    if not isinstance(a, Value):
        a, b = b, a
    x = image(a)
    numbers = _numbers(_array(b), x)
    return x.sloped(x.up * numbers, x.down * numbers)


def _extreme(larger: bool) -> Rule:
    def apply(builder: GraphBuilder, _node: NodeDef, a: Operand, b: Operand) -> Operand:
        return builder.extreme(image(a), image(b), larger)

    return Rule(2, apply)


def _slopes(change: Callable[[Numbers, Numbers], tuple[Numbers, Numbers]]) -> Rule:
    """Return the rule of an activation that changes the slopes."""

    def apply(_builder: GraphBuilder, _node: NodeDef, operand: Operand) -> Operand:
        x = image(operand)
        return x.sloped(*change(x.up, x.down))

    return Rule(1, apply)


def _leaky_relu(_builder: GraphBuilder, node: NodeDef, operand: Operand) -> Operand:
    x, alpha = image(operand), graphdef.real(node, "alpha", 0.2)
    return x.sloped(np.where(x.up > 0, x.up, x.up * alpha), np.where(x.down < 0, x.down, x.down * alpha))


def _pointwise(op: str) -> Rule:
    def apply(builder: GraphBuilder, _node: NodeDef, x: Operand) -> Operand:
        return builder.pointwise(op, image(x))

    return Rule(1, apply)


RULES: dict[str, Rule] = {
    "Abs": _slopes(lambda up, down: (np.abs(up), -np.abs(down))),
    "Add": _sum(1),
    "AddV2": _sum(1),
    "BiasAdd": _sum(1),
    "Const": Rule(0, _const),
    "Conv2D": Rule(2, _conv2d),
    "Conv2DBackpropInput": Rule(2, _deconvolution),
    "DepthToSpace": Rule(1, _depth_to_space),
    "Dequantize": Rule(3, _dequantize),
    "Identity": Rule(1, _identity),
    "LeakyRelu": Rule(1, _leaky_relu),
    "Maximum": _extreme(True),
    "Minimum": _extreme(False),
    "Mul": Rule(2, _mul),
    "Neg": _slopes(lambda up, down: (-up, -down)),
    "Relu": _slopes(lambda up, down: (np.maximum(up, 0), np.minimum(down, 0))),
    "Sub": _sum(-1),
    "Tanh": _pointwise("Tanh"),
    "Transpose": Rule(2, _transpose),
}
