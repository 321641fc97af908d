"""A TensorFlow network → an :class:`Original`: run it, or freeze it at one size and translate it to ONNX."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
import tf2onnx
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from cvsr.errors import ModelError
from cvsr_converters.facts import UNKNOWN
from cvsr_converters.original import Input, Original
from cvsr_converters.passes.graph import OPSET

PROBE = (48, 64)  # a size at which networks are traced to find their outputs; large enough for "valid" padding


@dataclass(frozen=True)
class Frozen:
    """A TensorFlow GraphDef without variables, optimized by grappler, and the names of its inputs and outputs."""

    graph: tf.compat.v1.GraphDef
    inputs: list
    outputs: list


def original(model, channels=None, *, inputs=None, name="model", layout="NHWC", facts=UNKNOWN, notes=()):
    """Return the :class:`Original` of a network in TensorFlow.

    ``model`` is a Keras model or a function from float32 tensors, one for each input, to a tensor, or a list or dict
    of them, all in ``layout``. Unless it is a Keras model, pass ``channels`` for one input, or ``inputs``, a list of
    :class:`Input`. Raises ModelError.
    """
    inputs = inputs or _inputs(model, channels)
    function = _function(model, layout)
    shapes = [_shape(PROBE, one, layout) for one in inputs]
    traced = tf.function(function).get_concrete_function(*(tf.TensorSpec(s, tf.float32) for s in shapes))
    outputs = named(traced.structured_outputs)
    for label, spec in outputs.items():
        if len(spec.shape) != 4:
            raise ModelError(f"the output {label!r} has the shape {spec.shape}, which is not an image: choose another")
    order = list(outputs)

    def run(*blobs):
        tensors = [tf.constant(blob if layout == "NCHW" else blob.transpose(0, 2, 3, 1)) for blob in blobs]
        results = named(function(*tensors))
        arrays = [np.asarray(results[label], np.float32) for label in order]
        return [np.ascontiguousarray(a if layout == "NCHW" else a.transpose(0, 3, 1, 2)) for a in arrays]

    def graph(size):
        return to_onnx(freeze(model, [_shape(size, one, layout) for one in inputs], layout), layout)

    return Original(name, inputs, order, run, graph, facts, list(notes))


def _inputs(model, channels):
    if channels is not None:
        return [Input("image", channels)]
    tensors = getattr(model, "inputs", None) or []
    shapes = [tuple(tensor.shape) for tensor in tensors]
    if not shapes or any(len(shape) != 4 or not shape[3] for shape in shapes):
        raise ModelError(f"the network must have inputs (N, H, W, C) with a known C, not {shapes}; pass channels")
    return [Input(tensor.name, shape[3]) for tensor, shape in zip(tensors, shapes, strict=True)]


def _function(model, layout):
    """Return a function of tensors that runs ``model`` in inference mode."""

    def call(*tensors):
        fed = tensors[0] if len(tensors) == 1 else list(tensors)
        if hasattr(model, "layers"):
            return model(fed, training=False)
        return model(*tensors)

    return call


def named(result):
    """Return {name: tensor} of a network's result: a tensor, a list or a dict."""
    if isinstance(result, dict):
        return dict(sorted(result.items()))
    if isinstance(result, (list, tuple)):
        tensors: list[Any] = list(result)
        return {f"output{i}": each for i, each in enumerate(tensors)} if len(tensors) > 1 else {"output": tensors[0]}
    return {"output": result}


def _shape(size, one, layout):
    height, width = (n * one.factor for n in size)
    return (1, height, width, one.channels) if layout == "NHWC" else (1, one.channels, height, width)


def freeze(model, shapes, layout="NHWC"):
    """Return the :class:`Frozen` graph of ``model`` for inputs of exactly these shapes."""
    function = _function(model, layout)

    def call(*tensors):
        return list(named(function(*tensors)).values())

    specs = [tf.TensorSpec(shape, tf.float32, name=f"image{i}") for i, shape in enumerate(shapes)]
    # Keras wraps grouped convolutions in functions that are not inlined later; running eagerly avoids them
    eagerly = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        concrete = tf.function(call).get_concrete_function(*specs)
    finally:
        tf.config.run_functions_eagerly(eagerly)
    frozen = convert_variables_to_constants_v2(concrete, lower_control_flow=False, aggressive_inlining=True)
    inputs, outputs = ([tensor.name for tensor in tensors] for tensors in (frozen.inputs, frozen.outputs))
    if len(inputs) != len(shapes):
        raise ModelError(
            f"the network reads {len(inputs)} inputs after freezing ({', '.join(inputs)}); it must read {len(shapes)}"
        )
    with tf.Graph().as_default():  # tf2onnx needs a current graph to run grappler
        graph = tf2onnx.tf_loader.tf_optimize(inputs, outputs, frozen.graph.as_graph_def())
    return Frozen(graph, inputs, outputs)


def to_onnx(frozen, layout="NHWC"):
    """Return tf2onnx's ONNX model of a :class:`Frozen` graph; 4-D inputs and outputs are NCHW."""
    nhwc = layout == "NHWC"
    model, _ = tf2onnx.convert.from_graph_def(
        frozen.graph,
        input_names=frozen.inputs,
        output_names=frozen.outputs,
        opset=OPSET,
        inputs_as_nchw=frozen.inputs if nhwc else None,
        outputs_as_nchw=frozen.outputs if nhwc else None,
    )
    return model
