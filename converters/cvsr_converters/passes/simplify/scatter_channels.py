"""Replace the assignment to some channels of a value by a Concat.

    x (1,16,H,W), new (1,4,H,W) ── ScatterND to channels 0..3 ── y      →      Concat(new, Slice(x, 4:16)) ── y

``x[:, :4] = new`` in PyTorch, as in the large kernels of PLKSR.
"""

import numpy as np

from cvsr_converters.passes.graph import Node


def run(graph):
    nodes = [n for n in graph.nodes if n.op == "ScatterND" and n.attrs.get("reduction", "none") == "none"]
    shapes = graph.shapes() if nodes else {}
    for node in nodes:
        source, _, new = node.inputs
        shape, found = shapes.get(source, ()), _range(graph.array(node, 1))
        if len(shape) != 4 or shape[0] != 1 or not all(shape) or found is None:
            continue
        first, end = found
        if end > shape[1] or shapes.get(new) != (1, end - first, *shape[2:]):
            continue
        parts = [_part(graph, node, source, 0, first), new, _part(graph, node, source, end, shape[1])]
        node.op, node.inputs, node.attrs = "Concat", [part for part in parts if part], {"axis": 1}
        graph.touch()


def _range(indices):
    """Return (first, end) if ``indices`` are consecutive channels of a single image, else None."""
    if indices is None or indices.shape[-1] != 2 or indices.ndim != 3 or indices.shape[0] != 1 or not indices.size:
        return None
    images, channels = indices[0].T
    if images.any() or channels[0] < 0 or (np.diff(channels) != 1).any():
        return None
    return int(channels[0]), int(channels[-1]) + 1


def _part(graph, node, source, first, end):
    """Return the channels ``first`` to ``end`` of ``source``, or None if there are none."""
    if first == end:
        return None
    value = node.outputs[0]
    limits = [graph.constant(np.array([n]), value) for n in (first, end, 1, 1)]  # starts, ends, axes, steps
    name = f"{value}~from{first}"
    graph.nodes.insert(graph.nodes.index(node), Node("Slice", [source, *limits], [name], {}, node.origin))
    return name
