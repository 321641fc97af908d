"""Trace a trained network as an ONNX graph that fits images of any size.

Frameworks trace networks reliably only at a fixed size, and may bake that size in. So the network is traced at two
sizes; if both graphs are identical after the passes, nothing is baked in, and the graph is valid for all sizes.
"""

import math
import re

import onnx

from cvsr.errors import CvsrError, ModelError
from cvsr_converters import passes
from cvsr_converters.passes.differences import differences, layer_of
from cvsr_converters.targets import ops

# Multiples of 8 for networks that halve the image; the two share no side, nor the product of their sides.
SIZES = (48, 64), (80, 56)


def trace(original, multiple=1):
    """Return the ONNX model of an :class:`~cvsr_converters.original.Original`, valid for any input size.

    It has canonical names and (1, C, H, W) inputs and outputs; each node's ``doc_string`` is the name of its layer in
    the user's model. ``multiple``: the sides of its images must be multiples of it. Raises ModelError, naming the
    layers, if the size of the image is baked in.
    """
    sizes = _sizes(multiple)
    first, second = (passes.simplify(graph_at(original, size)) for size in sizes)
    if found := differences(first, second):
        ops.check_sized(first)
        names = ["x".join(map(str, size)) for size in sizes]
        raise ModelError(
            f"the size of the image is baked into this network (traced at {names[0]} and {names[1]}):\n  "
            + "\n  ".join(found[:5])
            + "\nUse layers that take any size there: no fixed reshape or resize, no weights per pixel."
        )
    _check(first)
    return first


def _sizes(multiple):
    """Return two sizes whose sides are multiples of ``multiple``."""
    if 8 % multiple == 0:
        return SIZES
    least = max(3, math.ceil(40 / multiple))
    return tuple(tuple(multiple * (least + more) for more in size) for size in ((0, 1), (2, 4)))


def graph_at(original, size):
    """Return the ONNX model of an original at one size; raise ModelError if its framework cannot export it."""
    try:
        return original.graph(size)
    except CvsrError:
        raise
    except Exception as error:  # TensorFlow, tf2onnx and torch each raise their own errors for this
        said = " ".join(str(error).split())[-400:] or type(error).__name__
        raise ModelError(f"the network cannot be exported to ONNX at {size[0]}x{size[1]} pixels: {said}") from error


def _check(model):
    """Raise ModelError, naming the layer, if a model of standard ONNX operators is not valid."""
    if not all(onnx.defs.has(node.op_type) for node in model.graph.node):
        return  # OpenCV supports no others: the targets report them
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        said = " ".join(str(error).split())
        named = {name: node for node in model.graph.node for name in node.output}
        found = [named[name] for name in re.findall(r"[Nn](?:ode n)?ame: ?([\w.]+)", said) if name in named]
        where = f"{layer_of(found[0])}: " if found else ""
        raise ModelError(f"{where}this is not valid ONNX, possibly a bug in the exporter: {said[:400]}") from error
