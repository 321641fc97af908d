"""The receptive field of a network: how far the input pixels are from an output pixel that depends on them.

A tile with this many extra pixels on each side gives the same result as the whole image. Each value of the graph gets a
:class:`Field`: its pixel i depends on the input pixels ``step * i + low`` to ``step * i + high``, the same for all i.
These are exact fractions, because a pixel of an enlarged value is a part of an input pixel.
"""

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from onnx import helper, numpy_helper

POINTWISE = frozenset({
    "Abs", "Add", "BatchNormalization", "Cast", "Ceil", "Clip", "Cos", "Div", "Dropout", "Elu", "Erf", "Exp", "Floor",
    "Gelu", "HardSigmoid", "HardSwish", "Identity", "LeakyRelu", "Log", "Max", "Mean", "Min", "Mish", "Mul", "Neg",
    "PRelu", "Pow", "Reciprocal", "Relu", "Selu", "Sigmoid", "Sign", "Sin", "Softplus", "Softsign", "Sqrt", "Sub",
    "Sum", "Tanh", "ThresholdedRelu", "Where",
})  # fmt: skip
# Pointwise if they work along the channels; the number is the default of their axis.
CHANNELS_ONLY = {"Softmax": -1, "LogSoftmax": -1, "Concat": None, "Split": 0, "LpNormalization": -1}


@dataclass(frozen=True)
class Field:
    """The input pixels that one pixel of a value depends on, along one axis of the image."""

    step: Fraction = Fraction(1)
    low: Fraction = Fraction(0)
    high: Fraction = Fraction(0)

    def through(self, step, low, high):
        """Return the field of a value whose pixel i reads pixels ``step * i + low`` to ``+ high`` of this one."""
        return Field(self.step * step, self.low + self.step * low, self.high + self.step * high)

    def reach(self):
        """Return how many input pixels it depends on beyond the one in which it lies, on the farther side."""
        within = max(Fraction(0), 1 - self.step)  # an output pixel may lie this far inside its input pixel
        return max(math.floor(-self.low), math.floor(self.high + within), 0)


class _Global(Exception):
    """The receptive field of an operation is global or unknown."""


CUBIC = 2  # pixels that bicubic interpolation reads on each side


def radius(model, enlarged=()):
    """Return the receptive-field radius of an ONNX model in pixels of the image, or None.

    ``enlarged``: the factor by which the host enlarges the image for each input, 1 for not at all.

    None: an operation reads the whole image (global pooling, normalization by the statistics of the image, attention),
    or is unknown. The radius is exact for chains of convolutions, and never too small; several consecutive changes of
    scale may make it a pixel or two too large.
    """
    graph = model.graph
    constants = {c.name: numpy_helper.to_array(c) for c in graph.initializer}
    names = [i.name for i in graph.input if i.name not in constants]
    fields = {name: (_first(factor),) * 2 for name, factor in zip(names, enlarged or [1] * len(names), strict=True)}
    try:
        for node in graph.node:
            incoming = [fields[name] for name in node.input if name in fields]
            if not incoming:
                continue  # computed from constants: the same at every pixel, or refused elsewhere
            attrs = {a.name: helper.get_attribute_value(a) for a in node.attribute}
            result = tuple(_union([f[axis] for f in incoming]) for axis in (0, 1))
            result = tuple(_through(node, attrs, constants, result[axis], axis) for axis in (0, 1))
            fields.update((name, result) for name in node.output)
        return max(field.reach() for output in graph.output for field in fields[output.name])
    except _Global:
        return None


def fact(model, facts):
    """Return the radius for the metadata of a file with these ``facts``: a number of pixels, or "global"."""
    factors = {"image": 1, "bicubic": facts.scale}
    found = radius(model, [factors[word] for word in (facts.inputs or "image").split(",")])
    return "global" if found is None else found


def _first(factor):
    return Field() if factor == 1 else Field(Fraction(1, factor), Fraction(-CUBIC), Fraction(CUBIC))


def _union(fields):
    """Return the field of a value that reads several values at the same pixel."""
    if len({f.step for f in fields}) != 1:
        raise _Global  # one of them is broadcast: a statistic of the whole image
    return Field(fields[0].step, min(f.low for f in fields), max(f.high for f in fields))


def _through(node, attrs, constants, field, axis):
    """Return the field after ``node`` along image axis 0 (rows) or 1 (columns)."""
    if node.op_type in CHANNELS_ONLY and attrs.get("axis", CHANNELS_ONLY[node.op_type]) not in (1, -3):
        raise _Global
    if node.op_type in POINTWISE or node.op_type in CHANNELS_ONLY:
        return field
    try:
        rule = RULES[node.op_type]
    except KeyError:
        raise _Global from None
    return field.through(*rule(node, attrs, constants, axis))


def _kernel(node, attrs, constants, axis):
    """Return (size of the dilated kernel, stride, padding at the beginning)."""
    shape = attrs.get("kernel_shape") or constants[node.input[1]].shape[2:]
    size = attrs.get("dilations", [1, 1])[axis] * (shape[axis] - 1) + 1
    stride, pad = attrs.get("strides", [1, 1])[axis], attrs.get("pads", [0, 0])[axis]
    if attrs.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        raise _Global  # SAME with a stride: the padding depends on the size
    return size, stride, pad


def _window(node, attrs, constants, axis):
    size, stride, pad = _kernel(node, attrs, constants, axis)
    return stride, -pad, size - 1 - pad


def _transposed(node, attrs, constants, axis):
    # pixel j reads pixel i if j = stride * i - pad + k, so i = (j + pad - k) / stride, if that is an integer
    size, stride, pad = _kernel(node, attrs, constants, axis)
    reads = [(phase, -(-(phase + pad - size + 1) // stride), (phase + pad) // stride) for phase in range(stride)]
    return _phases(stride, reads)


def _phases(scale, reads):
    """Return the rule for a value enlarged ``scale`` times; ``reads``: (phase, first, last) for each of its phases."""
    low = min(Fraction(first) - Fraction(phase, scale) for phase, first, _ in reads)
    return Fraction(1, scale), low, max(Fraction(last) - Fraction(phase, scale) for phase, _, last in reads)


def _enlarged(node, attrs, constants, axis):
    scale = attrs["blocksize"]
    return _phases(scale, [(phase, 0, 0) for phase in range(scale)])


def _resize(node, attrs, constants, axis):
    scales = constants.get(node.input[2]) if len(node.input) == 3 else None
    scale = float(scales[axis + 2]) if scales is not None and scales.size == 4 else 0
    if scale < 1 or scale != int(scale):
        raise _Global
    scale, place = int(scale), attrs.get("coordinate_transformation_mode", b"half_pixel")
    around = {b"nearest": (0, 0), b"linear": (0, 1), b"cubic": (-1, 2)}[attrs.get("mode", b"nearest")]
    if place == b"asymmetric":
        centers = [Fraction(phase, scale) for phase in range(scale)]
    elif place in (b"half_pixel", b"pytorch_half_pixel"):
        centers = [Fraction(2 * phase + 1, 2 * scale) - Fraction(1, 2) for phase in range(scale)]
    else:
        raise _Global  # align_corners: the offset changes from pixel to pixel
    last = math.floor if attrs.get("nearest_mode") == b"floor" or around != (0, 0) else math.ceil
    return _phases(scale, [(p, math.floor(c) + around[0], last(c) + around[1]) for p, c in enumerate(centers)])


def _pad(node, attrs, constants, axis):
    pads = constants.get(node.input[1])
    if pads is None or pads.size != 8:
        raise _Global
    return 1, -int(pads[axis + 2]), -int(pads[axis + 2])


def _transpose(node, attrs, constants, axis):
    if list(attrs.get("perm", []))[2:] != [2, 3]:
        raise _Global
    return 1, 0, 0


def _slice(node, attrs, constants, axis):
    starts, axes, steps = (constants.get(node.input[i]) if len(node.input) > i else None for i in (1, 3, 4))
    if starts is None or axes is None or (steps is not None and (steps != 1).any()) or (axes < 0).any():
        raise _Global
    start = int(np.sum(starts[axes == axis + 2]))
    if start < 0:
        raise _Global  # counted from the end: the distance depends on the size
    return 1, start, start


def _reduce(node, attrs, constants, axis):
    axes = attrs.get("axes")
    if axes is None and len(node.input) > 1:
        axes = constants.get(node.input[1])
    if axes is None or list(axes) != [1] or not attrs.get("keepdims", 1):
        raise _Global
    return 1, 0, 0


RULES = {
    "Conv": _window,
    "AveragePool": _window,
    "MaxPool": _window,
    "ConvTranspose": _transposed,
    "DepthToSpace": _enlarged,
    "SpaceToDepth": lambda node, attrs, constants, axis: (attrs["blocksize"], 0, attrs["blocksize"] - 1),
    "Resize": _resize,
    "Pad": _pad,
    "Transpose": _transpose,
    "Slice": _slice,
} | dict.fromkeys(("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL2"), _reduce)
