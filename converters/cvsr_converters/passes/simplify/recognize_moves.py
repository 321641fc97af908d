"""Recognize what a group of operations that only move numbers does, however it is written.

    x ── Reshape (1,3,2,2,H,W) ── Transpose 0,1,4,2,5,3 ── Reshape ── y      →      x ── DepthToSpace (CRD) ── y
    x (1,H,W,C) ── Reshape ── Transpose ── Reshape ── y      →      x ── Transpose ── DepthToSpace ── Transpose ── y
    x ── Split ── DepthToSpace of each ── Concat ── y        →      x ── DepthToSpace (CRD) ── y
    x ── Tile, Reshape, Split, Concat … ── y                 →      x ── Resize (nearest) ── y
    x ── Reshape ── Transpose ── Reshape ── y (channel shuffle)      →      x ── Conv 1x1 (one-hot) ── y
    x ── Slice (step -1) or Gather of channels ── y          →      x ── Conv 1x1 (one-hot) ── y

The group is run on an input of distinct numbers; their positions in the output show what it does. Constants that depend
on the size of the image disappear.
"""

import math
from collections import ChainMap, Counter

import numpy as np

from cvsr_converters.passes.graph import FIRST, LAST
from cvsr_converters.passes.simplify.fold_constants import evaluate
from cvsr_converters.passes.simplify.resize import REPEAT
from cvsr_converters.passes.simplify.sink_transposes import ELEMENTWISE

SIZED = {"Reshape", "Squeeze", "Unsqueeze", "Flatten", "Tile", "Expand", "Gather"}  # contain sizes, or change ranks
SHUFFLING = {"DepthToSpace", "SpaceToDepth"}
MOVING = SIZED | SHUFFLING | {"Transpose", "Slice", "Split", "Concat"}
LARGEST = 20_000_000  # numbers in a value that is examined: 64 channels enlarged 8 times, or 256 enlarged 4 times


def run(graph):
    if not _worth_a_look(graph.nodes, graph):
        return
    shapes, done = graph.shapes(), set()
    for node in reversed(list(graph.nodes)):
        if node.op not in MOVING or node in done or len(node.outputs) != 1 or not _image(node.outputs[0], shapes):
            continue
        for source, group in _groups(node, shapes, graph):
            if found := _recognised(source, group, node, shapes, graph):
                _write(source, node, found, graph)
                done |= group
                break


def _worth_a_look(nodes, graph):
    """Return whether there are operations that OpenCV may not run on images of any size."""
    ops = {n.op for n in nodes}
    across = any(n.op == "Concat" and n.attrs["axis"] not in (1, -3) for n in nodes)
    turned = any(n.op == "Slice" and (steps := graph.array(n, 4)) is not None and (steps < 0).any() for n in nodes)
    return across or turned or bool(ops & SIZED) or ("Concat" in ops and bool(ops & SHUFFLING))


def _image(value, shapes):
    shape = shapes.get(value, ())
    return len(shape) == 4 and shape[0] == 1 and 0 < math.prod(shape) <= LARGEST


def _groups(node, shapes, graph):
    """Yield (source, nodes between it and ``node``), the largest group first, then ever shorter chains."""
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
    """Return what the group does as (kind, block or order, channels of the source, channels last before, after)."""
    if not _worth_a_look(group, graph):
        return None
    before, after = shapes[source], shapes[node.outputs[0]]
    guesses = list(_guesses(before, after, _is_last(source, graph)))
    if not guesses:
        return None
    numbers = np.arange(math.prod(before), dtype=np.int32).reshape(before)
    moved = _moved(source, group, node, numbers, graph)
    for kind, block, *last in guesses:
        first, result = (x.transpose(LAST) if is_last else x for x, is_last in zip((numbers, moved), last, strict=True))
        if kind == "order":  # permuted channels, the same for all pixels
            block = np.searchsorted(first[0, :, 0, 0], result[0, :, 0, 0], side="right") - 1
        if np.array_equal(KINDS[kind](first, block), result):
            return kind, block, first.shape[1], *last
    return None


def _is_last(value, graph):
    """Return whether the channels of ``value`` are last, as far as the nodes before it show."""
    node = graph.producer(value)
    while node is not None and node.op in ELEMENTWISE:
        node = next((above for i in node.inputs if (above := graph.producer(i))), None)
    return node is not None and node.op == "Transpose" and list(node.attrs.get("perm", [])) == FIRST


def _guesses(before, after, is_last):
    """Yield the operations that the shapes allow; ``is_last``: whether the input's channels seem to be last."""
    if before == after:
        yield "same", 1, False, False
    for last in ((is_last, False), (is_last, True), (not is_last, False), (not is_last, True)):
        (c, h, w), (d, i, j) = (
            [shape[k] for k in LAST][1:] if is_last else shape[1:]
            for shape, is_last in zip((before, after), last, strict=True)
        )
        if (c, h, w) == (d, i, j) and last[0] != last[1]:
            yield "same", 1, *last
        larger, smaller = (i // h, h // i)
        if c == d and (i, j) != (h, w) and i % h == j % w == 0:
            yield "repeat", (i // h, j // w), *last
        if larger > 1 and (i, j) == (h * larger, w * larger) and c == d * larger**2:
            yield from ((kind, larger, *last) for kind in ("CRD", "DCR"))
        if smaller > 1 and (h, w) == (i * smaller, j * smaller) and d == c * smaller**2:
            yield from ((kind, smaller, *last) for kind in ("to depth", "to depth CRD"))
        if (h, w) == (i, j) and last[0] == is_last:  # else rows could pass for channels
            yield "order", None, *last


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
    "repeat": lambda x, s: x.repeat(s[0], 2).repeat(s[1], 3),
    "order": lambda x, order: x[:, order],
    "to depth": lambda x, s: _to_depth(x, s, (0, 3, 5, 1, 2, 4)),
    "to depth CRD": lambda x, s: _to_depth(x, s, (0, 1, 3, 5, 2, 4)),
}


def _moved(source, group, node, numbers, graph):
    """Return the result of the group for the input ``numbers``."""
    nodes = [n for n in graph.nodes if n in group]
    values, left = {source: numbers}, Counter(value for n in nodes for value in n.inputs)
    for n in nodes:
        values.update(zip(n.outputs, evaluate(n, ChainMap(values, graph.constants)), strict=True))
        left.subtract(n.inputs)
        values = {value: array for value, array in values.items() if left[value] or value in node.outputs}
    return values[node.outputs[0]]


def _write(source, node, found, graph):
    """Replace the group by the operations that were found; ``node`` becomes the last of them."""
    kind, block, channels, last_before, last_after = found
    x = graph.add(node, "Transpose", [source], {"perm": LAST}) if last_before else source
    op, more, attrs = _operation(kind, block, channels, node, graph)
    if last_after:
        graph.become(node, "Transpose", [graph.add(node, op, [x, *more], attrs)], {"perm": FIRST})
    else:
        graph.become(node, op, [x, *more], attrs)


def _operation(kind, block, channels, node, graph):
    """Return (op, inputs after the first, attributes)."""
    like = node.outputs[0]
    if kind in ("CRD", "DCR"):
        return "DepthToSpace", [], {"blocksize": block, "mode": kind}
    if kind == "repeat":
        return "Resize", ["", graph.constant(np.array([1, 1, *block], np.float32), like)], dict(REPEAT)
    if kind == "to depth":
        return "SpaceToDepth", [], {"blocksize": block}
    if kind == "order":
        kernel = np.eye(channels, dtype=np.float32)[block]
        return "Conv", [graph.constant(kernel[:, :, None, None], like)], {"kernel_shape": [1, 1]}
    if kind == "to depth CRD":
        kernel = np.tile(np.eye(block * block, dtype=np.float32).reshape(-1, 1, block, block), (channels, 1, 1, 1))
        attrs = {"kernel_shape": [block, block], "strides": [block, block], "group": channels}
        return "Conv", [graph.constant(kernel, like)], attrs
    return "Identity", [], {}
