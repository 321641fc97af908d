"""A trained network → an ONNX graph that fits any size of image.

Frameworks trace a network well only at a fixed size, and then may bake that size in. So it is traced at two sizes; if
both graphs are the same after the passes, nothing was baked in, and the graph is good for all sizes.
"""

import math
import re

import onnx

from cvsr.errors import CvsrError, ModelError
from cvsr_converters import passes
from cvsr_converters.passes.differences import differences, layer_of
from cvsr_converters.targets import ops

# Multiples of 8 for the networks that halve; no side, and no product of sides, is that of the other.
SIZES = (48, 64), (80, 56)


def trace(original, multiple=1):
    """Return the ONNX model of an :class:`~cvsr_converters.original.Original`, good for any size of input.

    It has canonical names and (1, C, H, W) inputs and outputs; each node's ``doc_string`` is the name of its layer in
    the user's model. ``multiple``: what the sides of its images must be multiples of. Raises ModelError, naming the
    layers, where the size of the image is baked in.
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
    """Return two sizes that fit a network which needs sides that are multiples of a number."""
    if 8 % multiple == 0:
        return SIZES
    least = max(3, math.ceil(40 / multiple))
    return tuple(tuple(multiple * (least + more) for more in size) for size in ((0, 1), (2, 4)))


def graph_at(original, size):
    """Return the ONNX model of an original at one size; raise ModelError where its framework cannot translate it."""
    try:
        return original.graph(size)
    except CvsrError:
        raise
    except Exception as error:  # TensorFlow, tf2onnx and torch each have errors of their own for the same thing
        said = " ".join(str(error).split())[-400:] or type(error).__name__
        raise ModelError(f"the network could not be written as ONNX at {size[0]}x{size[1]} pixels: {said}") from error


def _check(model):
    """Raise ModelError, naming the layer, if a model of ONNX's own operations is not valid."""
    if not all(onnx.defs.has(node.op_type) for node in model.graph.node):
        return  # OpenCV has none of the others, which targets tell
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        said = " ".join(str(error).split())
        named = {name: node for node in model.graph.node for name in node.output}
        found = [named[name] for name in re.findall(r"[Nn](?:ode n)?ame: ?([\w.]+)", said) if name in named]
        where = f"{layer_of(found[0])}: " if found else ""
        raise ModelError(f"{where}this is no valid ONNX, and may be a bug of what wrote it: {said[:400]}") from error
