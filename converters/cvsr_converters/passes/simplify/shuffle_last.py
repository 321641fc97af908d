"""Move elementwise operations from after a pixel shuffle to before it.

    Conv ── DepthToSpace ── Mul(·, k) ── Clip ── output      →      Conv ── Mul(·, k') ── Clip ── DepthToSpace ── output

Arithmetic with constants moves if a convolution can absorb it; everything moves if only an output follows, so that a
target may cut off the shuffle.
"""

import numpy as np

from cvsr_converters.passes.graph import operand, per_channel
from cvsr_converters.passes.simplify.depth_to_space import UNARY


def run(graph):
    for shuffle in [n for n in graph.nodes if n.op == "DepthToSpace"]:
        while (node := _movable(shuffle, graph)) is not None:
            shuffle = _swap(shuffle, node, graph)


def _movable(shuffle, graph):
    """Return the reader of ``shuffle`` that may move before it, or None."""
    node = _next(shuffle, graph)
    if node is None:
        return None
    if node.op in ("Mul", "Add") and graph.producer(shuffle.inputs[0], "Conv"):
        return node
    last = node
    while last.outputs[0] not in graph.outputs:
        if (last := _next(last, graph)) is None:
            return None
    return node if not graph.consumers(last.outputs[0]) else None


def _next(node, graph):
    """Return the only reader of ``node`` if it is elementwise and could move, or None."""
    value = node.outputs[0]
    readers = graph.consumers(value)
    if len(readers) != 1 or value in graph.outputs or readers[0].inputs[0] != value:
        return None
    reader = readers[0]
    if reader.op in UNARY and all(i in graph.constants or not i for i in reader.inputs[1:]):
        return reader
    if reader.op in ("Mul", "Add", "PRelu"):
        numbers = per_channel(graph.array(reader, 1))
        if numbers is not None and (numbers.size == 1 or numbers.size == graph.channels(value)):
            return reader
    return None


def _swap(shuffle, node, graph):
    """Swap the two; return the node that is the shuffle now."""
    inputs, attrs = node.inputs[1:], node.attrs
    if node.op in ("Mul", "Add", "PRelu"):
        numbers = per_channel(graph.array(node, 1))
        block = shuffle.attrs["blocksize"] ** 2
        assert numbers is not None, "see _next"
        if numbers.size > 1:
            by_channel = shuffle.attrs.get("mode", "DCR") == "CRD"
            numbers = np.repeat(numbers, block) if by_channel else np.tile(numbers, block)
        shaped = operand(numbers)
        inputs = [graph.constant(shaped.reshape(-1, 1, 1) if node.op == "PRelu" else shaped, node.outputs[0])]
    op, shuffling = node.op, shuffle.attrs
    node.origin, shuffle.origin = shuffle.origin, node.origin
    graph.become(shuffle, op, [shuffle.inputs[0], *inputs], attrs)
    graph.become(node, "DepthToSpace", [shuffle.outputs[0]], shuffling)
    return node
