"""Write the PReLU that Keras and TF1 spell with five nodes as one node.

         ┌── Relu ───────────────────────────┐
    x ───┤                                   Add ── y      →      x ── PRelu (slope -k) ── y
         └── Neg ── Relu ── Mul(·, k) ───────┘

The lower branch is any constant multiple of the negative part of x, min(x, 0): ``Relu(-x)`` is -1 times it,
``x - |x|`` (the form of the public FSRCNN) is 2 times it. One slope for all channels gives a LeakyRelu.
"""

from __future__ import annotations

import numpy as np


def run(graph):
    """Apply the rewrite wherever it fits; return whether the graph has changed."""
    changed = False
    for node in list(graph.nodes):
        if node.op in ("Add", "Sub") and (found := _match(node, graph)):
            source, slope = found
            if slope.size == 1:
                node.op, node.inputs, node.attrs = "LeakyRelu", [source], {"alpha": float(slope.ravel()[0])}
            else:
                slope = slope.reshape(-1, 1, 1).astype(np.float32)
                node.op, node.inputs, node.attrs = "PRelu", [source, graph.constant(slope, node.outputs[0])], {}
            graph.touch()
            changed = True
    return changed


def _match(node, graph):
    """Return (x, slope) if ``node`` is relu(x) ± slope * min(x, 0) with one slope per channel, else None."""
    ways = [(node.inputs[0], node.inputs[1], 1 if node.op == "Add" else -1)]
    if node.op == "Add":
        ways.append((node.inputs[1], node.inputs[0], 1))
    for upper, lower, sign in ways:
        relu, found = graph.producer(upper, "Relu"), _negative_part(lower, graph)
        if relu is not None and found and found[0] == relu.inputs[0] and _per_channel(found[1]):
            return found[0], sign * found[1]
    return None


def _negative_part(value, graph):
    """Return (x, factor) if ``value`` is factor * min(x, 0), else None."""
    node = graph.producer(value)
    if node is None:
        return None
    if node.op == "Mul":
        for inner, factor in (node.inputs, node.inputs[::-1]):
            if factor in graph.constants and (found := _negative_part(inner, graph)):
                return found[0], found[1] * graph.constants[factor]
    if node.op == "Relu" and (neg := graph.producer(node.inputs[0], "Neg")) is not None:
        return neg.inputs[0], np.float32(-1)
    if node.op == "Sub":
        absolute = graph.producer(node.inputs[1], "Abs")
        if absolute is not None and absolute.inputs == node.inputs[:1]:
            return node.inputs[0], np.float32(2)
    return None


def _per_channel(factor):
    return factor.size == 1 or (factor.ndim in (3, 4) and factor.size == factor.shape[-3])
