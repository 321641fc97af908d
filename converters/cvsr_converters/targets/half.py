"""Store weights in 16 bits: half the size on disk; the network still computes in 32 bits.

    weight (float32) ── Conv      →      weight (float16) ── Cast to float32 ── Conv

OpenCV 4.8 and later apply the Cast while loading the file, so inference is not slower. Apply this last, to the output
of a target, because other modules look for weights among the constants. OpenCV 4.6 does not support 16-bit numbers.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SMALLEST = 256  # numbers in a constant: below that, the Cast would take more bytes than it saves
TOLERANCE = 1 / 255  # of the range: the largest error allowed for a network with float16 weights, on noise
BITS = 11  # significant bits of a float16 number
ROUNDING = 2**-11  # the relative error of a float16 number of at least 2**-14


def weights(model):
    """Return the ONNX model with the large weights of its convolutions in float16, and a Cast after each.

    Numbers are rounded to 11 significant bits. Weights that float16 cannot represent, because they exceed 65504
    or are all too small, stay as they are. Metadata is kept.
    """
    model = onnx.ModelProto.FromString(model.SerializeToString())
    casts = []
    for constant in _kernels(model):
        rounded = _rounded(numpy_helper.to_array(constant))
        if rounded is not None:
            name = constant.name
            constant.CopyFrom(numpy_helper.from_array(rounded, f"{name}.half"))
            casts.append(helper.make_node("Cast", [f"{name}.half"], [name], f"{name}.cast", to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def tolerance(bits=None):
    """Return the error allowed, as a part of the range, for a network whose weights have ``bits`` significant bits."""
    return TOLERANCE * 2 ** max(0, BITS - (bits or BITS))


def rounded(model, bits):
    """Return the ONNX model with the weights of its convolutions rounded to ``bits`` significant bits.

    The file stays as large, but compresses better (a wheel is a zip file), because each number ends in zeros: with 8 of
    float16's 11 bits it becomes a sixth smaller, with 8 of float32's 24 half as large.
    """
    model = onnx.ModelProto.FromString(model.SerializeToString())
    for constant in _kernels(model):
        mantissa, exponent = np.frexp(numpy_helper.to_array(constant))
        short = np.ldexp(np.round(mantissa * 2.0**bits) / 2.0**bits, exponent).astype(np.float32)
        constant.CopyFrom(numpy_helper.from_array(short, constant.name))
    return model


def significant(model):
    """Return the number of significant bits of a model's float16 weights; 0 if it has none."""
    halves = [numpy_helper.to_array(c).ravel() for c in model.graph.initializer if c.data_type == TensorProto.FLOAT16]
    numbers = np.concatenate([np.zeros(1, np.float16), *halves])
    used = np.bitwise_or.reduce(numbers[np.abs(numbers) >= 2.0**-14].view(np.uint16))  # smaller ones have fewer bits
    return next((BITS - zeros for zeros in range(BITS) if used >> zeros & 1), 0)


def _kernels(model):
    """Return the float32 weights of the model's convolutions."""
    names = {node.input[1] for node in model.graph.node if node.op_type in ("Conv", "ConvTranspose")}
    return [c for c in model.graph.initializer if c.name in names and c.data_type == TensorProto.FLOAT]


def _rounded(array):
    """Return ``array`` in float16, or None if it is too small to be worth it or loses more than by rounding."""
    if array.size < SMALLEST or np.abs(array).max() > np.finfo(np.float16).max:
        return None
    rounded = array.astype(np.float16)
    return rounded if np.abs(rounded - array).max() <= ROUNDING * np.abs(array).max() else None
