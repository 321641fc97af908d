"""What the tests of the passes share: small graphs in ONNX's text form, and running them before and after."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper, parser

from cvsr_converters import passes
from cvsr_converters.passes.simplify import drop_dead

random = np.random.default_rng(7)


def weights(*shape):
    return random.normal(size=shape).astype(np.float32)


def model(body, channels=4, out=(1, 4, 6, 10), **constants):
    """Return the ONNX model of a graph in ONNX's text form, from x (1, channels, 6, 10) to y."""
    dims = ",".join(map(str, out))
    text = f'<ir_version: 7, opset_import: ["": 13]> g (float[1,{channels},6,10] x) => (float[{dims}] y) {{ {body} }}'
    result = parser.parse_model(text)
    result.graph.initializer.extend(numpy_helper.from_array(np.asarray(a), n) for n, a in constants.items())
    return result


def run(onnx_model):
    """Return the outputs for a random x: positive and negative numbers, always the same."""
    shape = [d.dim_value for d in onnx_model.graph.input[0].type.tensor_type.shape.dim]
    x = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(onnx_model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {onnx_model.graph.input[0].name: x})


def ops(onnx_model):
    return [n.op_type for n in onnx_model.graph.node]


def same(before, after, tolerance=1e-5):
    """Check that two models give the same numbers."""
    onnx.checker.check_model(after, full_check=True)
    for a, b in zip(run(before), run(after), strict=True):
        np.testing.assert_allclose(b, a, rtol=tolerance, atol=tolerance)


def rewritten(rewrite, before, changes=True, tolerance=1e-5):
    """Apply one pass; check that it says whether it fired, and that the numbers stay; return the ops after it."""
    return ops(rewritten_model(rewrite, before, changes, tolerance))


def rewritten_model(rewrite, before, changes=True, tolerance=1e-5):
    """Do as :func:`rewritten`; return the model."""
    text = before.SerializeToString()
    graph = passes.Graph(before)
    assert passes.apply(rewrite, graph) is changes
    passes.apply(drop_dead, graph)
    after = graph.to_model()
    same(before, after, tolerance)
    assert before.SerializeToString() == text, "a pass must not write into the model that it was given"
    while passes.apply(rewrite, graph):  # what it finds in its own work must end
        passes.apply(drop_dead, graph)
        same(before, graph.to_model(), tolerance)
    if not changes:
        assert ops(before) == ops(after)
    return after


def attributes(graph_model, op):
    node = next(n for n in graph_model.graph.node if n.op_type == op)
    return {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
