"""Replace operations that enlarge an image by pixel shuffles that dnn_superres computes correctly.

    ConvTranspose    →    Conv ── DepthToSpace
    Resize (nearest) →    Conv (copies) ── DepthToSpace
    DepthToSpace     →    Split ── DepthToSpace of few channels ── Concat

The module's own DepthToSpace guesses the block size from the number of planes.
"""

import math

import numpy as np

from cvsr.errors import ModelError
from cvsr_converters.passes.graph import Node
from cvsr_converters.targets.color_nodes import Ops


def guess(planes):
    """Return the block size that dnn_superres assumes for a shuffle of ``planes`` planes."""
    return math.isqrt(planes if planes in (4, 9, 16) else planes // 3)


def polyphase(graph):
    """Replace each ConvTranspose by a Conv and a shuffle: the same numbers, and no OpenCV crashes on it.

    Row r of each s x s block reads the input row j rows before it with the kernel's row r + pad + j * s.
    """
    for node in [n for n in graph.nodes if n.op == "ConvTranspose"]:
        kernel, s, size, pad = _enlarging(node, graph)
        low, high = -((s - 1 + pad) // s), (size - 1 - pad) // s  # of j
        inputs, outputs = kernel.shape[:2]
        planes = np.zeros((s, s, outputs, inputs, high - low + 1, high - low + 1), np.float32)
        reach = [(r, high - j, r + pad + j * s) for r in range(s) for j in range(low, high + 1)]
        reach = [(r, u, t) for r, u, t in reach if 0 <= t < size]
        for r, u, t in reach:
            for c, v, w in reach:
                planes[r, c, :, :, u, v] = kernel[:, :, t, w].T
        name = f"{node.outputs[0]}.planes"
        constants = [planes.reshape(s * s * outputs, inputs, *planes.shape[4:])]
        if len(node.inputs) > 2:
            constants.append(np.tile(graph.constants[node.inputs[2]], s * s))
        names = [graph.constant(array, name) for array in constants]
        conv = Node("Conv", [node.inputs[0], *names], [name], {"pads": [high, high, -low, -low]}, node.origin)
        graph.nodes.insert(graph.nodes.index(node), conv)
        node.op, node.inputs, node.attrs = "DepthToSpace", [name], {"blocksize": s, "mode": "DCR"}
        graph.touch()


def _enlarging(node, graph):
    """Return (kernel, stride, size, padding) of a ConvTranspose; raise ModelError if it does not multiply the size."""
    kernel, attrs = graph.constants.get(node.inputs[1]), node.attrs
    strides, pads = set(attrs.get("strides", [1])), set(attrs.get("pads", [0]))
    if kernel is not None and attrs.get("group", 1) == len(strides) == len(pads) == 1:
        (s,), (pad,), size = strides, pads, kernel.shape[2]
        if kernel.shape[3] == size and size - 2 * pad == s and set(attrs.get("dilations", [1])) == {1}:
            return kernel, s, size, pad
    raise ModelError(
        f"layer {node.origin or node.outputs[0]!r}: a transposed convolution for dnn_superres needs constant "
        f"weights, one group, and padding so that it enlarges exactly by its stride; this one has {attrs}"
    )


def nearest(graph):
    """Replace each Resize that repeats pixels by copies of the channels and a shuffle."""
    shapes = graph.shapes()
    for node in [n for n in graph.nodes if n.op == "Resize" and n.attrs.get("mode", "nearest") == "nearest"]:
        scales, count = graph.constants.get(node.inputs[2]), shapes[node.inputs[0]][1]
        # the passes give every Resize that repeats pixels these two attributes
        repeats = (node.attrs.get("coordinate_transformation_mode"), node.attrs.get("nearest_mode"))
        if scales is None or scales.size != 4 or repeats != ("asymmetric", "floor") or scales[2] != scales[3]:
            continue
        s = int(scales[2])
        copies = Ops(graph, s).mixed(node.inputs[0], np.repeat(np.eye(count), s * s, axis=0))
        node.op, node.inputs, node.attrs = "DepthToSpace", [copies], {"blocksize": s, "mode": "CRD"}
        graph.touch()


def shuffles(graph):
    """Put the planes of each shuffle into TensorFlow's order (row, column, channel), and split it if necessary."""
    shapes = graph.shapes()
    for node in [n for n in graph.nodes if n.op == "DepthToSpace"]:
        s, planes = node.attrs["blocksize"], shapes[node.inputs[0]][1]
        count, crd = planes // s**2, node.attrs.get("mode") == "CRD"
        fitting = [n for n in range(1, count + 1) if count % n == 0 and guess(n * s * s) == s]
        together = max(fitting, default=count)  # channels; if none fits, the writer refuses it
        grid = np.arange(planes).reshape((count, s * s) if crd else (s * s, count))
        grid = (grid if crd else grid.T).reshape(-1, together, s * s)
        source = _ordered(graph, node, grid.swapaxes(1, 2).ravel())
        node.attrs["mode"] = "DCR"
        if together == count:
            node.inputs = [source]
            continue
        parts = [f"{node.outputs[0]}.part{i}" for i in range(count // together)]
        graph.nodes.append(Node("Split", [source], parts, {"axis": 1}, node.origin))
        large = [f"{part}.large" for part in parts]
        for part, result in zip(parts, large, strict=True):
            graph.nodes.append(Node("DepthToSpace", [part], [result], dict(node.attrs), node.origin))
        node.op, node.inputs, node.attrs = "Concat", large, {"axis": 1}
    graph.touch()


def _ordered(graph, node, order):
    """Return the node's input with its channels in this order, by reordering the convolution before it if possible."""
    value = node.inputs[0]
    if (order == np.arange(order.size)).all():
        return value
    conv = graph.producer(value, "Conv")
    if conv is None or conv.attrs.get("group", 1) != 1 or not graph.only_feeds(value, node):
        return Ops(graph, 1).mixed(value, np.eye(order.size)[order])
    conv.inputs[1:] = [graph.constant(graph.constants[name][order], value) for name in conv.inputs[1:] if name]
    return value
