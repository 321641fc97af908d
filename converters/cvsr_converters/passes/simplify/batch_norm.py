"""Replace BatchNormalization by a multiplication and an addition, as at inference.

    x ── BatchNormalization ── y      →      x ── Mul(·, scale / √var) ── Add(·, bias - mean · scale / √var) ── y

``fold_scale`` and ``fold_bias`` then fold both into an adjacent convolution, if there is one.
"""

import numpy as np

from cvsr_converters.passes.graph import operand


def run(graph):
    nodes, shapes = graph.select("BatchNormalization")
    for node in nodes:
        numbers = [graph.array(node, place) for place in range(1, 5)]
        if any(n is None for n in numbers) or node.attrs.get("training_mode", 0):
            continue
        if len(shapes.get(node.inputs[0], ())) != 4:
            continue
        if any(graph.consumers(extra) or extra in graph.outputs for extra in node.outputs[1:]):
            continue  # a node reads the statistics of training
        scale, bias, mean, var = (n.astype(np.float64) for n in numbers)
        factor = scale / np.sqrt(var + node.attrs.get("epsilon", 1e-5))
        scaled = graph.add(node, "Mul", [node.inputs[0], graph.constant(operand(factor), node.outputs[0])])
        offset = graph.constant(operand(bias - mean * factor), node.outputs[0])
        node.outputs = node.outputs[:1]
        graph.become(node, "Add", [scaled, offset])
