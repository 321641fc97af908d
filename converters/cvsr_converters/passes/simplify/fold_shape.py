"""Compute values that depend only on the shape of a value, at the size at which the graph was traced.

    x (1,48,64,3) ── Shape ── y      →      y = 1, 48, 64, 3

``fold_constants`` computes what follows from them. The second trace shows whether a remaining constant depends on the
size of the image.
"""

import numpy as np


def run(graph):
    nodes, shapes = graph.select("Shape", "Size")
    for node in nodes:
        shape = shapes.get(node.inputs[0])
        if shape is None or 0 in shape or node.outputs[0] in graph.outputs:
            continue
        begin, end = node.attrs.get("start", 0), node.attrs.get("end", len(shape))
        array = np.array(shape[begin:end], np.int64) if node.op == "Shape" else np.array(np.prod(shape), np.int64)
        graph.constants[node.outputs[0]] = array
        graph.nodes.remove(node)
        graph.touch()
