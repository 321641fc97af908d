"""Rewrite arithmetic on groups of channels, which has five axes, with four axes.

    x (1,H,W,C) ── Reshape (1,H,W,G,C/G) ── ReduceMean 1,2,4 ── Sub, Mul … ── Reshape (1,H,W,C) ── y
    →
    x ── Transpose ── GlobalAveragePool ── Conv 1x1 (mean of each group) ── Sub, Mul … ── Transpose ── y

Keras writes GroupNormalization this way, and its Reshapes depend on the size of the image. A number per group becomes
equal numbers for each of its channels.
"""

import numpy as np

from cvsr_converters.passes.graph import FIRST, LAST
from cvsr_converters.passes.simplify.group_norm import average
from cvsr_converters.passes.simplify.sink_transposes import ELEMENTWISE


def run(graph):
    nodes, shapes = graph.select("Reshape")
    for node in nodes:
        before, after = shapes.get(node.inputs[0], ()), shapes.get(node.outputs[0], ())
        if len(before) != 4 or len(after) != 5 or 0 in before or before[:3] != after[:3] or before[0] != 1:
            continue
        if after[3] * after[4] == before[3] and (region := _region(node, before, after[3:], shapes, graph)):
            _write(node, *region, after[3:], graph)


def _region(node, before, groups, shapes, graph):
    """Return (the nodes on five axes after ``node``, in order; the Reshapes back to four axes), or None."""
    inside, ends, values, waiting = set(), [], set(node.outputs), list(node.outputs)
    while waiting:
        value = waiting.pop()
        if value in graph.outputs:
            return None
        for reader in graph.consumers(value):
            if reader.op == "Reshape":
                if shapes.get(reader.outputs[0]) != before:
                    return None
                ends.append(reader)
            elif not _fits(reader, groups, graph):
                return None
            elif reader not in inside:
                inside.add(reader)
                values.update(reader.outputs)
                waiting += reader.outputs
    if any(i and i not in values and i not in graph.constants for n in inside for i in n.inputs):
        return None
    return [n for n in graph.nodes if n in inside], ends


def _fits(node, groups, graph):
    if node.op == "ReduceMean":
        return sorted(axis % 5 for axis in node.attrs.get("axes", [])) == [1, 2, 4] and node.attrs.get("keepdims", 1)
    if node.op not in ELEMENTWISE - {"PRelu"}:
        return False
    arrays = [graph.constants[i] for i in node.inputs if i in graph.constants]
    return all(_spread(array, groups) is not None for array in arrays)


def _spread(array, groups):
    """Return a constant operand of five axes as one of four, or None if it is not the same for all pixels."""
    if array.size == 1:
        return array.reshape(())
    *pixels, group, size = (1,) * (5 - array.ndim) + array.shape
    if pixels != [1, 1, 1] or group not in (1, groups[0]) or size not in (1, groups[1]):
        return None
    return np.broadcast_to(array.reshape(group, size), groups).reshape(1, -1, 1, 1)


def _write(node, inside, ends, groups, graph):
    """Make the nodes ``inside`` work on (1, C, H, W), and replace the Reshapes by Transposes."""
    graph.become(node, "Transpose", node.inputs[:1], {"perm": LAST})
    for one in inside:
        if one.op == "ReduceMean":
            mean = graph.add(one, "GlobalAveragePool", one.inputs[:1])
            kernel = graph.constant(average(*groups), one.outputs[0])
            graph.become(one, "Conv", [mean, kernel], {"kernel_shape": [1, 1]})
            continue
        for place, value in enumerate(one.inputs):
            if value in graph.constants:
                one.inputs[place] = graph.constant(_spread(graph.constants[value], groups), one.outputs[0])
        graph.note(one)
    for end in ends:
        graph.become(end, "Transpose", end.inputs[:1], {"perm": FIRST})
