"""Merge two consecutive convolutions if that is exact and costs no more.

    x ── Conv 3x3 (16 → 256) ── Conv 1x1 (256 → 16) ── y      →      x ── Conv 3x3 (16 → 16) ── y

SESR has such linear bottlenecks, and ECBSR and similar networks after other passes. Two cases are exact: the second
convolution has no padding; or the first is 1x1 without bias, so that padding before or after it makes no difference.
"""

from dataclasses import replace

import numpy as np

from cvsr_converters.passes.simplify import linear


def run(graph):
    for node in [n for n in graph.nodes if n.op == "Conv"]:
        first, second = linear.of(graph.producer(node.inputs[0]), graph), linear.of(node, graph)
        if first is None or second is None or not graph.only_feeds(node.inputs[0], node):
            continue
        both = compose(first, second) if size(first, second) <= first.cost + second.cost else None
        if both is not None:
            linear.write(both, node, graph)


def size(first, second):
    """Return the number of weights of the merged convolution."""
    height, width = np.add(first.kernel, second.kernel) - 1
    return len(second.weight) * first.weight.shape[1] * first.group * int(height) * int(width)


def compose(first, second):
    """Return the Linear that is ``second`` after ``first``, or None if no exact one exists."""
    pointwise = [c.kernel == (1, 1) and not any(c.pads) and c.strides == (1, 1) for c in (first, second)]
    plain = first.strides == first.dilations == second.dilations == (1, 1) and not any(second.pads)
    if not (pointwise[1] or plain or (pointwise[0] and not first.bias.any())):
        return None
    a, b = first.dense(), second.dense()
    (h, w), (k, j) = first.kernel, second.kernel
    weight = np.zeros((len(b), a.shape[1], h + k - 1, w + j - 1))
    for row in range(k):
        for column in range(j):
            weight[:, :, row : row + h, column : column + w] += np.tensordot(b[:, :, row, column], a, axes=1)
    bias = second.bias + b.sum(axis=(2, 3)) @ first.bias
    outer = first if pointwise[1] else second
    pads = tuple(p + q for p, q in zip(first.pads, second.pads, strict=True))
    both = replace(outer, source=first.source, weight=weight, bias=bias, pads=pads, group=1)
    return replace(both, cost=first.cost + second.cost)
