"""Compute values that do not depend on any input.

    const ── Transpose ── Conv            const' ── Conv
                           │        →               │
               x ──────────┘              x ────────┘

Random numbers are not constants, even if their inputs are.
"""

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from cvsr_converters.passes.graph import OPSET

RANDOM = {"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Multinomial", "Bernoulli"}


def run(graph):
    for node in list(graph.nodes):  # in order: a folded node may make the next one foldable
        if "::" in node.op or node.op in RANDOM or not all(i in graph.constants or not i for i in node.inputs):
            continue
        values = evaluate(node, graph.constants)
        graph.constants.update(zip(node.outputs, values, strict=True))
        graph.nodes.remove(node)
        graph.touch()


def evaluate(node, arrays):
    """Return the outputs of ``node``, one array each; ``arrays`` has its inputs by name."""
    if node.op == "Constant" and "value" in node.attrs:
        return [numpy_helper.to_array(node.attrs["value"])]
    used = {name: arrays[name] for name in node.inputs if name}
    inputs, outputs = (
        [helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None) for name in names]
        for names in (used, node.outputs)
    )
    proto = helper.make_node(node.op, node.inputs, node.outputs, **node.attrs)
    model = helper.make_model(
        helper.make_graph([proto], "one", inputs, outputs), opset_imports=[helper.make_opsetid("", OPSET)]
    )
    return [np.asarray(value) for value in ReferenceEvaluator(model).run(None, used)]
