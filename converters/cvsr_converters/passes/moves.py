"""Recognise what a group of operations that only move numbers does, however it is written.

    x ── Reshape (1,3,2,2,H,W) ── Transpose 0,1,4,2,5,3 ── Reshape ── y      →      x ── DepthToSpace (CRD) ── y
    x (1,H,W,C) ── Reshape ── Transpose ── Reshape ── y      →      x ── Transpose ── DepthToSpace ── Transpose ── y
    x ── Split ── DepthToSpace of each ── Concat ── y        →      x ── DepthToSpace (CRD) ── y
    x ── Tile, Reshape, Split, Concat … ── y                 →      x ── Resize (nearest) ── y
    x ── Reshape ── Transpose ── Reshape ── y (channel shuffle)      →      x ── Conv 1x1 (one-hot) ── y

Every number of the input gets a number of its own; where those are in the output says what the group does. So it does
not matter how it is written. Their sizes, which hold the size of the image, vanish.
"""

from __future__ import annotations

import math

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from cvsr_converters.passes.graph import OPSET
from cvsr_converters.passes.resize import REPEAT

SIZED = {"Reshape", "Squeeze", "Unsqueeze", "Flatten", "Tile", "Expand", "Gather"}  # they hold sizes, or change ranks
SHUFFLING = {"DepthToSpace", "SpaceToDepth"}
MOVING = SIZED | SHUFFLING | {"Transpose", "Slice", "Split", "Concat"}
LARGEST = 4_000_000  # numbers in a value that is looked at
LAST, FIRST = [0, 3, 1, 2], [0, 2, 3, 1]  # Transposes from channels last to first, and back


def run(graph):
    """Apply the rewrite wherever it fits; return whether the graph has changed."""
    if not _worth_a_look(graph.nodes):
        return False
    shapes, changed, done = graph.shapes(), False, set()
    for node in reversed(list(graph.nodes)):
        if node.op not in MOVING or node in done or len(node.outputs) != 1 or not _image(node.outputs[0], shapes):
            continue
        for source, group in _groups(node, shapes, graph):
            if found := _recognised(source, group, node, shapes, graph):
                _write(source, node, found, graph)
                done |= group
                changed = True
                break
    return changed


def _worth_a_look(nodes):
    """Return whether there is more than OpenCV does with an image of any size anyway."""
    ops = {n.op for n in nodes}
    across = any(n.op == "Concat" and n.attrs["axis"] not in (1, -3) for n in nodes)
    return across or bool(ops & SIZED) or ("Concat" in ops and bool(ops & SHUFFLING))


def _image(value, shapes):
    shape = shapes.get(value, ())
    return len(shape) == 4 and shape[0] == 1 and 0 < math.prod(shape) <= LARGEST


def _groups(node, shapes, graph):
    """Yield (source, nodes between it and ``node``), the largest group first, then what is left of a plain chain."""
    group, sources, waiting, chain = {node}, [], [node], []
    while waiting:
        for value in waiting.pop().inputs:
            above = graph.producer(value)
            if above is not None and above.op in MOVING:
                if above not in group:
                    waiting.append(above)
                group.add(above)
            elif value and value not in graph.constants and value not in sources:
                sources.append(value)
    if len(sources) == 1 and _image(sources[0], shapes):
        yield sources[0], group
    above = node
    while above is not None and above.op in MOVING and above.op not in ("Concat", "Split"):
        chain.append(above)
        above = graph.producer(above.inputs[0])
    for length in range(len(chain) - 1, 1, -1):
        value = chain[length - 1].inputs[0]
        if _image(value, shapes) and value not in sources:
            yield value, set(chain[:length])


def _recognised(source, group, node, shapes, graph):
    """Return what the group does as (kind, block, channels last before, channels last after), or None."""
    if not _worth_a_look(group):
        return None
    before, after = shapes[source], shapes[node.outputs[0]]
    guesses = list(_guesses(before, after))
    if not guesses:
        return None
    moved = _moved(source, group, node, before, graph)
    numbers = np.arange(math.prod(before)).reshape(before)
    for kind, block, last_before, last_after in guesses:
        first = numbers.transpose(LAST) if last_before else numbers
        result = KINDS[kind](first, block)
        result = result.transpose(FIRST) if last_after else result
        if np.array_equal(result, moved):
            return kind, block, last_before, last_after
    first = moved  # channels that change places, all pixels alike
    if before[2:] == after[2:] and np.array_equal(first, numbers[:, first[0, :, 0, 0] // math.prod(before[2:])]):
        order = first[0, :, 0, 0] // math.prod(before[2:])
        return "order", order, False, False
    return None


def _guesses(before, after):
    """Yield what could be, judged by the shapes."""
    if before == after:
        yield "same", 1, False, False
    for last_before in (False, True):
        for last_after in (False, True):
            (_, c, h, w), (_, d, i, j) = (
                [s[k] for k in LAST] if last else s for s, last in ((before, last_before), (after, last_after))
            )
            if (c, h, w) == (d, i, j) and last_before != last_after:
                yield "same", 1, last_before, last_after
            larger, smaller = (i // h, h // i)
            if larger > 1 and (i, j) == (h * larger, w * larger):
                kinds = ("CRD", "DCR") if c == d * larger**2 else ("repeat",) if c == d else ()
                yield from ((kind, larger, last_before, last_after) for kind in kinds)
            if smaller > 1 and (h, w) == (i * smaller, j * smaller) and d == c * smaller**2:
                yield from ((kind, smaller, last_before, last_after) for kind in ("to depth", "to depth CRD"))


def _crd(x, s):
    _, c, h, w = x.shape
    return x.reshape(1, c // s**2, s, s, h, w).transpose(0, 1, 4, 2, 5, 3).reshape(1, c // s**2, h * s, w * s)


def _dcr(x, s):
    _, c, h, w = x.shape
    return x.reshape(1, s, s, c // s**2, h, w).transpose(0, 3, 4, 1, 5, 2).reshape(1, c // s**2, h * s, w * s)


def _to_depth(x, s, order):
    _, c, h, w = x.shape
    return x.reshape(1, c, h // s, s, w // s, s).transpose(order).reshape(1, c * s * s, h // s, w // s)


KINDS = {
    "same": lambda x, s: x,
    "CRD": _crd,
    "DCR": _dcr,
    "repeat": lambda x, s: x.repeat(s, 2).repeat(s, 3),
    "to depth": lambda x, s: _to_depth(x, s, (0, 3, 5, 1, 2, 4)),
    "to depth CRD": lambda x, s: _to_depth(x, s, (0, 1, 3, 5, 2, 4)),
}


def _moved(source, group, node, shape, graph):
    """Return the result of the group for an input of 0, 1, 2, …"""
    nodes = [n for n in graph.nodes if n in group]
    used = {value for n in nodes for value in n.inputs if value in graph.constants}
    model = helper.make_model(
        helper.make_graph(
            [helper.make_node(n.op, n.inputs, n.outputs, **n.attrs) for n in nodes],
            "moves",
            [helper.make_tensor_value_info(source, TensorProto.INT64, shape)],
            [helper.make_tensor_value_info(node.outputs[0], TensorProto.INT64, None)],
            [numpy_helper.from_array(graph.constants[name], name) for name in sorted(used)],
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
    )
    return ReferenceEvaluator(model).run(None, {source: np.arange(math.prod(shape)).reshape(shape)})[0]


def _write(source, node, found, graph):
    """Make ``node`` the last of the few operations that do what was found."""
    kind, block, last_before, last_after = found
    x = graph.add(node, "Transpose", [source], {"perm": LAST}) if last_before else source
    op, more, attrs = _operation(kind, block, node, graph)
    if last_after:
        graph.become(node, "Transpose", [graph.add(node, op, [x, *more], attrs)], {"perm": FIRST})
    else:
        graph.become(node, op, [x, *more], attrs)


def _operation(kind, block, node, graph):
    """Return (op, further inputs, attributes)."""
    like = node.outputs[0]
    if kind in ("CRD", "DCR"):
        return "DepthToSpace", [], {"blocksize": block, "mode": kind}
    if kind == "repeat":
        return "Resize", ["", graph.constant(np.array([1, 1, block, block], np.float32), like)], dict(REPEAT)
    if kind == "to depth":
        return "SpaceToDepth", [], {"blocksize": block}
    if kind == "order":
        kernel = np.eye(int(block.max()) + 1, dtype=np.float32)[block]
        return "Conv", [graph.constant(kernel[:, :, None, None], like)], {"kernel_shape": [1, 1]}
    if kind == "to depth CRD":
        channels = graph.channels(like) // block**2
        kernel = np.tile(np.eye(block * block, dtype=np.float32).reshape(-1, 1, block, block), (channels, 1, 1, 1))
        attrs = {"kernel_shape": [block, block], "strides": [block, block], "group": channels}
        return "Conv", [graph.constant(kernel, like)], attrs
    return "Identity", [], {}
