"""Run an ONNX model, and precompute what depends only on the size of its input."""

from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from cvsr.errors import ModelError
from cvsr_converters.sources.onnx.file import one_line, place

RANDOM = frozenset({
    "RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Multinomial", "Bernoulli",
})  # fmt: skip
# Operators whose output size depends on the pixels, or that run subgraphs
LOOSE = frozenset({"Compress", "NonMaxSuppression", "NonZero", "Unique", "If", "Loop", "Scan"})


def open_session(model, *, plain=False):
    """Return an onnxruntime session of an ONNX model; ``plain`` disables its optimizations. Raises ModelError."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # hides warnings about the model's style; errors are raised anyway
    if plain:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has a class for each kind of failure
        raise ModelError(f"onnxruntime cannot load this model: {one_line(error)}") from None


def evaluate(session, blobs) -> list[Any]:
    """Return all outputs of a session for these arrays, in the session's own types; raise ModelError."""
    feeds = {}
    for info, blob in zip(session.get_inputs(), blobs, strict=True):
        feeds[info.name] = np.asarray(blob, helper.tensor_dtype_to_np_dtype(_kind(info.type)))
    try:
        return session.run(None, feeds)
    except Exception as error:
        sizes = ", ".join("x".join(map(str, np.shape(blob))) for blob in blobs)
        raise ModelError(
            f"onnxruntime cannot run this model on an input of {sizes}: {one_line(error)}\n"
            "If its input size is fixed, export it again with dynamic axes and without layers that fix the size."
        ) from None


def _kind(text):
    """Return the ONNX element type that onnxruntime calls ``text``, such as tensor(float)."""
    name = text.removeprefix("tensor(").removesuffix(")").upper()
    return TensorProto.DataType.Value(name)


def resized(model, dims):
    """Return a copy whose inputs have these dimensions, numbers or names, and whose other values have no shape."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    graph = model.graph
    del graph.value_info[:]
    for info, wanted in zip(images_of(graph), dims, strict=True):
        shape = info.type.tensor_type.shape
        shape.Clear()
        for n in wanted:
            shape.dim.add(**({"dim_param": n} if isinstance(n, str) else {"dim_value": n}))
    for info in graph.output:
        info.type.tensor_type.ClearField("shape")
    return model


def images_of(graph):
    """Return the inputs of a graph that are not weights; before IR version 4, weights were inputs too."""
    weights = {weight.name for weight in graph.initializer}
    return [info for info in graph.input if info.name not in weights]


def static(model, dims):
    """Return the model for inputs of exactly these dimensions, without shape arithmetic.

    Whatever depends only on the size of the input, not on its pixels, becomes a constant: Shape and what is computed
    from it, masks, coordinates. onnxruntime computes them with the original model. Raises ModelError.
    """
    model = resized(model, dims)
    graph = model.graph
    known = {weight.name for weight in graph.initializer} | {""}
    stored, kept = set(known), []
    for node in graph.node:
        if node.op_type in ("Shape", "Size") or (node.op_type not in RANDOM and known.issuperset(_reads(node))):
            known.update(node.output)
        elif node.op_type in LOOSE:
            raise ModelError(f"{place(node)} depends on the pixels in a way that OpenCV cannot run; export without it")
        else:
            kept.append(node)
    needed = {name for node in kept for name in node.input} | {info.name for info in graph.output}
    frontier = sorted((needed & known) - stored)
    if frontier:
        values = _evaluate(model, frontier)
        graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in values.items())
    graph.ClearField("node")
    graph.node.extend(kept)
    return model


def _reads(node):
    """Return the values that a node reads, including those that its subgraphs read from outside."""
    names = list(node.input)
    for attribute in node.attribute:
        for inner in [attribute.g] if attribute.HasField("g") else attribute.graphs:
            made = {value for one in inner.node for value in one.output} | {i.name for i in inner.initializer}
            made |= {i.name for i in inner.input}
            names += [name for one in inner.node for name in _reads(one) if name not in made]
            names += [info.name for info in inner.output if info.name not in made]
    return names


def _evaluate(model, names):
    """Return {name: array} of values that depend only on the size of the input."""
    part = onnx.ModelProto.FromString(model.SerializeToString())
    del part.graph.output[:]
    part.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    session = open_session(part, plain=True)
    shapes = [[d.dim_value for d in info.type.tensor_type.shape.dim] for info in images_of(model.graph)]
    return dict(zip(names, map(np.asarray, evaluate(session, [np.zeros(shape) for shape in shapes])), strict=True))
