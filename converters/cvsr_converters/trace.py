"""A trained TensorFlow network → an ONNX graph that fits any size of image.

TensorFlow traces a network well only at a fixed size, and then may bake that size in. So it is traced at two sizes; if
both graphs are the same after the passes, nothing was baked in, and the graph is good for all sizes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tensorflow as tf
import tf2onnx
from onnx import helper, numpy_helper
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from cvsr.errors import ModelError
from cvsr_converters import passes
from cvsr_converters.passes.graph import OPSET

# Multiples of 8 for the networks that halve; no side, and no product of sides, is that of the other.
SIZES = (48, 64), (80, 56)


@dataclass(frozen=True)
class Frozen:
    """A TensorFlow GraphDef without variables, optimised by grappler, and the names of its inputs and outputs."""

    graph: tf.compat.v1.GraphDef
    inputs: list
    outputs: list


def trace(model, channels=None, sizes=SIZES):
    """Return the ONNX model of a network, with canonical names, good for any size of input.

    ``model`` is a Keras model, or a function of TensorFlow, from float32 (N, H, W, C) to (N, H', W', C'); ``channels``
    is C (for a Keras model it is known). The result has (1, C, H, W) inputs and outputs; each node's ``doc_string`` is
    the name of its layer in ``model``. Raises ModelError, naming the layers, where the size of the image is baked in.
    """
    if channels is None:
        shapes = [tuple(tensor.shape) for tensor in getattr(model, "inputs", None) or []]
        if len(shapes) != 1 or len(shapes[0]) != 4 or not shapes[0][3]:
            raise ModelError(
                f"the network must have one input (N, H, W, C) with a known C, not {shapes}; pass channels"
            )
        channels = shapes[0][3]
    first, second = (passes.simplify(to_onnx(freeze(model, (1, *size, channels)))) for size in sizes)
    if found := differences(first, second):
        names = ["x".join(map(str, size)) for size in sizes]
        raise ModelError(
            f"the size of the image is baked into this network (traced at {names[0]} and {names[1]}):\n  "
            + "\n  ".join(found[:5])
            + "\nUse layers that take any size there: no fixed reshape or resize, no weights per pixel."
        )
    return first


def freeze(model, shape):
    """Return the :class:`Frozen` graph of ``model`` for one input of exactly this NHWC shape."""

    def call(x):
        return model(x, training=False) if hasattr(model, "layers") else model(x)

    # Keras wraps grouped convolutions into functions of their own that nothing inlines later; "eagerly" does it here
    eagerly = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        concrete = tf.function(call).get_concrete_function(tf.TensorSpec(shape, tf.float32, name="image"))
    finally:
        tf.config.run_functions_eagerly(eagerly)
    frozen = convert_variables_to_constants_v2(concrete, lower_control_flow=False, aggressive_inlining=True)
    inputs, outputs = ([tensor.name for tensor in tensors] for tensors in (frozen.inputs, frozen.outputs))
    if len(inputs) != 1:
        raise ModelError(f"the network reads {len(inputs)} inputs after freezing ({', '.join(inputs)}); it must be one")
    with tf.Graph().as_default():  # tf2onnx's use of grappler needs a graph to be there
        graph = tf2onnx.tf_loader.tf_optimize(inputs, outputs, frozen.graph.as_graph_def())
    return Frozen(graph, inputs, outputs)


def to_onnx(frozen):
    """Return tf2onnx's ONNX model of a :class:`Frozen` graph; 4-D inputs and outputs become NCHW."""
    model, _ = tf2onnx.convert.from_graph_def(
        frozen.graph,
        input_names=frozen.inputs,
        output_names=frozen.outputs,
        opset=OPSET,
        inputs_as_nchw=frozen.inputs,
        outputs_as_nchw=frozen.outputs,
    )
    return model


def nchw(model):
    """Return ``model`` as a function of numpy arrays in OpenCV's layout: float32 (N, C, H, W) to the same."""

    def call(blob):
        result = np.asarray(model(tf.constant(blob.transpose(0, 2, 3, 1))))
        return np.ascontiguousarray(result.transpose(0, 3, 1, 2))

    return call


def differences(first, second):
    """Return lines that say where two canonical ONNX models differ, but for the sizes of inputs and outputs."""
    lines = []
    for a, b in zip(first.graph.node, second.graph.node, strict=False):
        if _essence(a) != _essence(b):
            lines.append(f"{_place(a)} is {_brief(a)} at the one size and {_brief(b)} at the other")
    constants = [{c.name: numpy_helper.to_array(c) for c in m.graph.initializer} for m in (first, second)]
    for name in constants[0].keys() & constants[1].keys():
        a, b = (values[name] for values in constants)
        if a.shape != b.shape or a.dtype != b.dtype or not np.array_equal(a, b):
            user = next(node for node in first.graph.node if name in node.input)
            lines.append(f"{_place(user)}: {_value(a)} at the one size and {_value(b)} at the other")
    if not lines and (counts := [len(m.graph.node) for m in (first, second)])[0] != counts[1]:
        lines.append(f"the graph has {counts[0]} nodes at the one size and {counts[1]} at the other")
    return sorted(lines)


def _essence(node):
    return node.op_type, list(node.input), list(node.output), [a.SerializeToString() for a in node.attribute]


def _place(node):
    return f"layer {node.doc_string or node.name!r} ({node.op_type})"


def _brief(node):
    attrs = [f"{a.name}={helper.get_attribute_value(a)}" for a in node.attribute]
    return f"{node.op_type}({', '.join([*node.input, *attrs])})"


def _value(array):
    return str(array.tolist()) if array.size <= 8 else f"a constant of shape {array.shape}"
