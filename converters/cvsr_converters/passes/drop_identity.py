"""Remove what does nothing at inference.

    x ── Identity ── y ── Conv            x ── Conv
    x ── Dropout  ── y ── Conv      →     x ── Conv

A Dropout whose mask is read, or that is training, stays.
"""

from __future__ import annotations


def run(graph):
    """Apply the rewrite wherever it fits; return whether the graph has changed."""
    changed = False
    for node in list(graph.nodes):
        if node.op == "Identity" or (node.op == "Dropout" and _idle(node, graph)):
            changed |= graph.bypass(node)
    return changed


def _idle(node, graph):
    """Return whether a Dropout is not training and nobody reads its mask."""
    training = node.inputs[2] if len(node.inputs) > 2 else ""
    if training and not (training in graph.constants and not graph.constants[training].any()):
        return False
    return not any(graph.consumers(mask) or mask in graph.outputs for mask in node.outputs[1:])
