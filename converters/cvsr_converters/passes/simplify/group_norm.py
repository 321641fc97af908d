"""Replace group normalization by means over the image and 1x1 convolutions.

    x ── Reshape (1,G,-1) ── InstanceNormalization ── Reshape (1,C,H,W) ── y
    →
        ┌───────────────────────────┐
    x ──┴── mean of each group ── Sub ──┬───────────────────────────────────────┐
                                        └── Mul (itself) ── mean ── + ε ── Sqrt ── Div ── y

"mean of each group" is GlobalAveragePool and a 1x1 convolution that averages the channels of a group. The Reshapes
depend on the size of the image; this form fits any size. PyTorch exports torch.nn.GroupNorm with such Reshapes.
"""

import numpy as np

from cvsr_converters.passes.simplify.spell_out import normalise


def run(graph):
    nodes, shapes = graph.select("InstanceNormalization")
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


def _write(graph, node, source, last, channels, groups, scale, bias):
    """Replace ``last``, the second Reshape, by the new form; drop_dead removes the old nodes."""
    size = channels // groups
    kernel = graph.constant(average(groups, size), last.outputs[0])

    def mean(value):
        pooled = graph.add(last, "GlobalAveragePool", [value])
        return graph.add(last, "Conv", [pooled, kernel], {"kernel_shape": [1, 1]})

    epsilon = node.attrs.get("epsilon", 1e-5)
    normalise(last, source, mean, scale.repeat(size), bias.repeat(size), epsilon, graph)


def average(groups, size):
    """Return the 1x1 kernel that gives each channel the mean of its group of ``size`` channels."""
    return np.kron(np.eye(groups), np.full((size, size), 1 / size)).astype(np.float32)[:, :, None, None]
