"""Write a normalisation by groups of channels with means over the image and 1x1 convolutions.

    x ── Reshape (1,G,-1) ── InstanceNormalization ── Reshape (1,C,H,W) ── y

        ┌───────────────────────────┐
    x ──┴── mean of each group ── Sub ──┬───────────────────────────────────────┐
                                        └── Mul (itself) ── mean ── + ε ── Sqrt ── Div ── y

"mean of each group": GlobalAveragePool, and a 1x1 convolution that averages the channels of a group. The Reshapes hold
the size of the image; this fits any. PyTorch writes torch.nn.GroupNorm so.
"""

from __future__ import annotations

import numpy as np

from cvsr_converters.passes.graph import Node


def run(graph):
    """Apply the rewrite wherever it fits; return whether the graph has changed."""
    nodes = [n for n in graph.nodes if n.op == "InstanceNormalization"]
    shapes = graph.shapes() if nodes else {}
    changed = False
    for node in nodes:
        flat = graph.producer(node.inputs[0], "Reshape")
        readers = graph.consumers(node.outputs[0])
        if flat is None or len(readers) != 1 or readers[0].op != "Reshape" or node.outputs[0] in graph.outputs:
            continue
        shape, groups = shapes.get(flat.inputs[0], ()), shapes.get(node.inputs[0], ())
        if len(shape) != 4 or len(groups) != 3 or not all((*shape, *groups)) or shape[0] != 1 or shape[1] % groups[1]:
            continue
        limits = [graph.array(node, place) for place in (1, 2)]
        if shapes.get(readers[0].outputs[0]) == shape and all(limit is not None for limit in limits):
            _write(graph, node, flat.inputs[0], readers[0], shape[1], groups[1], *limits)
            changed = True
    return changed


def _write(graph, node, source, last, channels, groups, scale, bias):
    """Replace ``last``, the Reshape back, by the whole; what it read is left to drop_dead."""
    size, made, value = channels // groups, [], last.outputs[0]

    def add(op, *inputs, **attrs):
        name = f"{value}~{op}{len(made)}"
        made.append(Node(op, list(inputs), [name], attrs, node.origin))
        return name

    average = np.kron(np.eye(groups), np.full((size, size), 1 / size)).astype(np.float32)[:, :, None, None]
    average = graph.constant(average, value)

    def mean(name):
        return add("Conv", add("GlobalAveragePool", name), average, kernel_shape=[1, 1])

    def spread(array):
        return graph.constant(array.astype(np.float32).repeat(size).reshape(1, channels, 1, 1), value)

    centered = add("Sub", source, mean(source))
    epsilon = graph.constant(np.float32(node.attrs.get("epsilon", 1e-5)), value)
    deviation = add("Sqrt", add("Add", mean(add("Mul", centered, centered)), epsilon))
    normal = add("Div", centered, deviation)
    made.append(Node("Add", [add("Mul", normal, spread(scale)), spread(bias)], [value], {}, node.origin))
    place = graph.nodes.index(last)
    graph.nodes[place : place + 1] = made
    graph.touch()
