"""Keep four axes for values of one number per channel, as in the dense layers of channel attention.

    x ── GlobalAveragePool ── Reshape (1,C) ── MatMul ── Relu ── MatMul ── Sigmoid ── Reshape (1,C,1,1) ── y
    →
    x ── GlobalAveragePool ── Conv 1x1 ── Relu ── Conv 1x1 ── Sigmoid ── y

The step from four axes to two, written as a Squeeze, moves towards the outputs until it meets its inverse.
"""

import numpy as np

from cvsr_converters.passes.simplify.reduce import OPS as REDUCTIONS
from cvsr_converters.passes.simplify.reshape import permutation
from cvsr_converters.passes.simplify.sink_transposes import ELEMENTWISE

AXES = np.array([2, 3])


def run(graph):
    nodes, shapes = graph.select("Reshape", "Squeeze", "Flatten", *REDUCTIONS)
    for node in nodes:
        before, after = shapes.get(node.inputs[0], ()), shapes.get(node.outputs[0], ())
        if len(before) == 4 and len(after) == 2 and after[0] == 1 and after[1] > 0:
            _squeeze(node, before, after[1], graph)
    if any(_flat(value, graph) for node in graph.nodes for value in node.outputs):
        for node in list(graph.nodes):
            _push(node, shapes, graph)


def _flat(value, graph):
    """Return the Squeeze from (1, C, 1, 1) to (1, C) that makes ``value``, or None."""
    node = graph.producer(value, "Squeeze")
    axes = None if node is None else graph.array(node, 1)
    return node if axes is not None and axes.tolist() == [2, 3] else None


def _squeeze(node, before, channels, graph):
    """Rewrite the step from four axes to two as a Squeeze of (1, C, 1, 1)."""
    source = node.inputs[0]
    if node.op in REDUCTIONS:
        axes = graph.array(node, 1)
        axes = node.attrs.get("axes") if axes is None else axes.tolist()
        kept = [axis for axis in range(4) if axes and axis not in [a % 4 for a in axes]]
        if node.attrs.get("keepdims", 1) or len(kept) != 2 or kept[0] != 0:
            return False
        source = graph.add(node, node.op, node.inputs, node.attrs | {"keepdims": 1})
        before = tuple(n if axis in kept else 1 for axis, n in enumerate(before))
    elif _flat(node.outputs[0], graph):
        return False
    perm = permutation(before, (1, channels, 1, 1))
    if perm is None:
        return False
    if perm != [0, 1, 2, 3]:
        source = graph.add(node, "Transpose", [source], {"perm": perm})
    graph.become(node, "Squeeze", [source, graph.constant(AXES, node.outputs[0])])
    return True


def _push(node, shapes, graph):
    """Make ``node`` work on four axes and squeeze its result; return whether that was possible."""
    flat = {value: squeeze for value in node.inputs if (squeeze := _flat(value, graph))}
    if not flat or any(v and v not in flat and v not in graph.constants for v in node.inputs):
        return False
    source = [flat[v].inputs[0] if v in flat else v for v in node.inputs]
    if node.op in ("MatMul", "Gemm"):
        return _dense(node, source, flat, graph)
    if node.op in ("Reshape", "Unsqueeze"):
        after = shapes.get(node.outputs[0], ())
        perm = permutation((1, shapes.get(node.inputs[0], (0, 0))[-1], 1, 1), after)
        if perm is not None:
            graph.become(node, "Transpose", source[:1], {"perm": perm})
        return perm is not None
    if node.op in ELEMENTWISE:
        for place, value in enumerate(node.inputs):
            array = graph.constants.get(value)
            if array is not None and array.ndim > 2:
                return False
            if array is not None and array.ndim and node.op != "Clip":
                source[place] = graph.constant(array.reshape(-1, 1, 1), node.outputs[0])
    elif not (node.op in ("Concat", "Softmax") and node.attrs.get("axis", -1) in (1, -1)):
        return False
    attrs = node.attrs | ({"axis": 1} if "axis" in node.attrs or node.op == "Softmax" else {})
    _behind(node, graph.add(node, node.op, source, attrs), graph)
    return True


def _behind(node, value, graph):
    graph.become(node, "Squeeze", [value, graph.constant(AXES, node.outputs[0])])


def _dense(node, source, flat, graph):
    weight, bias = graph.array(node, 1), graph.array(node, 2)
    if weight is None or weight.ndim != 2 or node.inputs[0] not in flat or node.attrs.get("transA", 0):
        return False
    if len(node.inputs) > 2 and (
        bias is None or bias.size not in (1, weight.shape[0 if node.attrs.get("transB") else 1])
    ):
        return False
    kernel = weight if node.attrs.get("transB", 0) else weight.T
    kernel = (kernel * node.attrs.get("alpha", 1.0)).astype(np.float32)[:, :, None, None]
    inputs = [source[0], graph.constant(kernel, node.outputs[0])]
    if bias is not None:
        bias = np.broadcast_to(bias.ravel() * node.attrs.get("beta", 1.0), len(kernel)).astype(np.float32)
        inputs.append(graph.constant(bias, node.outputs[0]))
    _behind(node, graph.add(node, "Conv", inputs, {"kernel_shape": [1, 1]}), graph)
    return True
