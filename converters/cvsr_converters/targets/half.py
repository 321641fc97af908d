"""Store weights in 16 bits: half the size on disk; the network still computes in 32 bits.

    weight (float32) ── Conv      →      weight (float16) ── Cast to float32 ── Conv

OpenCV from 4.8 on does the Cast while it loads the file, so that nothing is slower afterwards. Apply it last of all, to
what a target has made: the other modules look for weights among the constants. OpenCV 4.6 reads no 16-bit numbers.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SMALLEST = 256  # numbers in a constant: below that, the Cast would take more bytes than it saves
TOLERANCE = 1 / 255  # of the range: how far a network with weights in float16 may be from the original, on noise
BITS = 11  # significant ones of a number in float16
ROUNDING = 2**-11  # the relative error of a number in float16, as long as it is no smaller than 2**-14


def weights(model):
    """Return the ONNX model with the large weights of its convolutions in float16, and a Cast behind each.

    Numbers are rounded to 11 significant bits. Weights that do not survive that, because they are larger than 65504 or
    all of them too small, stay as they are. Metadata is kept.
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
    """Return how far, in parts of the range, a network may be whose weights have ``bits`` significant bits."""
    return TOLERANCE * 2 ** max(0, BITS - (bits or BITS))


def rounded(model, bits):
    """Return the ONNX model with the weights of its convolutions rounded to ``bits`` significant bits.

    The file stays as large, but what packs it (a wheel is a zip file) finds zeros at the end of each number: with 8 of
    float16's 11 bits it becomes a sixth smaller, with 8 of float32's 24 half as large.
    """
    model = onnx.ModelProto.FromString(model.SerializeToString())
    for constant in _kernels(model):
        mantissa, exponent = np.frexp(numpy_helper.to_array(constant))
        short = np.ldexp(np.round(mantissa * 2.0**bits) / 2.0**bits, exponent).astype(np.float32)
        constant.CopyFrom(numpy_helper.from_array(short, constant.name))
    return model


def significant(model):
    """Return how many significant bits the weights have that a model stores in 16 bits; 0 where there are none."""
    halves = [numpy_helper.to_array(c).ravel() for c in model.graph.initializer if c.data_type == TensorProto.FLOAT16]
    numbers = np.concatenate([np.zeros(1, np.float16), *halves])
    used = np.bitwise_or.reduce(numbers[np.abs(numbers) >= 2.0**-14].view(np.uint16))  # smaller ones have fewer bits
    return next((BITS - zeros for zeros in range(BITS) if used >> zeros & 1), 0)


def _kernels(model):
    """Return the constants in float32 that are weights of the model's convolutions."""
    names = {node.input[1] for node in model.graph.node if node.op_type in ("Conv", "ConvTranspose")}
    return [c for c in model.graph.initializer if c.name in names and c.data_type == TensorProto.FLOAT]


def _rounded(array):
    """Return ``array`` in float16, or None where it is too small to be worth it or loses more than rounding does."""
    if array.size < SMALLEST or np.abs(array).max() > np.finfo(np.float16).max:
        return None
    rounded = array.astype(np.float16)
    return rounded if np.abs(rounded - array).max() <= ROUNDING * np.abs(array).max() else None
